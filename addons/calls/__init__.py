"""Calls: who makes them, how they are read, judged and refused, and what a failure becomes."""
