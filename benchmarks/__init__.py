"""One file a question; each prints ours, peers and the limit side by side from one run."""
