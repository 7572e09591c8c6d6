"""Datasets to values: reading, volumes, UIDs."""
