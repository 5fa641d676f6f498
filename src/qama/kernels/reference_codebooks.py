"""The part of the NumPy reference that additive quantizers use, see `qama.kernels.reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qama.kernels._arrays import CHUNK_BYTES, F32, I16, I32, I64, U8
from qama.kernels.codebooks import Codebooks, from_panels
from qama.kernels.layout import CodebookLayout
from qama.kernels.scans import NibbleQueries, QueryTables

_ENTRY_LIMIT = 2**15 - 2  # the sum of two rounded terms may be 1 more
_OFFSET_LIMIT = 2**30
_QUERY_LIMIT = 127
_UNIT_EXPONENT = 28  # a power of two that gives the scale 1


def choose_codewords(
    rows: I16, codebooks: Codebooks, *, beam: int, sweeps: int, threads: int = 0
) -> tuple[U8, I16]:
    """See `qama.kernels.choose_codewords`."""
    W, size, layout = codebooks.codewords.astype(np.float64), codebooks.size, codebooks.layout
    step = max(1, CHUNK_BYTES // (4 * beam * len(W)))
    codes, residuals = np.empty((len(rows), layout.nbytes), np.uint8), np.empty_like(rows)
    twice = codebooks.twice.astype(np.int32)
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        products = (some.astype(np.float64) @ W.T).astype(np.int64)  # exact: below 2**53
        halved = products.astype(np.int32) >> codebooks.shift  # modulo 2**32 first
        alone = codebooks.squares - 2 * np.clip(halved, -codebooks.limit, codebooks.limit)
        chosen = _beam_search(alone.astype(np.int32), twice, size, beam)
        chosen = _descended(alone.astype(np.int32), twice, size, chosen, sweeps)
        packed = layout.packed(chosen)
        codes[first : first + step] = packed
        residual = some.astype(np.int64)
        for places in layout.places(packed):
            residual -= codebooks.codewords[places]
        residuals[first : first + step] = np.clip(residual, -(2**15), 2**15 - 1)
    return codes, residuals


def _beam_search(alone: I32, twice: I32, size: int, beam: int) -> U8:
    """Choose codewords (n, s), codebook by codebook; ``alone`` is what each costs alone."""
    n = len(alone)
    costs, totals = alone[:, None, :], np.zeros((n, 1), np.int32)
    chosen = np.zeros((n, 1, alone.shape[1] // size), np.uint8)
    at = np.arange(n)[:, None]
    for book in range(chosen.shape[2]):
        own = slice(size * book, size * (book + 1))
        candidates = (totals[:, :, None] + costs[:, :, own]).reshape(n, -1)
        best = np.argsort(candidates, axis=1, kind="stable")[:, :beam]
        parent, codeword = best // size, best % size
        totals, chosen = np.take_along_axis(candidates, best, axis=1), chosen[at, parent]
        chosen[:, :, book] = codeword
        costs = costs[at, parent] + twice[size * book + codeword]
    return chosen[:, 0]


def _descended(alone: I32, twice: I32, size: int, chosen: U8, sweeps: int) -> U8:
    """Let each codebook in turn take its best codeword given the others, some times over."""
    first = size * np.arange(chosen.shape[1])
    costs = alone + twice[first + chosen].sum(axis=1, dtype=np.int32)
    for _ in range(sweeps):
        before = chosen.copy()
        for book, start in enumerate(first):
            own = slice(start, start + size)
            now = twice[start + chosen[:, book]]
            best = (costs[:, own] - now[:, own]).argmin(axis=1)
            costs += twice[start + best] - now
            chosen[:, book] = best
        if (chosen == before).all():
            break
    return chosen


def multiply(rows: I16, panels: I32, *, threads: int = 0) -> I32:
    """See `qama.kernels.multiply`."""
    return products(rows, from_panels(panels))


def products(rows: I16, codewords: I16) -> I32:
    """Return the products int32 (n, w) of rows (n, d) and codewords (w, d), modulo 2^32."""
    exact = rows.astype(np.float64) @ codewords.astype(np.float64).T  # below 2**53
    return exact.astype(np.int64).astype(np.int32)


def nibble_tables(queries: NibbleQueries, *, threads: int = 0) -> QueryTables:
    """See `qama.kernels.nibble_tables`."""
    whole, codewords = queries.queries.astype(np.int64), queries.codewords
    exponents = np.maximum(_least_power(np.abs(whole).max(axis=1, initial=0), _QUERY_LIMIT), 0)
    rounded = _halved_even(whole, exponents[:, None])
    entries, steps = codewords.entries().astype(np.int64), codewords.steps[: codewords.count]
    terms = ((rounded @ entries.T) * steps)[:, : queries.layout.terms]
    terms = terms.astype(np.int32).astype(np.int64)  # modulo 2**32
    offsets = whole @ codewords.mean.astype(np.int64)
    return _rounded_tables(terms, offsets, exponents, queries.layout)


def round_tables(
    terms: I32, offsets: I64, layout: CodebookLayout, *, threads: int = 0
) -> QueryTables:
    """See `qama.kernels.round_tables`."""
    whole = terms[:, : layout.terms].astype(np.int64)
    return _rounded_tables(whole, offsets, np.zeros(len(terms), np.int64), layout)


def _rounded_tables(
    terms: I64, offsets: I64, exponents: I64, layout: CodebookLayout
) -> QueryTables:
    """See `round_tables`; one of the terms counts as much as 2^exponent of the offsets."""
    most = np.abs(layout.summed(terms, axis=1)).max(axis=1, initial=0)
    powers = np.maximum(
        _least_power(most, _ENTRY_LIMIT) + exponents, _least_power(np.abs(offsets), _OFFSET_LIMIT)
    )
    powers[(most == 0) & (offsets == 0)] = _UNIT_EXPONENT
    rounded = _halved_even(terms, (powers - exponents)[:, None])
    tables = layout.summed(rounded, axis=1).astype(np.int16)
    starts = _halved_even(offsets, powers).astype(np.int32)
    return QueryTables(tables, starts, scales(powers), layout.full)


def scales(powers: npt.NDArray[np.signedinteger[Any]]) -> F32:
    """Return the scale of tables that were rounded by 2^power."""
    return np.asarray(np.ldexp(np.float32(1), powers - _UNIT_EXPONENT))


def _least_power(values: I64, limit: int) -> I64:
    """Return the least p with value <= limit 2^p of each value; far below any for zero."""
    _, exponents = np.frexp(values / limit)  # exact enough: integers below 2^53 over one of 30 bits
    powers = exponents.astype(np.int64) - 1
    powers += values > np.ldexp(float(limit), powers)
    return np.where(values == 0, -100, powers)


def _halved_even(values: I64, powers: I64) -> I64:
    """Return values / 2^powers, rounded half to even."""
    return np.rint(np.ldexp(values.astype(np.float64), -powers)).astype(np.int64)


def codeword_sums(codes: U8, rows: I16, *, full: int = 0, threads: int = 0) -> I64:
    """See `qama.kernels.codeword_sums`."""
    layout = CodebookLayout(codes.shape[1], full)
    sums = np.zeros((layout.codewords, rows.shape[1]), np.int64)
    for places in layout.places(codes):
        np.add.at(sums, places, rows)
    return sums


def count_pairs(codes: U8, counts: I32, *, full: int = 0, times: int = 1, threads: int = 0) -> None:
    """See `qama.kernels.count_pairs`."""
    layout = CodebookLayout(codes.shape[1], full)
    for places in layout.places(codes):
        for others in layout.places(codes):
            np.add.at(counts, (places, others), times)


def squared_norms(codes: U8, codewords: I16, start: I16, *, full: int = 0, threads: int = 0) -> I64:
    """See `qama.kernels.squared_norms`."""
    norms = np.empty(len(codes), np.int64)
    step = max(1, CHUNK_BYTES // (8 * codewords.shape[1]))
    layout = CodebookLayout(codes.shape[1], full)
    for first in range(0, len(codes), step):
        some = codes[first : first + step]
        sums = np.repeat(start.astype(np.int64)[None], len(some), axis=0)
        for places in layout.places(some):
            sums += codewords[places]
        norms[first : first + step] = np.square(sums).sum(axis=1)
    return norms
