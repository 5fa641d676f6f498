"""Reading rows for queries: all, a prefix first, the nearest lists, or a range of scores."""
