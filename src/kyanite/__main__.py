"""`python -m kyanite` is the same as `kyanite`."""

import sys

from kyanite.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
