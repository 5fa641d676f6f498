"""Codes of one kind together with what they mean: what the tasks take and compare."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy.typing as npt

from qama import checks
from qama.checks import Bytes, Floats
from qama.codec import Code, Codec, checked
from qama.search.scan import topk


class CodeSet:
    """Codes with their codec.

    Args:
        codec: What made them.
        codes: uint8 (n, bytes), as `Codec.encode` returns them for the same request; n >= 1.
        compact: Whether they are in the compact form.
        **request: dims and level, or nbytes, as for `Codec.encode`.

    Raises:
        ValueError: unfitting codes, or a code that the codec does not have.
    """

    def __init__(
        self, codec: Codec, codes: Bytes, *, compact: bool = False, **request: Any
    ) -> None:
        self.codec = checked(codec)
        self.code: Code = self.codec.code(**request)
        width = self.code.stored_bytes if compact else self.code.nbytes
        given = checks.codes(codes, "codes", width)
        if not len(given):
            raise ValueError("codes has no rows; give at least one")
        self.stored = given if compact else self.code.stored_form(given)

    @classmethod
    def encode(cls, codec: Codec, X: object, **request: Any) -> CodeSet:
        """Encode floats (n, d); the request is dims and level, or nbytes.

        Raises:
            ValueError: see `Codec.encode`.
        """
        return cls(codec, codec.encode(X, compact=True, **request), compact=True, **request)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.stored)

    def __getitem__(self, rows: slice) -> CodeSet:
        """Some of the codes."""
        return CodeSet(self.codec, self.stored[rows], compact=True, **self.code.request)

    @checks.default_errstate()
    def vectors(self, rows: slice = slice(None)) -> Floats:
        """Return what some of the codes stand for, see `Codec.decode`."""
        return self.code.decode(self.stored[rows])

    @cached_property
    def rows(self) -> topk.Rows:
        """The codes as scans read them."""
        return topk.Rows.of_codes(self.stored)

    def scorer(self, queries: CodeSet | Floats, threads: int = 0) -> topk.Scorer:
        """Return what compares queries with these codes.

        Floats (m, d) are compared asymmetrically. Codes with codes: grid codes by Hamming
        distance, byte codes by the cosine of what both stand for.

        Raises:
            ValueError: queries of another kind of code, or not fitting floats.
        """
        if not isinstance(queries, CodeSet):
            Q = checks.vectors(queries, "queries", self.codec.dims_in)
            return topk.Asymmetric.of(self.code, Q, checks.threads(threads))
        if queries.code != self.code:
            raise ValueError(
                f"the codes are of two kinds: {queries.code.label} by {queries.codec!r}, and "
                f"{self.code.label} by {self.codec!r}"
            )
        return topk.scorer_between(self.code, queries.stored, checks.threads(threads))

    def comparable(self, a: CodeSet | npt.NDArray[Any]) -> CodeSet | npt.NDArray[Any]:
        """Return what will be compared with these codes batch by batch, its floats all checked.

        Raises:
            ValueError: not finite floats (m, d); the message names the row in ``a``.
        """
        if isinstance(a, CodeSet):
            return a
        A = checks.matrix(a, "a", self.codec.dims_in, empty=True)
        for rows in checks.chunks(A):
            checks.finite(A[rows], "a", rows.start)
        return A


def coded(codes: object, name: str) -> CodeSet:
    """Return codes with their codec, refusing what lacks one, such as floats.

    Args:
        codes: What was given.
        name: What messages call it.

    Raises:
        ValueError: no `CodeSet`.
    """
    if isinstance(codes, CodeSet):
        return codes
    raise ValueError(
        f"{name} is a {type(codes).__name__}; give a CodeSet: CodeSet.encode(codec, X) of floats, "
        f"or CodeSet(codec, codes)"
    )
