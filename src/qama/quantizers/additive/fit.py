"""Fitting byte codes: codebooks and codes in turns. NumPy only; no gradient, no label.

Stage by stage, on the residual that the stages before leave:

1. The start draws codewords from the covariance that reverse water-filling keeps, so that their
   sums are spread as the vectors are (random superposition, as in rate-distortion theory).
2. Rows choose in turn, part by part: all codewords of a row together, under codebooks that are
   fitted to the other parts by ridge least squares, plus a little noise, which falls to none.
   (Local search quantization with stochastic relaxation: Martinez et al., ECCV 2018.) Were they
   fitted to a row itself, it would choose again what it chose before.
3. What is left of a row, for the next stage, is what codewords leave that were fitted to other
   rows, too: so much will be left of rows that no fit saw. From the second stage on rows that are
   mixed of others stand beside them (as in mixup: Zhang et al., ICLR 2018), of which no codeword
   knows by heart.

The work grows with the rows only in the last turns, so that hundreds of thousands can be fitted.
Wide vectors are projected to fewer axes first (`axes`): a fit, a codec and all that is done with it
then grow no further with the dims.

What else was tried is in docs/quality.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Floats, Ids
from qama.kernels.layout import CodebookLayout
from qama.quantizers import scoring
from qama.quantizers.additive.axes import Axes
from qama.quantizers.additive.equations import Equations, Form, drawn_to
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
_FULL_TURNS = 45  # with noise, of a stage of full bytes
_TURNS = {0: 90, 12: 36, 48: 18}  # of another one, by the byte where it starts
_FEW_TURNS = 9  # of a stage of one byte
_NOISE = 0.5  # of codewords in the first turn, in standard deviations of a codeword's share
_PARTS, _PART_ROWS = 3, 16_384  # of the rows: so many at least, of so many rows at most
_SPREAD_ROWS = 65_536  # that say how large the noise is
_CALM_ROUNDS = 2  # of all parts, without noise, after the others
_MIXED = 0.4  # of the difference of two rows, which is added to a third
_PASSES, _LAST_PASSES = 1, 2  # over the bytes of a stage, for a refit of its codewords
# Rows of a stage, by the byte where it starts: equations are exact up to 2^24, later stages
# have fewer codewords to fit, and from byte 128 on nothing but noise is left.
_MOST_ROWS = {0: 2**24, FULL: 2**17, 128: 16_384}
_LATER_ROWS, _LATER_VALUES = 65_536, 2**25  # of rows after the first stage, and with mixed ones
_LEAST_ROWS = 1024  # fewer cannot tell 256 codewords apart: no byte is full
# Of the inverse norms that a code can have, in logarithms.
_REACH, _REACH_OF_MEAN, _LEAST_REACH = 2.5, 1.5, 0.03
_BASE_ROUNDS = 6  # of a fit from a base, without noise
_BEAM, _SWEEPS = 2, 3  # of the search in a turn
_SUITED = 1024  # rows that say whether codewords can have 4-bit entries


_FULL, _LATER = Form((256,), 16.0), Form((4, 4, 16), 4.0)

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
    axes = Axes.of(X, random) if base is None else base.axes
    centring = _Centring.of(X, axes, base, threads)
    mean, residual = centring.mean, centring.left(X)
    suited = codeword_bits == 4 and Nibbles.suit(residual[:_SUITED, : len(mean)].astype(np.float32))
    rounding = _Rounding(suited, threads)
    full = base.full if base is not None else FULL if len(X) >= _LEAST_ROWS else 0
    parts = stages(max_bytes)
    terms: list[Floats] = []
    for done, (start, stop) in enumerate(parts, start=1):
        residual = evenly(residual, _of_byte(_MOST_ROWS, start))
        form = _FULL if start < full else _LATER
        if base is None:
            W, prior = _start(residual, stop - start, form, random), None
            schedule = _annealed(_turns(form, stop - start, start))
        else:
            known = evened(base.codewords[base.layout.of_bytes(start, stop)]) * np.float32(UNIT)
            W = prior = form.layout(stop - start).parted(known)
            schedule = _calm(_BASE_ROUNDS)
        fitted, residual = _fit_stage(residual, W, form, schedule, rounding, random, threads, prior)
        terms.append(fitted)
        if start == 0 and len(parts) > 1 and base is None:
            residual = evenly(residual, _LATER_ROWS)
            room = _LATER_VALUES // residual.shape[1] - len(residual)
            codebooks = rounding.codebooks(fitted, form)
            mixed = (centring.of_units(U) for U in _mixed(X, room, random))
            others = (_chosen(rows, codebooks, threads)[1] for rows in mixed)
            residual = np.concatenate([residual, *others])
        if progress is not None:
            progress(done, len(parts), _mean_square(residual))
    made = rounding.quantizer(mean, np.concatenate(terms), parts[-1][1], axes)
    lengths, ratios = _prefix_lengths(made, unit(X[:4096]), threads)
    return replace(made, lengths=lengths, ratios=ratios)


@dataclass(frozen=True)
class _Centring:
    """From rows to what is fitted: in the axes, less their mean, whole numbers of even width."""

    mean: Int16s
    axes: Axes | None
    threads: int

    @classmethod
    def of(
        cls, X: Floats, axes: Axes | None, base: AdditiveQuantizer | None, threads: int
    ) -> _Centring:
        """Take the mean of rows X at length 1; it is drawn to that of a base."""
        parts = (_in_axes(unit(X[rows]), axes, threads) for rows in checks.chunks(X))
        total = sum(part.sum(axis=0, dtype=np.float64) for part in parts)
        mean = total / len(X) if base is None else drawn_to(base.mean * UNIT, total, len(X))
        return cls(whole(mean), axes, threads)

    def left(self, X: Floats) -> Int16s:
        """Return what the mean leaves of rows X, int16 (n, w)."""
        found = np.empty((len(X), len(self.mean) + len(self.mean) % 2), np.int16)
        for rows in checks.chunks(X):
            found[rows] = self.of_units(unit(X[rows]))
        return found

    def of_units(self, U: Floats) -> Int16s:
        """Return the same of rows of length 1."""
        return evened(whole(_in_axes(U, self.axes, self.threads) - self.mean * np.float32(UNIT)))


def _in_axes(U: Floats, axes: Axes | None, threads: int) -> Floats:
    return U if axes is None else axes.projected(U, threads).astype(np.float32)


def _mixed(X: Floats, most: int, random: np.random.Generator) -> Iterator[Floats]:
    """Yield rows of length 1: those of X, or at most so many, each moved by what two others differ.

    Some come at a time.
    """
    which = random.permutation(len(X))[: max(0, most)]
    for rows in checks.chunks(which):
        near, far = random.integers(len(X), size=(2, len(which[rows])))
        moved = np.float32(_MIXED) * (unit(X[near]) - unit(X[far]))
        yield unit(unit(X[which[rows]]) + moved)


def _chosen(rows: Int16s, codebooks: kernels.Codebooks, threads: int) -> tuple[Bytes, Int16s]:
    """Choose codewords as codes are chosen; returns codes and what they leave."""
    return kernels.choose_codewords(rows, codebooks, beam=BEAM, sweeps=SWEEPS, threads=threads)


@dataclass(frozen=True)
class _Rounding:
    """How free codewords become whole numbers: to 4 bits each, or to the unit."""

    nibbles: bool
    threads: int

    def codebooks(self, W: Floats, form: Form) -> kernels.Codebooks:
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


def _turns(form: Form, nbytes: int, start: int) -> int:
    if nbytes == 1:
        return _FEW_TURNS
    return _FULL_TURNS if form.full else _of_byte(_TURNS, start)


def _of_byte(steps: dict[int, int], byte: int) -> int:
    """Return the number that holds from the last step up to a byte on."""
    return next(number for first, number in reversed(steps.items()) if byte >= first)


def _fit_stage(
    rows: Int16s, W: Floats, form: Form, schedule: Schedule, rounding: _Rounding,
    random: np.random.Generator, threads: int, prior: Floats | None = None,
) -> tuple[Floats, Int16s]:  # fmt: skip
    """Return a stage's free codewords for rows int16 (n, d), from W (w, d) on, and what is left.

    They are drawn to `prior`, or to zero. What is left of a row is so by codewords fitted to other
    parts of the rows.
    """
    share = evenly(rows, _SPREAD_ROWS).std(axis=0, dtype=np.float32) * np.float32(UNIT)
    share /= np.sqrt(len(W) / form.terms * len(form.sizes))
    equations = Equations(form, len(W) // form.terms, rows.shape[1], threads)
    parts = _Parts(rows, equations, random)
    for part, noise in schedule(len(parts)):
        some = parts.release(part)
        if equations.rows:
            W = equations.solved(W, _PASSES, prior)
        if noise:
            drawn = random.standard_normal(W.shape, dtype=np.float32) * share
            noisy = form.summed(whole(W + np.float32(noise) * drawn))
            codebooks = prepared(noisy, form.full, threads)
        else:
            codebooks = rounding.codebooks(W, form)
        codes, _ = kernels.choose_codewords(
            some, codebooks, beam=_BEAM, sweeps=_SWEEPS, threads=threads
        )
        parts.note(part, codes, some)
    left = np.empty_like(rows)
    for part in range(len(parts)):
        some = parts.release(part)
        W = equations.solved(W, _LAST_PASSES, prior)
        codes, left[parts.rows(part)] = _chosen(some, rounding.codebooks(W, form), threads)
        parts.note(part, codes, some)
    return equations.solved(W, _LAST_PASSES, prior), left


class _Parts:
    """Rows int16 (n, d) in parts that choose in turn, each when codewords are fitted to the others.

    Codewords that a row was fitted to are drawn to it, so that it chooses them again: codes settle
    early, and leave less of these rows than they will of others.
    """

    def __init__(self, rows: Int16s, equations: Equations, random: np.random.Generator) -> None:
        self._rows, self._equations = rows, equations
        order, count = random.permutation(len(rows)), max(_PARTS, -(-len(rows) // _PART_ROWS))
        self._parts = [np.sort(part) for part in np.array_split(order, count)]
        self._codes: dict[int, Bytes] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def rows(self, part: int) -> Ids:
        """Return the numbers of a part's rows."""
        return self._parts[part]

    def release(self, part: int) -> Int16s:
        """Forget what a part chose; returns its rows."""
        rows, codes = self._rows[self._parts[part]], self._codes.pop(part, None)
        if codes is not None:
            self._equations.remove(codes, rows)
        return rows

    def note(self, part: int, codes: Bytes, rows: Int16s) -> None:
        """Remember what a part chose."""
        self._codes[part] = codes
        self._equations.add(codes, rows)


