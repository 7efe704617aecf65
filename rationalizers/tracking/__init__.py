"""Weights & Biases as a mirror of run folders; W&B itself is imported where it is asked for."""
