"""`python -m mainstay.runner`, and the script `mainstay-runner`."""

import sys

from mainstay.runner.command import main

if __name__ == "__main__":
    sys.exit(main())
