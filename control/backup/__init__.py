"""Backup and restore of everything that a deployment has."""
