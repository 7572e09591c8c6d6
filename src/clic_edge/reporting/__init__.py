"""Reports of a model: values of the board as JSON, as a page in one file, and as PDF/A."""
