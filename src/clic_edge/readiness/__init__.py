"""Is the site ready? Each look at it is one finding: what, seen, verdict, what to do."""
