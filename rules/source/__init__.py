"""Reads rule files: YAML to the model, or complaints with line and column."""
