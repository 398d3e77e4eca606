"""All SQL, one module for each noun."""
