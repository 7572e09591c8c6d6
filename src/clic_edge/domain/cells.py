"""Cells of tables that people open in a spreadsheet."""

from __future__ import annotations


def plain_cell(value: object) -> object:
    """Return a cell; words that a spreadsheet would take for a formula begin with an apostrophe."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value
