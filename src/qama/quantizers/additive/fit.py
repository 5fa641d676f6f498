"""Fitting byte codes: codebooks and codes in turns. NumPy only; no gradient, no label.

Stage by stage, on the residual that the stages before leave:

1. The start draws codewords from the covariance that reverse water-filling keeps, so that their
   sums are spread as the vectors are (random superposition, as in rate-distortion theory).
2. Rounds of: choose all codewords of every row together under the codebooks plus a little noise,
   which falls to none; refit the codebooks by ridge least squares. (Local search quantization with
   stochastic relaxation: Martinez et al., ECCV 2018.) Rounds with noise make do with a sample of
   the rows.

Wide vectors are projected to fewer axes first (`axes`): a fit, a codec and all that is done with it
then grow no further with the dims.

What else was tried is in docs/quality.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import blas, checks, kernels
from qama.checks import Bytes, Floats
from qama.kernels.layout import CodebookLayout
from qama.quantizers.additive.axes import Axes
from qama.quantizers.additive.nibbles import Nibbles
from qama.quantizers.additive.quantizer import (
    BEAM,
    FULL,
    SWEEPS,
    AdditiveQuantizer,
    prepared,
    stages,
)
from qama.quantizers.additive.units import UNIT, Int16s, evened, evenly, whole
from qama.quantizers.vectors import unit

# Distortion of a unit Gaussian at 0 to 6 bits (Lloyd-Max; Max 1960, table I).
_DISTORTION = (1.0, 0.3634, 0.1175, 0.03454, 0.0095, 0.0025, 0.0007)
_FULL_ROUNDS = 30  # of a stage of full bytes
_ROUNDS = {0: 60, 12: 24, 48: 12}  # of another one, by the byte where it starts
_FEW_ROUNDS = 6  # of a stage of one byte
_NOISE = 0.5  # of codewords in the first round, in standard deviations of a codeword's share
_NOISY = 0.8  # share of the rounds that have noise: the first ones
_NOISY_ROWS = 16_384  # rows, at most, of a round with noise
_PASSES = 2  # over the bytes of a stage, for a refit of its codewords
_LATE, _LATE_ROWS = 128, 16_384  # stages from this byte on are fitted on so many rows at most
_LEAST_ROWS = 1024  # fewer cannot tell 256 codewords apart: no byte is full
_BASE_ROUNDS = 6  # of a fit from a base, without noise
_BASE_ROWS = (4.0, 64.0)  # that a codeword of a base counts for: of full bytes, of others
_BEAM, _SWEEPS = 2, 3  # of the search in a round
_SUITED = 1024  # rows that say whether codewords can have 4-bit entries


@dataclass(frozen=True)
class _Form:
    """How a byte chooses: one codeword of 256, or one by each nibble of it.

    A fit solves for the *free* codewords, of which all codewords are made: of a full byte they are
    the 256 themselves; of a later one four and four, whose sums are the 16 of the high nibble, and
    the 16 of the low nibble.
    """

    sizes: tuple[int, ...]  # free codewords, of the top bits first
    ridge: float  # rows: a codeword that few rows chose stays near zero

    @property
    def full(self) -> bool:
        return len(self.sizes) == 1

    @property
    def codewords(self) -> int:
        """How many codewords there are for a byte."""
        return self.layout(1).codewords

    @property
    def terms(self) -> int:
        """How many free codewords there are for a byte."""
        return sum(self.sizes)

    def layout(self, nbytes: int) -> CodebookLayout:
        """Return the codebooks of so many bytes."""
        return CodebookLayout(nbytes, nbytes if self.full else 0)

    def summed(self, free: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the codewords of bytes (256 or 32 each, d) of their free codewords."""
        return self.layout(len(free) // self.terms).summed(free)


_FULL, _LATER = _Form((256,), 16.0), _Form((4, 4, 16), 4.0)

Progress = Callable[[int, int, float], None]


def fit_additive(
    X: Floats,
    max_bytes: int,
    seed: int,
    threads: int,
    progress: Progress | None = None,
    base: AdditiveQuantizer | None = None,
    codeword_bits: int = 4,
) -> AdditiveQuantizer:
    """Fit codebooks for codes of up to max_bytes.

    Args:
        X: float32 (n, d), the rows to fit on.
        max_bytes: Length of the longest code, 1 to 256; with a base no longer than its longest.
        seed: Of every random draw.
        threads: Threads of the search for codewords.
        progress: Called with stages done, stages in all, and the distortion left.
        base: What other vectors were fitted with: codewords that few rows choose stay near its.
        codeword_bits: 4 or 16, of an entry of a codeword; 16 where 4 do not suit the rows.
    """
    random = np.random.default_rng(seed)
    U = unit(X)
    axes = Axes.of(U, random) if base is None else base.axes
    V = U if axes is None else axes.projected(U, threads).astype(np.float32)
    mean = whole(V.mean(axis=0) if base is None else _drawn_to(base.mean * UNIT, V))
    residual = evened(whole(V - mean * np.float32(UNIT)))
    suited = codeword_bits == 4 and Nibbles.suit(V[:_SUITED] / np.float32(UNIT) - mean)
    rounding = _Rounding(suited, threads)
    full = base.full if base is not None else FULL if len(X) >= _LEAST_ROWS else 0
    parts = stages(max_bytes)
    terms: list[Floats] = []
    for done, (start, stop) in enumerate(parts, start=1):
        if start >= _LATE:  # nothing but noise is left
            residual = evenly(residual, _LATE_ROWS)
        form = _FULL if start < full else _LATER
        if base is None:
            rounds = _FEW_ROUNDS if stop - start == 1 else _rounds(form, start)
            fitted = _fit_stage(residual, stop - start, form, rounds, rounding, random, threads)
        else:
            known = base.codewords[base.layout.of_bytes(start, stop)]
            fitted = _refit_stage(
                residual, evened(known) * np.float32(UNIT), form, rounding, threads
            )
        terms.append(fitted)
        _, residual = kernels.choose_codewords(
            residual, rounding.codebooks(fitted, form), beam=BEAM, sweeps=SWEEPS, threads=threads
        )
        if progress is not None:
            progress(done, len(parts), _mean_square(residual))
    made = rounding.quantizer(mean, np.concatenate(terms), parts[-1][1], axes)
    return replace(made, lengths=_prefix_lengths(made, U[:4096], threads))


@dataclass(frozen=True)
class _Rounding:
    """How free codewords become whole numbers: to 4 bits each, or to the unit."""

    nibbles: bool
    threads: int

    def codebooks(self, W: Floats, form: _Form) -> kernels.Codebooks:
        """Return what a fit chooses from: the sums of free codewords W (w, d), rounded."""
        if not self.nibbles:
            return prepared(form.summed(whole(W)), form.full, self.threads)
        free = self._nearest(W, form.layout(len(W) // form.terms)).whole()
        return prepared(form.summed(free), form.full, self.threads)

    def quantizer(
        self, mean: Int16s, terms: Floats, nbytes: int, axes: Axes | None
    ) -> AdditiveQuantizer:
        """Return the quantizer of free codewords (w, d), its lengths not yet measured."""
        lengths, layout = np.ones(nbytes, np.float32), CodebookLayout.with_terms(len(terms), nbytes)
        if self.nibbles:
            found = self._nearest(terms, layout)
            entries = np.ascontiguousarray(found.entries[:, : len(mean)])
            return AdditiveQuantizer.of_nibbles(
                mean, replace(found, entries=entries), lengths, axes
            )
        codewords = np.ascontiguousarray(layout.summed(whole(terms))[:, : len(mean)])
        return AdditiveQuantizer(mean, codewords, lengths, None, axes)

    def _nearest(self, terms: Floats, layout: CodebookLayout) -> Nibbles:
        """Round free codewords with the same sums, the first of each second four zero."""
        return Nibbles.nearest(np.asarray(layout.parted(layout.summed(terms)) / UNIT, np.float32))


def _mean_square(residual: Int16s) -> float:
    return float(np.square(residual[:4096] * UNIT).sum(axis=1).mean())


def _rounds(form: _Form, start: int) -> int:
    later = next(rounds for byte, rounds in reversed(_ROUNDS.items()) if start >= byte)
    return _FULL_ROUNDS if form.full else later


def _fit_stage(
    rows: Int16s, nbytes: int, form: _Form, rounds: int, rounding: _Rounding,
    random: np.random.Generator, threads: int,
) -> Floats:  # fmt: skip
    """Return the free codewords of one stage, bytes of one form, for rows int16 (n, d)."""
    W = _start(rows, nbytes, form, random)
    share = rows.std(axis=0, dtype=np.float32) * np.float32(UNIT)
    share /= np.sqrt(nbytes * len(form.sizes))
    for turn in range(rounds):
        level = _NOISE * max(0.0, 1 - turn / (_NOISY * rounds))
        noise = random.standard_normal(W.shape, dtype=np.float32) * share
        if level:
            noisy = form.summed(whole(W + np.float32(level) * noise))
            some, codebooks = _sample(rows, random), prepared(noisy, form.full, threads)
        else:
            some, codebooks = rows, rounding.codebooks(W, form)
        codes, _ = kernels.choose_codewords(
            some, codebooks, beam=_BEAM, sweeps=_SWEEPS, threads=threads
        )
        W = _refit(W, codes, some, form, threads)
    return W


def _refit_stage(
    rows: Int16s, known: Floats, form: _Form, rounding: _Rounding, threads: int
) -> Floats:
    """Return a stage's free codewords for rows int16 (n, d), drawn to those that are known."""
    W = prior = form.layout(len(known) // form.codewords).parted(known)
    for _ in range(_BASE_ROUNDS):
        codes, _ = kernels.choose_codewords(
            rows, rounding.codebooks(W, form), beam=_BEAM, sweeps=_SWEEPS, threads=threads
        )
        W = _refit(W, codes, rows, form, threads, prior)
    return W


def _drawn_to(known: npt.NDArray[np.floating], rows: Floats) -> npt.NDArray[np.floating]:
    """Return the mean of rows, drawn to a known one."""
    total = rows.sum(axis=0) + _BASE_ROWS[0] * known
    return np.asarray(total / (len(rows) + _BASE_ROWS[0]))


def _sample(rows: Int16s, random: np.random.Generator) -> Int16s:
    if len(rows) <= _NOISY_ROWS:
        return rows
    return rows[np.sort(random.choice(len(rows), _NOISY_ROWS, replace=False))]


def _start(rows: Int16s, nbytes: int, form: _Form, random: np.random.Generator) -> Floats:
    """Draw codewords from the covariance that reverse water-filling of whole bits keeps."""
    values, axes = np.linalg.eigh(_second_moments(rows))
    values = np.maximum(values, 1e-12)
    spent = np.zeros(len(values), dtype=int)
    beyond = _DISTORTION[-1] * 0.25 ** np.arange(1, 8 * nbytes)  # about a quarter a bit
    table = np.array([*_DISTORTION, *beyond])
    for _ in range(8 * nbytes):
        gains = values * (table[spent] - table[spent + 1])
        spent[np.argmax(gains)] += 1
    floor = (values * table[spent])[spent > 0].min()
    kept = np.sqrt(np.maximum(values - floor, 0) / nbytes)
    bits = np.log2(form.sizes)
    shares = np.repeat(np.sqrt(bits / 8), form.sizes)  # of the byte's bits
    drawn = random.standard_normal((nbytes, len(shares), len(values))) * shares[:, None] * kept
    return np.asarray(drawn.reshape(-1, len(values)) @ axes.T, dtype=np.float32)


def _second_moments(rows: Int16s) -> npt.NDArray[np.float64]:
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for part in checks.chunks(rows):
        R = rows[part] * np.float32(UNIT)
        total += R.T @ R
    return total / len(rows)


def _refit(
    W: Floats, codes: Bytes, rows: Int16s, form: _Form, threads: int, prior: Floats | None = None
) -> Floats:
    """Return free codewords nearer to the rows under these codes: ridge regression, byte by byte.

    Each byte's codewords are solved for, given those of the others (block Gauss-Seidel), drawn to
    `prior`, or to zero.
    """
    A, B = _normal_equations(codes, rows, form, threads)
    W, size = W.copy(), form.terms
    ridge = form.ridge if prior is None else _BASE_ROWS[not form.full]
    if prior is not None:
        B = B + np.float32(ridge) * prior
    for _ in range(_PASSES):
        for byte in reversed(range(codes.shape[1])):
            own = slice(byte * size, (byte + 1) * size)
            W[own] = _solved(A[own, own], B[own] - A[own] @ W, W[own], ridge, form)
    return W


def _solved(among: Floats, left: Floats, now: Floats, ridge: float, form: _Form) -> Floats:
    """Return a byte's free codewords for what is left of B by all codewords, these among them."""
    if form.full:  # a row chooses one of them
        counts = np.diag(among)[:, None]
        return np.asarray((left + counts * now) / (counts + np.float32(ridge)))
    regular = among + ridge * np.eye(len(among), dtype=np.float32)
    with blas.at_most(1):  # of several, each waits for the other many times over
        return np.asarray(np.linalg.solve(regular, left + among @ now))


def _normal_equations(
    codes: Bytes, rows: Int16s, form: _Form, threads: int
) -> tuple[Floats, Floats]:
    """Return the normal equations of free codewords, A and B of A W = B.

    A says how often each two were chosen together, B is the sum of the rows that chose each.
    """
    layout = form.layout(codes.shape[1])
    B = kernels.codeword_sums(codes, rows, full=layout.full, threads=threads) * UNIT
    A = _chosen_together(codes, layout)
    if not form.full:
        parts = form.summed(np.eye(form.terms * codes.shape[1], dtype=np.float32))
        A, B = parts.T @ A @ parts, parts.T @ B
    return A, B.astype(np.float32)


def _chosen_together(codes: Bytes, layout: CodebookLayout) -> Floats:
    """Return how many of at most 2^24 codes chose each two codewords."""
    chosen = layout.chosen(codes).astype(np.int64)
    books, size = layout.codebooks, 1 << layout.bits[0]
    counts = np.zeros((books, size, books, size), dtype=np.float32)  # exact
    for i in range(books):
        for j in range(i + 1):
            both = np.bincount(size * chosen[:, i] + chosen[:, j], minlength=size**2)
            counts[i, :, j] = both.reshape(size, size)
            counts[j, :, i] = both.reshape(size, size).T
    return counts.reshape(books * size, -1)


def _prefix_lengths(made: AdditiveQuantizer, U: Floats, threads: int) -> Floats:
    """Return the mean |x_hat| of every byte prefix over unit rows U: float32 (bytes,)."""
    lengths = made.prefix_lengths(made.encode(U, made.max_bytes, threads)).mean(axis=1)
    return np.asarray(np.maximum(lengths, 1e-6), dtype=np.float32)
