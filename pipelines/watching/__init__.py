"""What is seen of a job from outside, while it runs and at its end."""
