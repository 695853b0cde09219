"""Forward passes, each engine a file; they import torch."""
