"""What clients and providers can do at their worst, and what becomes meanwhile of a caller who means well."""
