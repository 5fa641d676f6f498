"""Finding the nearest codes: the index and its progressive search."""
