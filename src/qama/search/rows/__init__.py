"""Rows in memory: their codes in blocks, their ids, which are deleted, which may be returned."""
