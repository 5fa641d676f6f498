"""Byte codes: an additive quantizer, every byte prefix of whose codes is itself a code.

A code of p bytes stands for the vector

    x_hat = mean + the sum of the codewords that its bytes choose

(Babenko and Lempitsky, CVPR 2014). Each of the leading bytes, the *full*
ones, chooses one codeword of a codebook of 256. Each later byte chooses two, one of 16 by each
nibble, and the 16 of its high nibble are sums A_i + B_j of four by four: that is coarser, and scans
twice as fast (docs/kernels.md). Bytes come in stages; each stage's codewords are chosen together,
for the residual that the stages before leave, so as to minimise |x - x_hat|^2
(`qama.kernels.choose_codewords`). A document's score is the cosine of the query with x_hat; queries
are rounded to whole numbers too, and for codewords of 4-bit entries to 8 bits (`nibbles`).

Vectors, mean and codewords are whole numbers of 2^-14, and so is all that is computed of them:
codes and scores depend on their vectors alone, not on batches, threads or machines. Wide vectors
are projected to fewer axes first (`axes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Floats
from qama.kernels.layout import BYTE_SIZE, NIBBLE_SIZE, CodebookLayout
from qama.quantizers import protocol, scoring
from qama.quantizers.additive.axes import Axes
from qama.quantizers.additive.nibbles import MOST_STEP, Nibbles
from qama.quantizers.additive.units import UNIT, Int16s, evened, whole
from qama.quantizers.protocol import CodeValue
from qama.quantizers.vectors import cosines, unit

BUDGETS = (12, 24, 32, 48, 64, 96, 128, 192, 256)  # standard lengths in bytes
# Bytes at which a stage ends. An index keeps one more byte per row, so both a standard length and
# one byte less are ends; no stage is longer than 16 bytes, since its cost grows with its square.
STAGE_ENDS = (
    *(11, 12, 23, 24, 31, 32, 47, 48, 63, 64, 80, 95, 96, 112, 127, 128),
    *(144, 160, 176, 191, 192, 208, 224, 240, 255, 256),
)
_OF_SHARED = 0.25  # of the mean's squared length; chosen on one model: docs/quality.md
FULL = 23  # leading bytes that choose one codeword of 256, the end of a stage
DEFAULT_BYTES = 48
BEAM, SWEEPS = 2, 4  # of the search for a stage's codewords
_SECTIONS = "bytes."  # of a codec's file begin so
_QUERIES = 64  # whose tables are made together, in the cache
_ROWS = 128  # that are brought to whole numbers together, in the cache

Doubles = npt.NDArray[np.float64]


def prepared(codewords: Int16s, full: bool, threads: int) -> kernels.Codebooks:
    """Prepare a stage's codewords, all of full or all of later bytes.

    A unit vector lies within 2 of the mean.
    """
    size = BYTE_SIZE if full else NIBBLE_SIZE
    return kernels.prepare_codebooks(codewords, 2 / UNIT, size, threads=threads)


@dataclass(frozen=True, eq=False, repr=False)
class AdditiveQuantizer:
    """What one fit holds for all its byte codes.

    Attributes:
        mean: int16 (d,), of the vectors fitted on, in units of 2^-14.
        codewords: int16 (codewords, d), in units of 2^-14, in the order of `layout`.
        lengths: float32 (bytes,), the mean |x_hat| of each byte prefix over the fitted rows.
        nibbles: The terms that the codewords are sums of (see `layout`), of 4-bit entries; None
            where they have more bits: as all had before, and where a few dims dominate.
        axes: Where vectors are wide, the axes that they are projected to; mean, codewords and
            lengths are then of what they are there.
        ratios: float32 (bytes,), from 1 to 1.005: of an inverse norm of a byte prefix and the one
            before among the 256 that its codes can have. None: 1.005, as all had before.
    """

    mean: Int16s
    codewords: Int16s
    lengths: Floats
    nibbles: Nibbles | None = None
    axes: Axes | None = None
    ratios: Floats | None = None

    family = "byte codes"

    def __repr__(self) -> str:
        return (
            f"<AdditiveQuantizer {self.fingerprint}: {self.dims_in} d, 1 to {self.max_bytes} bytes>"
        )

    def __reduce__(self) -> tuple[type[AdditiveQuantizer], tuple[Any, ...]]:
        """Pickle and copy what was fitted; what was prepared of it is made again where needed."""
        held = (self.mean, self.codewords, self.lengths, self.nibbles, self.axes, self.ratios)
        return AdditiveQuantizer, held

    @property
    def offers(self) -> str:
        """See `Quantizer`."""
        return f"nbytes from 1 to {self.max_bytes}"

    @property
    def dims_in(self) -> int:
        """Width of the vectors."""
        return int(self.codewords.shape[1]) if self.axes is None else self.axes.dims

    @cached_property
    def fingerprint(self) -> str:
        """See `Quantizer`."""
        return protocol.fingerprint(*self.parts())

    @property
    def max_bytes(self) -> int:
        """Length of the longest code."""
        return len(self.lengths)

    @cached_property
    def layout(self) -> CodebookLayout:
        """The codebooks of the longest code."""
        return CodebookLayout.with_bytes(len(self.codewords), self.max_bytes)

    @property
    def full(self) -> int:
        """Number of full bytes."""
        return self.layout.full

    @cached_property
    def shared(self) -> float:
        """Squared length of the mean, exact: how much of unit vectors is the same in all."""
        return float(np.square(self.mean.astype(np.float64)).sum()) * UNIT**2

    @property
    def norm_power(self) -> float:
        """By which power an inverse norm over the typical one counts: 1 without a shared mean.

        Coding takes nothing from what all vectors share. Of that part of a score the whole inverse
        norm would make too much, the more so the less a row is like the fitted ones.
        """
        return 1 - _OF_SHARED * min(self.shared, 1.0)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The standard lengths up to the longest."""
        return (*(length for length in BUDGETS if length < self.max_bytes), self.max_bytes)

    def code(self, nbytes: int | None = None) -> AdditiveCode:
        """Return the code of that length; by default 48 bytes, or the longest if that is shorter.

        Raises:
            ValueError: not a whole number from 1 to the longest code's length.
        """
        if nbytes is None:
            nbytes = min(DEFAULT_BYTES, self.max_bytes)
        integral = isinstance(nbytes, int | np.integer) and not isinstance(nbytes, bool)
        if not integral or not 1 <= nbytes <= self.max_bytes:
            near = [b for b in self.budgets if integral and abs(b - nbytes) < 48] or self.budgets
            raise ValueError(
                f"nbytes is {nbytes!r}; byte codes of this codec have 1 to {self.max_bytes} whole "
                f"bytes, for instance {', '.join(map(str, near))}"
            )
        return AdditiveCode(self, int(nbytes))

    def codes(self) -> list[AdditiveCode]:
        """Return the codes of standard lengths, shortest first."""
        return [AdditiveCode(self, nbytes) for nbytes in self.budgets]

    def check(self) -> None:
        """Refuse parts that do not fit each other, as a damaged or foreign file may hold.

        Raises:
            ValueError: the part that does not fit, and its shape.
        """
        if self.codewords.dtype != np.int16 or self.codewords.ndim != 2 or self.lengths.ndim != 1:
            raise ValueError(
                f"codewords are {self.codewords.dtype} of shape {self.codewords.shape}"
            )
        (count, d), longest = self.codewords.shape, self.max_bytes
        if not 1 <= longest <= 256 or self.full not in (0, longest, *STAGE_ENDS):
            raise ValueError(f"{count} codewords and lengths of shape {self.lengths.shape} misfit")
        checks.part(self.mean, "bytes.center", (d,), np.int16)
        checks.part(self.lengths, "bytes.lengths", (longest,))
        if not (self.lengths > 0).all():
            raise ValueError("bytes.lengths must be above 0")
        if self.ratios is not None:
            checks.part(self.ratios, "bytes.ratios", (longest,))
            if not ((self.ratios > 1) & (self.ratios <= np.float32(scoring.WIDEST_RATIO))).all():
                raise ValueError(
                    f"bytes.ratios must be above 1, and {scoring.WIDEST_RATIO} at most"
                )
        if self.axes is not None:
            self.axes.check()

    def encode(self, X: Floats, nbytes: int, threads: int = 0) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes)."""
        residual, parts = self._centered(X, threads), []
        for stage in stages(self.max_bytes):
            if stage[0] >= nbytes:
                break
            codebooks = self._codebooks(*stage, threads)
            codes, residual = kernels.choose_codewords(
                residual, codebooks, beam=BEAM, sweeps=SWEEPS, threads=threads
            )
            parts.append(codes)
        return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, :nbytes])

    def _centered(self, X: Floats, threads: int) -> Int16s:
        """Return X at length 1, in the axes, less the mean, in units of 2^-14."""
        residual, mean = np.empty((len(X), len(self.mean)), np.int16), self.mean * UNIT
        for rows in checks.chunks(X, _ROWS if self.axes is None else checks.CHUNK_ROWS):
            residual[rows] = whole(self._units(X[rows], threads).astype(np.float64) - mean)
        return evened(residual)

    def _units(self, X: Floats, threads: int) -> npt.NDArray[np.floating]:
        """Return X at length 1, in the axes where there are some."""
        return unit(X) if self.axes is None else self.axes.projected(unit(X), threads)

    def _whole_units(self, X: Floats, threads: int) -> Int16s:
        """Return the same in units of 2^-14."""
        if self.axes is None:
            return kernels.whole_units(X)
        return whole(self.axes.projected(unit(X), threads))

    def _codebooks(self, start: int, stop: int, threads: int) -> kernels.Codebooks:
        if start not in self._prepared:
            codewords = self.codewords[self.layout.of_bytes(start, stop)]
            self._prepared[start] = prepared(evened(codewords), start < self.full, threads)
        return self._prepared[start]

    @cached_property
    def _prepared(self) -> dict[int, kernels.Codebooks]:
        return {}  # by the stage's first byte, made when first needed

    def decode(self, codes: Bytes) -> Floats:
        """Return x_hat of codes uint8 (n, bytes) as float32 (n, d), exact but for the rounding."""
        *_, total = self._totals(codes)
        whole_total = total if self.axes is None else self.axes.spread(total)
        return np.asarray(whole_total * UNIT, dtype=np.float32)

    def prefix_lengths(self, codes: Bytes) -> Doubles:
        """Return |x_hat| of every byte prefix of codes uint8 (n, bytes) as float64 (bytes, n)."""
        lengths = np.empty(codes.shape[::-1])
        for rows in checks.chunks(codes, _ROWS):
            for last, total in enumerate(self._totals(codes[rows])):
                lengths[last, rows] = np.sqrt(np.square(total, dtype=np.float64).sum(axis=1)) * UNIT
        return lengths

    def _totals(self, codes: Bytes) -> Iterator[npt.NDArray[np.int32]]:
        """Yield the mean plus the codewords of a byte more each time, in one array (n, d)."""
        total = np.tile(self.mean.astype(np.int32), (len(codes), 1))
        for byte in self.layout.leading(codes.shape[1]).places_of_bytes(codes):
            for places in byte:
                total += self.codewords[places]
            yield total

    # -- scoring ----------------------------------------------------------------------------

    def weighed(
        self, Q: Floats, nbytes: int, threads: int = 0
    ) -> kernels.QueryTables | kernels.NibbleQueries:
        """Return lookup tables of queries float32 (m, d), or what makes them.

        They hold what each codeword adds to q . x_hat.
        """
        queries, layout = self._whole_units(Q, threads), self._leading(nbytes)
        if self._nibbles is not None:
            return kernels.NibbleQueries(queries, self._nibbles, layout)
        few = [slice(first, first + _QUERIES) for first in range(0, len(Q), _QUERIES)]
        return scoring.joined(
            self._tables(queries[some], layout, threads) for some in few or [slice(0)]
        )

    def _tables(self, queries: Int16s, layout: CodebookLayout, threads: int) -> kernels.QueryTables:
        """Return lookup tables of queries int16 (m, d) where codewords have more than 4 bits."""
        offsets = queries.astype(np.float64) @ self.mean  # exact
        count = layout.terms if self.splits else layout.codewords
        panels = self._panels[: -(-count // 32)]
        products = kernels.multiply(evened(queries), panels, threads=threads)
        if not self.splits:
            entries = products[:, :count] * UNIT**2
            return scoring.integer_tables(entries, offsets * UNIT**2, layout.full)
        return kernels.round_tables(products, offsets.astype(np.int64), layout, threads=threads)

    def _leading(self, nbytes: int) -> CodebookLayout:
        """Return the codebooks of a prefix, the same object each time."""
        if nbytes not in self._layouts:
            self._layouts[nbytes] = self.layout.leading(nbytes)
        return self._layouts[nbytes]

    @cached_property
    def _layouts(self) -> dict[int, CodebookLayout]:
        return {}

    @cached_property
    def _nibbles(self) -> kernels.NibbleCodewords | None:
        """The codewords as queries are multiplied with them, where they have 4-bit entries."""
        held = self.nibbles
        return (
            None
            if held is None
            else kernels.NibbleCodewords.of(held.entries, held.steps, self.mean)
        )

    @cached_property
    def _panels(self) -> npt.NDArray[np.int32]:
        terms = self.layout.parted(self.codewords) if self.splits else self.codewords
        return kernels.panels(evened(terms))

    @cached_property
    def splits(self) -> bool:
        """Whether all codewords of high nibbles are sums A_i + B_j: those of version 1 are not."""
        if self.nibbles is not None:
            return True
        terms = self.layout.parted(self.codewords.astype(np.int32))
        fit = np.abs(terms).max(initial=0) < 2**15
        return bool(fit and (self.layout.summed(terms) == self.codewords).all())

    def squared_lengths(self, codes: Bytes, threads: int = 0) -> Doubles:
        """Return |x_hat|^2 of codes uint8 (n, bytes) as float64 (n,)."""
        layout = self.layout.leading(codes.shape[1])
        codewords = self.codewords[: layout.codewords]
        norms = kernels.squared_norms(
            codes, codewords, self.mean, full=layout.full, threads=threads
        )
        return norms.astype(np.float64) * UNIT**2

    # -- files ------------------------------------------------------------------------------

    def parts(self) -> protocol.Parts:
        """Return what a file stores; codewords without full bytes are (nibbles, 16, d)."""
        codewords = self.codewords
        if not self.full:
            codewords = codewords.reshape(-1, NIBBLE_SIZE, len(self.mean))
        held: dict[str, npt.NDArray[Any]] = {"words": codewords}
        if self.nibbles is not None:
            held = {"entries": self.nibbles.packed(), "steps": self.nibbles.steps}
        if self.axes is not None:
            held |= {"axes": self.axes.packed(), "power": np.array([self.axes.power], np.int16)}
        arrays = {"center": self.mean, **held, "lengths": self.lengths}
        if self.ratios is not None:
            arrays["ratios"] = self.ratios
        return {}, {_SECTIONS + name: array for name, array in arrays.items()}

    @classmethod
    def from_parts(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> AdditiveQuantizer | None:
        """Return the quantizer that a file's arrays hold, checked; None where they hold none.

        Raises:
            KeyError, ValueError: the part that is missing or does not fit, and its shape.
        """
        own = protocol.sections(_SECTIONS, arrays)
        if not own:
            return None
        axes = _axes(own) if "axes" in own else None
        mean, lengths, ratios = own["center"], own["lengths"], own.get("ratios")
        if "entries" in own:
            return cls.of_nibbles(mean, _nibbles(own), lengths, axes, ratios)
        codewords = own["words"]
        if codewords.ndim == 3 and codewords.shape[1] == NIBBLE_SIZE:
            codewords = codewords.reshape(-1, codewords.shape[2])
        quantizer = cls(mean, codewords, lengths, None, axes, ratios)
        quantizer.check()
        return quantizer

    @classmethod
    def of_nibbles(
        cls, mean: Int16s, nibbles: Nibbles, lengths: Floats, axes: Axes | None = None,
        ratios: Floats | None = None,
    ) -> AdditiveQuantizer:  # fmt: skip
        """Return the quantizer whose codewords are the sums of these terms, checked.

        Raises:
            ValueError: the part that does not fit, and its shape.
        """
        layout = CodebookLayout.with_terms(len(nibbles.steps), len(lengths))
        quantizer = cls(mean, layout.summed(nibbles.whole()), lengths, nibbles, axes, ratios)
        quantizer.check()
        return quantizer


def _nibbles(own: Mapping[str, npt.NDArray[Any]]) -> Nibbles:
    """Return the terms that a file's sections hold."""
    packed, steps, d = own["entries"], own["steps"], len(own["center"])
    checks.part(packed, "bytes.entries", (len(steps), -(-d // 2)), np.uint8)
    checks.part(steps, "bytes.steps", (len(packed),), np.int16)
    if not ((steps >= 1) & (steps <= MOST_STEP)).all():
        raise ValueError(f"bytes.steps must be from 1 to {MOST_STEP}")
    return Nibbles.unpacked(packed, d, steps)


def _axes(own: Mapping[str, npt.NDArray[Any]]) -> Axes:
    """Return the axes that a file's sections hold."""
    packed, power = own["axes"], own["power"]
    checks.part(power, "bytes.power", (1,), np.int16)
    checks.part(packed, "bytes.axes", (len(packed), len(own["center"])), np.uint8)
    return Axes.unpacked(packed, int(power[0]))


def stages(max_bytes: int) -> list[tuple[int, int]]:
    """Return the first and the last but one byte of each stage of codes of max_bytes."""
    return list(pairwise((0, *(end for end in STAGE_ENDS if end < max_bytes), max_bytes)))


@dataclass(frozen=True, eq=False, repr=False)
class AdditiveCode(CodeValue):
    """A byte code of one length: encodes vectors, weighs queries. See `qama.quantizers.protocol`.

    It has one form: the compact one is no other.
    """

    quantizer: AdditiveQuantizer
    nbytes: int

    scorers = ("asymmetric",)
    between = "asymmetric"
    nested = True
    bit_pairs = 0

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

    @property
    def width(self) -> int:
        """Dims of what `decode` returns."""
        return self.quantizer.dims_in

    @property
    def similarity_bits(self) -> int:
        """True bits of a code; no scorer takes their Hamming distance."""
        return 8 * self.nbytes

    def prefixes(self) -> list[AdditiveCode]:
        """Shorter standard codes, shortest first."""
        return [code for code in self.quantizer.codes() if code.nbytes < self.nbytes]

    def stored_form(self, codes: Bytes) -> Bytes:
        """Return the codes."""
        return codes

    def encoded_form(self, stored: Bytes) -> Bytes:
        """Return the codes."""
        return stored

    def encode(self, X: Floats, compact: bool = False, threads: int = 0) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes)."""
        return self.quantizer.encode(X, self.nbytes, threads)

    def decode(self, stored: Bytes) -> Floats:
        """Return x_hat float32 (n, d), estimates of the unit vectors."""
        return self.quantizer.decode(stored)

    def coordinates(self, X: Floats) -> Floats:
        """Return the vectors: codes stand for vectors of their own space."""
        return X

    def fidelity(self, X: Floats, stored: Bytes) -> npt.NDArray[np.float64]:
        """Return the cosine float64 (n,) of each vector float32 (n, d) with its own x_hat."""
        return cosines(X, self.decode(stored))

    def weighed(self, Q: Floats, threads: int = 0) -> kernels.QueryTables | kernels.NibbleQueries:
        """Return lookup tables, or what makes them: see `AdditiveQuantizer.weighed`."""
        return self.quantizer.weighed(Q, self.nbytes, threads)

    @cached_property
    def inverse_norm_steps(self) -> Floats:
        """The 256 inverse norms that codes of this length can have."""
        fitted, last = self.quantizer, self.nbytes - 1
        ratio = scoring.WIDEST_RATIO if fitted.ratios is None else float(fitted.ratios[last])
        return scoring.inverse_norm_steps(1 / float(fitted.lengths[last]), ratio)

    def inverse_norm_indices(self, stored: Bytes, threads: int = 0) -> Bytes:
        """Return uint8 (n,): the step of each code's inverse norm.

        That is 1 / |x_hat|, or, where vectors share a long mean, nearer to the typical one: see
        `AdditiveQuantizer.norm_power`.
        """
        square = np.maximum(self.quantizer.squared_lengths(stored, threads), 1e-12)
        inverse_norms = 1 / np.sqrt(square)
        if self.quantizer.ratios is not None:
            typical = 1 / float(self.quantizer.lengths[self.nbytes - 1])
            inverse_norms = typical * (inverse_norms / typical) ** self.quantizer.norm_power
        return scoring.nearest_step(inverse_norms, self.inverse_norm_steps)

    def scores(self, Q: Floats, stored: Bytes, scorer: str = "asymmetric") -> Floats:
        """Return the cosines float32 (m, n) of queries float32 (m, d) with each x_hat."""
        inverse_norms = self.inverse_norm_steps[self.inverse_norm_indices(stored)]
        return scoring.scores(self.query_tables(Q), stored, inverse_norms)
