"""Runs every benchmark: `python -m benchmarks`."""

import sys

from benchmarks import pipeline

if __name__ == "__main__":
    sys.exit(pipeline.main(sys.argv[1:]))
