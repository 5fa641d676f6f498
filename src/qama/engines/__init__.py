"""Codes in the engines that people already run, and in files that others read.

    from qama import engines

    engines.write("duckdb:codes.db#docs", codes, ids, codec, dims=256, level="1.5")
    found = engines.search("duckdb:codes.db#docs", Q, k=10, codec=codec)

One file for each engine, all of one shape (`table`); none is imported before it is asked for.
"""

from __future__ import annotations

from qama.engines.reading import read
from qama.engines.searching import search
from qama.engines.targets import STORES, opened
from qama.engines.writing import write

__all__ = ["STORES", "opened", "read", "search", "write"]
