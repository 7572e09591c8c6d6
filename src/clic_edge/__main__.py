"""`python -m clic_edge`: the command line."""

from clic_edge.cli import main

main()
