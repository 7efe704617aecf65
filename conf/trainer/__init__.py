"""How long and on what to train."""
