"""The account of a day: what entered, what became of it, and whether all books say the same."""
