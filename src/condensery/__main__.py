"""`python -m condensery` is the command `condense`."""

import sys

from condensery.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
