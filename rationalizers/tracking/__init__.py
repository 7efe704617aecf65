"""Weights & Biases as a mirror of run folders; nothing here is imported, W&B included, unless it is asked for."""
