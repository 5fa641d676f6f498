"""Encoding all documents anew: from vectors given, from those kept, or from longer codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qama import checks
from qama.checks import Bytes, Floats, Ids
from qama.codec import Code, Codec
from qama.documents.filters import EVERY
from qama.documents.schema import About
from qama.documents.transactions import Change
from qama.quantizers.vectors import unit

_PIECE = 16_384  # documents at a time


def recode(change: Change, codec: Codec, code: Code, vectors: object, threads: int) -> None:
    """Encode all documents anew, and say so in the database.

    Args:
        change: The transaction.
        codec: What encodes them from now on.
        code: Which of its codes.
        vectors: Floats (n, d) of all documents in insertion order; None: those at hand.
        threads: CPU threads.

    Raises:
        ValueError: there are no vectors, or unfitting ones.
    """
    about = change.about
    if vectors is None and _is_prefix(about, codec, code):
        for numbers, codes in _kept_codes(change):
            change.recode(numbers.tolist(), codes[:, : code.stored_bytes])
    else:
        found = _kept(change, codec) if vectors is None else _given(change, codec, vectors)
        for numbers, X in found:
            codes = codec.encode(X, compact=True, threads=threads, **code.request)
            change.recode(numbers.tolist(), codes)
            if vectors is not None and about.keeps_vectors:
                change.keep(numbers.tolist(), unit(X))
    change.begin_generation(codec.fingerprint, dict(code.request))


def _is_prefix(about: About, codec: Codec, code: Code) -> bool:
    """Whether the codes wanted are the first bytes of those there are."""
    if codec.fingerprint != about.codec or {*about.request, *code.request} != {"nbytes"}:
        return False
    return bool(code.request["nbytes"] <= about.request["nbytes"])


def _kept_codes(change: Change) -> Iterator[tuple[Ids, Bytes]]:
    after = 0
    while len((found := change.codes_after(after, _PIECE))[0]):
        yield found
        after = int(found[0][-1])


def _kept(change: Change, codec: Codec) -> Iterator[tuple[Ids, Floats]]:
    if not change.about.keeps_vectors:
        raise ValueError(
            'such codes need the vectors, which were not kept (keep_vectors="float16" of create): '
            "give vectors=, of all documents in the order of ids()"
        )
    after = 0
    while len((found := change.vectors_after(after, _PIECE))[0]):
        numbers, halves = found
        yield numbers, checks.vectors(halves, "vectors kept", codec.dims_in)
        after = int(numbers[-1])


def _given(change: Change, codec: Codec, vectors: object) -> Iterator[tuple[Ids, Floats]]:
    A = checks.matrix(vectors, "vectors", codec.dims_in, empty=True)
    numbers = change.numbers(EVERY)
    if len(A) != len(numbers):
        raise ValueError(
            f"vectors has {len(A)} rows for {len(numbers)} documents; give one for each, in the "
            f"order of ids()"
        )
    for rows in checks.chunks(A, _PIECE):
        yield np.ascontiguousarray(numbers[rows]), checks.finite(A[rows], "vectors", rows.start)
