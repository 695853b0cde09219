"""What does a rerun cost? `python -m benchmarks.incremental`."""
