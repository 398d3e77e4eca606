"""Connections: of clients, with their bounds, and to upstreams, with their addresses checked."""
