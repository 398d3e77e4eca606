"""Independent corpus for measuring detection quality.

Values are made from the vendors' documented formats and from published national standards; nothing here
reads, imports or imitates a detection pattern, so that a measurement does not merely agree with itself.
"""
