"""What quantizers and their codes can do: all that the rest of the package knows of them.

A *quantizer* is what was fitted. A *code* is one way in which it writes vectors: it knows its
sizes, encodes and decodes, and makes queries ready to be scored. Codes are values: two are equal
where they write every vector alike.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Bytes, Floats
from qama.kernels import NibbleQueries, QueryTables

Parts = tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]


class Code(Protocol):
    """One code of a quantizer.

    Two forms of it may differ: what `encode` returns, and the *compact* one that an index stores.
    """

    @property
    def label(self) -> str:
        """What a person calls it."""

    @property
    def request(self) -> dict[str, Any]:
        """The arguments that ask a codec for it: nbytes, or dims and level."""

    @property
    def nbytes(self) -> int:
        """Bytes of a code as `encode` returns it."""

    @property
    def stored_bytes(self) -> int:
        """Bytes of a compact code."""

    @property
    def stored_bits(self) -> int:
        """True bits of a compact code: the others are padding."""

    @property
    def bit_pairs(self) -> int:
        """Leading bit pairs of a compact code: each stands for three thermometer bits."""

    @property
    def width(self) -> int:
        """Dims of what `decode` returns."""

    @property
    def similarity_bits(self) -> int:
        """The largest Hamming distance of two codes."""

    @property
    def scorers(self) -> tuple[str, ...]:
        """How queries are scored: "hamming" (encoded too), "asymmetric" (in floats), or both."""

    @property
    def between(self) -> str:
        """The scorer that compares codes with codes."""

    @property
    def nested(self) -> bool:
        """Whether the tables of a prefix are the first of the code's own.

        An index then keeps the bytes that a coarse-to-fine search scans first apart.
        """

    def prefixes(self) -> Sequence[Code]:
        """Return the codes that are leading bytes of this one, shortest first."""

    def encode(self, X: Floats, compact: bool = False, threads: int = 0) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes or stored_bytes); 0 threads: all."""

    def stored_form(self, codes: Bytes) -> Bytes:
        """Bring codes as `encode` returns them to the compact form."""

    def encoded_form(self, stored: Bytes) -> Bytes:
        """Bring compact codes to the form that `encode` returns; inverts `stored_form`."""

    def decode(self, stored: Bytes) -> Floats:
        """Return the vectors float32 (n, width) that compact codes stand for."""

    def coordinates(self, X: Floats) -> Floats:
        """Return vectors float32 (n, d) as float32 (n, width), in the space of `decode`."""

    def fidelity(self, X: Floats, stored: Bytes) -> npt.NDArray[np.float64]:
        """Return the score float64 (n,) of each vector float32 (n, d) with its own compact code."""

    def weighed(self, Q: Floats, threads: int = 0) -> QueryTables | NibbleQueries:
        """Return what a scan scores compact codes by, of queries float32 (m, d): lookup tables.

        Or what makes them, where that is best done in the scan.
        """

    def query_tables(self, Q: Floats, threads: int = 0) -> QueryTables:
        """Return the lookup tables of queries float32 (m, d)."""

    @property
    def inverse_norm_steps(self) -> Floats:
        """The 256 inverse norms float32 that a code can have."""

    def inverse_norm_indices(self, stored: Bytes, threads: int = 0) -> Bytes:
        """Return uint8 (n,): which of the steps is the inverse norm of each compact code."""

    def scores(self, Q: Floats, stored: Bytes, scorer: str) -> Floats:
        """Return the scores float32 (m, n) of queries float32 (m, d): what a search must say."""


class Quantizer(Protocol):
    """What was fitted: the maker of one family of codes."""

    @property
    def family(self) -> str:
        """What a person calls its codes."""

    @property
    def offers(self) -> str:
        """The arguments that it has codes for, as errors say it."""

    @property
    def dims_in(self) -> int:
        """Width of the vectors."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits: equal exactly when all codes are equal."""

    def codes(self) -> Sequence[Code]:
        """Return its codes of standard sizes."""

    def parts(self) -> Parts:
        """Return what a file stores of it: JSON values, and arrays by section."""


class CodeValue(ABC):
    """Equality, hash and repr of a code: by the quantizer's fingerprint and the request."""

    quantizer: Any

    @property
    @abstractmethod
    def request(self) -> dict[str, Any]:
        """See `Code`."""

    @property
    @abstractmethod
    def label(self) -> str:
        """See `Code`."""

    @abstractmethod
    def weighed(self, Q: Floats, threads: int = 0) -> QueryTables | NibbleQueries:
        """See `Code`."""

    def query_tables(self, Q: Floats, threads: int = 0) -> QueryTables:
        """See `Code`."""
        ready = self.weighed(Q, threads)
        if isinstance(ready, NibbleQueries):
            return kernels.nibble_tables(ready, threads=threads)
        return ready

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CodeValue):
            return NotImplemented
        if self.request != other.request:
            return False
        same = self.quantizer is other.quantizer
        return same or bool(self.quantizer.fingerprint == other.quantizer.fingerprint)

    def __hash__(self) -> int:
        return hash((self.quantizer.fingerprint, *sorted(self.request.items())))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.label} of {self.quantizer.fingerprint}>"


def fingerprint(meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return 16 hex digits over the parts of quantizers, which files record."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr(sorted(meta.items())).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def sections(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays whose section begins with a prefix, by the rest of their names."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
