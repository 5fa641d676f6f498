"""What could be an inverted list: a k-means centroid of its own, or the leading codeword of a code.

    QAMA_DATA=../shared python bench/lists.py       two minutes; bench/results/lists.json

The leading byte of a code names one of 256 codewords. Were it the list, no centroids were needed
and a row could do without that byte. Both ways over the same codes: how many rows a query reads in
its nearest lists, and how many of the ten best of all codes are among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _record import write_record
from latency import passages

import qama
from qama.quantizers.vectors import unit

FITTED, NBYTES, NLIST, PROBES = 30_000, 48, 256, (4, 8, 16, 32)


def read(name: str, owners: Any, centroids: Any, Q: Any, best: Any) -> Iterator[dict[str, Any]]:
    """Yield what reading some lists costs and finds."""
    order = np.argsort(-(Q @ centroids.T), axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(len(centroids))[None], axis=1)
    sizes, found = np.bincount(owners, minlength=NLIST), np.take_along_axis(ranks, owners[best], 1)
    for probes in PROBES:
        rows = sizes[order[:, :probes]].sum(axis=1).mean()
        share = float((found < probes).mean())
        yield {
            "lists": name, "read": probes, "rows": round(float(rows)), "found": round(share, 4),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("bench/results/lists.json"))
    given = parser.parse_args()
    X, Q = passages()
    codec = qama.fit(X[:FITTED], seed=0, max_bytes=NBYTES)
    codes = codec.encode(X, nbytes=NBYTES)
    flat, listed = (qama.Index(codec, nbytes=NBYTES, nlist=n) for n in (None, NLIST))
    for index in (flat, listed):
        index.add_codes(codes)
    best, U = flat.search(Q, 10).ids, unit(codec.decode(codes, nbytes=NBYTES))
    lists, leading = listed._now.lists, codes[:, 0].astype(np.int64)
    assert lists is not None
    sums = np.zeros((NLIST, X.shape[1]), np.float32)
    np.add.at(sums, leading, U)
    owners = lists.numbers_of(np.arange(len(X)))
    rows = [
        *read("k-means", owners, lists.centroids.vectors, Q, best),
        *read("leading byte", leading, unit(sums), Q, best),
    ]
    write_record(given.out, rows, vectors=len(X), fitted=FITTED, queries=len(Q))


if __name__ == "__main__":
    main()
