"""`python -m benchmarks.runtimes`."""

import sys

from benchmarks.runtimes.compare import main

if __name__ == "__main__":
    sys.exit(main())
