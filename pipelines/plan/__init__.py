"""What a run would find, take and cost, told from a sample of its corpus."""
