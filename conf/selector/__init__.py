"""How scores become a mask."""
