"""The read side: what pages, API and reports show, as values without identity."""
