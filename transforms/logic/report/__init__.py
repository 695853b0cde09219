"""What a report shows of a run: figures, charts and tables as one HTML page, computed from its record and a sample of its vectors."""
