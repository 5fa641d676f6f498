"""Byte codes: bits in order of worth, so that every byte prefix of a code is itself a code.

A code of p bytes stands for the vector

    x_hat = c + sum over j < 8 p of b_j D_j,        b_j = +1 or -1

with free directions D_j (an additive quantizer of one-bit codebooks). The bits come in blocks;
each block's bits are chosen together, given the blocks before, so as to minimise |x - x_hat|^2
(`qama.kernels.choose_bits`). A document's score is the cosine of the float query with x_hat.

Vectors and directions are rounded to whole numbers before any product, and every product is exact
in float64: a code depends on its vector alone, not on batches, threads or machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Floats
from qama.encoding import scoring
from qama.encoding.transform import unit

BLOCK_ENDS = (12, 24, 32, 48, 64, 96, 128, 192, 256)  # bytes at which a block of bits ends
DEFAULT_BYTES = 48
SEARCH_STEPS = 100  # flips tried for the bits of a block
TENURE = 4  # flips for which a flipped bit rests, at least

_VECTOR_SCALE = 2.0**20
_DIRECTION_SCALE = 2.0**22
_LIMIT = 2.0**29  # of a row of the Gram matrix and the linear term together, so that int32 holds

Doubles = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ByteCoder:
    """What one fit holds for all its byte codes.

    Attributes:
        center: float32 (d,), c.
        directions: float32 (bits, d), D in order of worth.
        lengths: float32 (bytes,), the mean |x_hat| of each byte prefix over the fitted rows.
    """

    center: Floats
    directions: Floats
    lengths: Floats

    @property
    def dims(self) -> int:
        """Width of the vectors."""
        return int(self.directions.shape[1])

    @property
    def max_bytes(self) -> int:
        """Length of the longest code."""
        return int(self.directions.shape[0]) // 8

    @property
    def budgets(self) -> tuple[int, ...]:
        """The standard lengths up to the longest."""
        return (*(end for end in BLOCK_ENDS if end < self.max_bytes), self.max_bytes)

    def code(self, nbytes: int) -> ByteCode:
        """Return the code of that length.

        Raises:
            ValueError: not a whole number from 1 to the longest code's length.
        """
        whole = isinstance(nbytes, int | np.integer) and not isinstance(nbytes, bool)
        if not whole or not 1 <= nbytes <= self.max_bytes:
            near = [b for b in self.budgets if whole and abs(b - nbytes) < 48] or self.budgets
            raise ValueError(
                f"nbytes is {nbytes!r}; byte codes of this codec have 1 to {self.max_bytes} whole "
                f"bytes, for instance {', '.join(map(str, near))}"
            )
        return ByteCode(self, int(nbytes))

    def check(self) -> None:
        """Refuse parts that do not fit each other, as a damaged or foreign file may hold.

        Raises:
            ValueError: the part that does not fit, and its shape.
        """
        bits, d = self.directions.shape
        if bits == 0 or bits % 8 or bits > 8 * BLOCK_ENDS[-1]:
            raise ValueError(f"directions have shape {self.directions.shape}")
        if self.center.shape != (d,) or self.lengths.shape != (bits // 8,):
            raise ValueError(f"center {self.center.shape} or lengths {self.lengths.shape} misfit")
        if not (np.isfinite(self.directions).all() and np.isfinite(self.center).all()):
            raise ValueError("directions or center are not finite")
        if np.abs(self.directions).max() > 64 or not (self.lengths > 0).all():
            raise ValueError("directions or lengths are out of range")

    # -- encoding ---------------------------------------------------------------------------

    def encode(self, X: Floats, nbytes: int) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes)."""
        away = np.rint(unit(X).astype(np.float64) * _VECTOR_SCALE) - self._center
        blocks = [block for block in self._blocks if block.start < nbytes]
        codes = np.empty((len(X), 8 * 0), dtype=np.uint8)
        signs: Doubles = np.empty((len(X), 0))
        for block in blocks:
            linear = np.rint(away @ block.directions * block.scale) - signs @ block.cross
            chosen = kernels.choose_bits(
                linear.astype(np.int32), block.gram, steps=SEARCH_STEPS, tenure=block.tenure
            )
            codes = np.concatenate([codes, chosen], axis=1)
            signs = np.concatenate([signs, _signs(chosen)], axis=1)
        return np.ascontiguousarray(codes[:, :nbytes])

    @cached_property
    def _center(self) -> Doubles:
        return np.rint(self.center.astype(np.float64) * _VECTOR_SCALE)

    @cached_property
    def _whole(self) -> Doubles:
        return np.rint(self.directions.astype(np.float64) * _DIRECTION_SCALE)

    @cached_property
    def _blocks(self) -> list[_Block]:
        return [self._block(start, stop) for start, stop in pairwise((0, *self.budgets))]

    def _block(self, start: int, stop: int) -> _Block:
        D, before = self._whole[8 * start : 8 * stop], self._whole[: 8 * start]
        gram = D @ D.T
        largest = np.abs(gram).sum(axis=1).max() / _DIRECTION_SCALE**2
        farthest = np.sqrt(np.diagonal(gram).max()) / _DIRECTION_SCALE * self._reach(start)
        unit_size = 2.0 ** np.floor(np.log2(_LIMIT / max(largest + farthest, 1e-6)))
        unit_size = min(unit_size, 2.0**24)
        per_gram = unit_size / _DIRECTION_SCALE**2
        return _Block(
            start,
            np.ascontiguousarray(D.T),
            unit_size / (_VECTOR_SCALE * _DIRECTION_SCALE),
            np.rint(gram * per_gram).astype(np.int32),
            np.rint(before @ D.T * per_gram),
        )

    def _reach(self, start: int) -> float:
        """The farthest that a unit vector can lie from what the bits before ``start`` say."""
        lengths = np.linalg.norm(self.directions[: 8 * start], axis=1)
        return float(1 + np.linalg.norm(self.center) + lengths.sum())

    # -- scoring ----------------------------------------------------------------------------

    @cached_property
    def _weights(self) -> Doubles:
        return 2 * self.directions.astype(np.float64)

    def query_weights(self, Q: Floats, nbytes: int) -> scoring.QueryWeights:
        """Weigh queries float32 (m, d): setting bit j adds 2 q . D_j to q . x_hat."""
        W = unit(Q).astype(np.float64) @ self._weights[: 8 * nbytes].T
        base = unit(Q).astype(np.float64) @ self.center.astype(np.float64)
        return scoring.integer_weights(W, base - W.sum(axis=1) / 2)

    def squared_lengths(self, codes: Bytes) -> Doubles:
        """Return |x_hat|^2 of codes uint8 (n, bytes) as float64 (n,)."""
        out = np.empty(len(codes), dtype=np.float64)
        D = self.directions[: 8 * codes.shape[1]].astype(np.float64)
        for rows in checks.chunks(codes):
            decoded = self.center + _signs(codes[rows]) @ D
            out[rows] = np.einsum("nd,nd->n", decoded, decoded)
        return out

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays to store, by name."""
        return {"center": self.center, "directions": self.directions, "lengths": self.lengths}


@dataclass(frozen=True)
class _Block:
    """A block of bits, made whole-numbered.

    Attributes:
        start: Bytes before it.
        directions: (d, bits), its D times 2^22.
        scale: From products of vectors and directions to the units of gram.
        gram: int32 (bits, bits).
        cross: (bits before, bits), the Gram matrix with the bits before, in the same units.
    """

    start: int
    directions: Doubles
    scale: float
    gram: Int32s
    cross: Doubles

    @property
    def tenure(self) -> int:
        """Flips for which a flipped bit rests; fewer in a block of few bits."""
        return min(TENURE, len(self.gram) // 4)


@dataclass(frozen=True)
class ByteCode:
    """A byte code of one length: encodes vectors, weighs queries."""

    coder: ByteCoder
    nbytes: int

    family = "bytes"
    scorers = ("asymmetric",)
    pairs = 0

    @property
    def label(self) -> str:
        """What a person calls this code."""
        return f"{self.nbytes} bytes"

    @property
    def request(self) -> dict[str, Any]:
        """The arguments that ask a codec for this code."""
        return {"nbytes": self.nbytes}

    @property
    def stored_bytes(self) -> int:
        """Bytes that an index stores of a code."""
        return self.nbytes

    @property
    def stored_bits(self) -> int:
        """True bits of a code."""
        return 8 * self.nbytes

    def prefixes(self) -> list[ByteCode]:
        """Shorter standard codes, shortest first."""
        return [ByteCode(self.coder, n) for n in self.coder.budgets if n < self.nbytes]

    def stored_form(self, codes: Bytes) -> Bytes:
        """Return the codes: byte codes have one form."""
        return codes

    def encode(self, X: Floats, compact: bool = False) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes); compact changes nothing."""
        return self.coder.encode(X, self.nbytes)

    def query_weights(self, Q: Floats) -> scoring.QueryWeights:
        """Weigh queries float32 (m, d), see `ByteCoder.query_weights`."""
        return self.coder.query_weights(Q, self.nbytes)

    @property
    def factor_steps(self) -> Floats:
        """The 256 factors that codes of this length can have."""
        return scoring.factor_steps(1 / float(self.coder.lengths[self.nbytes - 1]))

    def factor_indices(self, stored: Bytes) -> Bytes:
        """Return uint8 (n,): the step of one over each code's |x_hat|."""
        square = self.coder.squared_lengths(stored)
        return scoring.nearest_step(1 / np.sqrt(np.maximum(square, 1e-12)), self.factor_steps)

    def thermometer_bits(self, stored: Bytes) -> Bytes:
        """Return the bits uint8 (n, 8 nbytes)."""
        return np.unpackbits(stored, axis=1)


def _signs(codes: Bytes) -> Doubles:
    return np.unpackbits(codes, axis=1).astype(np.float64) * 2 - 1
