"""What making additive codes' queries ready asks of the kernels.

Arguments are checked, paths and threads chosen as `qama.kernels` says.
"""

from __future__ import annotations

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import F32, I16, I32, I64
from qama.kernels._dispatch import backend
from qama.kernels.layout import CodebookLayout
from qama.kernels.scans import NibbleQueries, QueryTables


def whole_units(X: F32, *, path: str | None = None) -> I16:
    """Bring rows to length 1, in whole numbers of 2^-14.

    Args:
        X: Finite float32 ``(n, d)``; a zero row stays zero.
        path: Force one path; None chooses.

    Returns:
        int16 ``(n, d)``.
    """
    return backend(path).whole_units(_check.array("X", X, np.float32, (None, None)))


def nibble_tables(
    queries: NibbleQueries, *, threads: int = 0, path: str | None = None
) -> QueryTables:
    """Round the products of queries with split codebooks of 4-bit entries to lookup tables.

    A query is rounded half to even to 8 bits: to -127 to 127 times the least power of two, at least
    1, for which that suffices. Its products with the codewords are then exact, and rounded as
    `round_tables` says; its offset is its own exact product with the mean.

    Args:
        queries: The queries, and what they are multiplied with.
        threads: Threads to use.
        path: Force one path; None chooses.
    """
    _check.at_least("threads", threads, 0)
    return backend(path).nibble_tables(queries, threads=threads)


def round_tables(
    terms: I32,
    offsets: I64,
    layout: CodebookLayout,
    *,
    threads: int = 0,
    path: str | None = None,
) -> QueryTables:
    """Round the products of queries and split codebooks to lookup tables.

    The high nibble of a later byte has four terms and four others, whose sums its entries are.
    Terms are rounded half to even by one power of two per query, the least with which no entry
    leaves int16 and no offset leaves +-2^30; where all of a query is zero, by 2^28. They are
    products of whole numbers of 2^-14, so that tables rounded by 2^p have the scale 2^(p - 28).

    Args:
        terms: int32 ``(m, t)``: for each full byte 256, for each later one four and four of its
            high nibble and 16 of its low nibble; further ones are ignored.
        offsets: int64 ``(m,)``, within +-2^50, in the units of terms.
        layout: The codebooks.
        threads: Threads to use.
        path: Force one path; None chooses.
    """
    terms = _check.array("terms", terms, np.int32, (None, None))
    if terms.shape[1] < layout.terms:
        raise ValueError(f"terms has {terms.shape[1]} columns; {layout} needs {layout.terms}")
    offsets = _check.array("offsets", offsets, np.int64, (len(terms),))
    _check.at_least("threads", threads, 0)
    return backend(path).round_tables(terms, offsets, layout, threads=threads)
