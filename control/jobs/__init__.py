"""Background jobs of control."""
