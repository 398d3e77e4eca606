"""Answers: their texts, and how they are judged, whole or while they stream."""
