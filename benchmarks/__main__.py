"""Runs the benchmarks that need no network on the sample corpus: `python -m benchmarks`."""

import sys

from benchmarks import compression, pipeline, plan, text

if __name__ == "__main__":
    sys.exit(pipeline.main(sys.argv[1:]) or text.main([]) or compression.main([]) or plan.main([]))
