"""`python -m gensar_lite` is the command `gensar-lite`."""

import sys

from gensar_lite.cli import main

if __name__ == "__main__":
    sys.exit(main())
