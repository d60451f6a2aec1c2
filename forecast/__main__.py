"""`python -m forecast` is the console script."""

import sys

from forecast.cli import main

if __name__ == "__main__":
    sys.exit(main())
