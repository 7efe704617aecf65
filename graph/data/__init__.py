"""Graph data sets: sources, the splits they come in, and how molecules become graphs."""
