"""Language models to train, one file each."""
