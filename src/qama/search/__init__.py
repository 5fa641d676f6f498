"""Finding the nearest codes: the index and its coarse-to-fine search."""
