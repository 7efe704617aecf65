"""One reproduced table row, one file that holds only differences."""
