"""Measures what the project promises to be fast and small: `python -m bench`."""
