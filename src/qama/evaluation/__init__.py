"""Retrieval quality of codes and baselines: collections, measures, intervals, reports."""
