"""What a laptop without a cloud needs: a real multilingual model built offline, and a small corpus."""
