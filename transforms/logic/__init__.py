"""What the verbs mean: pure functions from batch to batch, without Beam, torch, pymilvus, clock or environment."""
