"""`python -m clic_edge`: the command line."""

from clic_edge.cli import main

if __name__ == "__main__":  # the processes that clean files import this module too
    main()