# Of so many parts, which one chooses in each turn, and under how much noise.
Schedule = Callable[[int], Iterator[tuple[int, float]]]


def _annealed(turns: int) -> Schedule:
    """Noise falls to none in so many turns, but no fewer than parts; then all choose without."""

    def schedule(parts: int) -> Iterator[tuple[int, float]]:
        noisy = max(turns, parts)
        yield from ((turn % parts, _NOISE * (1 - turn / noisy)) for turn in range(noisy))
        yield from _calm(_CALM_ROUNDS)(parts)

    return schedule


def _calm(rounds: int) -> Schedule:
    """All parts choose so often, without noise."""
    return lambda parts: ((part, 0.0) for _ in range(rounds) for part in range(parts))


def _start(rows: Int16s, nbytes: int, form: Form, random: np.random.Generator) -> Floats:
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


def _prefix_lengths(made: AdditiveQuantizer, U: Floats, threads: int) -> tuple[Floats, Floats]:
    """Return the mean |x_hat| of every byte prefix over unit rows U, and the ratio of its steps.

    Both are float32 (bytes,). The 256 steps reach beyond the lengths of these rows, and beyond that
    of the mean, which is what codes keep of a row that was nothing like them. Where all vectors
    share a long mean that is not far, and steps of .5 % would be too coarse.
    """
    found = np.maximum(made.prefix_lengths(made.encode(U, made.max_bytes, threads)), 1e-6)
    lengths = found.mean(axis=1)
    shared = max(np.sqrt(made.shared), 1e-6)
    apart = np.abs(np.log(found / lengths[:, None])).max(axis=1)
    reach = np.maximum(_REACH * apart, _REACH_OF_MEAN * np.log(np.maximum(lengths / shared, 1)))
    ratios = np.exp(np.maximum(reach, _LEAST_REACH) / (scoring.NORM_STEPS / 2))
    widest = np.float32(scoring.WIDEST_RATIO)
    return lengths.astype(np.float32), np.minimum(ratios.astype(np.float32), widest)
