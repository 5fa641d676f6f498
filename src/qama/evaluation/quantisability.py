"""Is a model quantisable? What codes of each length would keep, from unlabelled vectors alone.

Some rows are kept for validation; the codec is fitted on the rest. They then search the rest, once
in floats and once by code. The ten rows that the floats find are the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, sources
from qama.checks import Floats, Ids
from qama.codec import Codec
from qama.errors import MissingExtraError
from qama.evaluation import report
from qama.evaluation.baselines import float_hits
from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.runner import BYTE_BUDGETS
from qama.evaluation.spectrum import Spectrum
from qama.quantizers.vectors import unit
from qama.search.index import Index
from qama.shown import rows_html

__all__ = ["GOALS", "Budget", "Quantisability", "quantisability"]

GOALS = (0.95, 0.98, 0.99)
_NEIGHBOURS = 10
_BASE_RANK = 20  # neighbours, counted from 0, from which on finding a row gains nothing
_LEAST_GAIN = 1e-6  # less is float32's rounding of equal cosines
_LEAST_ROWS = 64
_VALIDATION = 512  # at most; of few rows an eighth

Measures = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Budget:
    """What byte codes of one length kept of the neighbours that floats find.

    Attributes:
        nbytes: Length of the codes.
        overlap: Share of each validation row's ten nearest rows that are among its ten by code.
        ndcg: Their nDCG@10, gains by similarity: the estimate of the retention of nDCG@10.
        low: Lower end of its 95 % bootstrap interval over the validation rows.
        high: Upper end.
    """

    nbytes: int
    overlap: float
    ndcg: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Quantisability:
    """The report's numbers.

    Attributes:
        rows: Rows that were given.
        searched: Rows that were sampled, fitted on (if no codec was given) and searched.
        held_out: Rows that served as queries.
        dims: Dims of the vectors.
        zeros: Rows of the sample left out because they are all zero.
        codec: Fingerprint of the codec.
        spectrum: Of the searched rows.
        budgets: One entry per length, shortest first.
    """

    rows: int
    searched: int
    held_out: int
    dims: int
    zeros: int
    codec: str
    spectrum: Spectrum
    budgets: tuple[Budget, ...]

    def smallest(self, goal: float) -> int | None:
        """Return the fewest bytes from which on every estimate reaches the goal, or None."""
        found = None
        for budget in reversed(self.budgets):
            if not budget.ndcg >= goal:  # NaN reaches none
                break
            found = budget.nbytes
        return found

    def plot(self, axes: Any = None) -> Any:
        """Draw what codes of each length keep of nDCG@10, with its 95 % interval.

        Args:
            axes: Of matplotlib, to draw on; None makes some.

        Returns:
            The axes.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        if axes is None:
            try:
                from matplotlib import pyplot
            except ImportError:
                raise MissingExtraError("a plot", "matplotlib", "eval") from None
            axes = pyplot.subplots(layout="constrained")[1]
        line = [(b.nbytes, b.ndcg, b.low, b.high) for b in self.budgets]
        report.draw(axes, {f"byte codes of {self.searched:,} vectors": line})
        return axes

    def _repr_html_(self) -> str:
        title = f"What byte codes keep: {self.searched:,} vectors of {self.dims} dims"
        headings = ("bytes", "times smaller", "neighbours kept %", "nDCG kept %", "95 % interval")
        return rows_html(
            title,
            headings,
            [
                (
                    b.nbytes, f"{4 * self.dims / b.nbytes:.0f}", f"{100 * b.overlap:.1f}",
                    f"{100 * b.ndcg:.1f}", f"{100 * b.low:.1f} to {100 * b.high:.1f}",
                )
                for b in self.budgets
            ],
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        smallest = {f"{goal:g}": self.smallest(goal) for goal in GOALS}
        return {**asdict(self), "smallest": smallest}


def quantisability(
    X: object,
    fit: Callable[[Floats], Codec],
    *,
    sample: int = 4096,
    budgets: Sequence[int] = BYTE_BUDGETS,
    seed: int = 0,
    threads: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Quantisability:
    """Estimate what byte codes keep of a model's ranking, without queries or judgements.

    Args:
        X: Vectors, as `qama.fit` takes them; at least 64 rows that are not zero.
        fit: Makes a codec of rows float32 (n, d): `qama.fit`, or a function that returns one
            already fitted (on rows of its own: then validation rows may be among them).
        sample: Rows looked at, at least 64; more take longer and say more.
        budgets: Lengths to try; those that the codec does not have are left out.
        seed: Of the sample and the intervals.
        threads: Threads of the search; 0 uses all cores.
        progress: Called with what is done next.

    Raises:
        ValueError: unfitting vectors, too few of them, all of them alike, or a codec without byte
            codes.
    """
    tell = progress or (lambda _: None)
    validation, rest, total, zeros = _split(X, sample, seed)
    _check_told_apart(validation, rest)
    tell(f"fitting on {len(rest)} rows")
    codec = fit(rest)
    lengths = [n for n in budgets if codec.byte_budgets and n <= codec.byte_budgets[-1]]
    if not lengths:
        raise ValueError(
            f"codec has no byte codes of {list(budgets)} bytes; give one of preset 'default', or "
            f"lengths up to {max(codec.byte_budgets, default=0)}"
        )
    tell("searching")
    return Quantisability(
        rows=total,
        searched=len(rest),
        held_out=len(validation),
        dims=rest.shape[1],
        zeros=zeros,
        codec=codec.fingerprint,
        spectrum=Spectrum.of(rest),
        budgets=tuple(_judged(codec, validation, rest, lengths, seed, threads)),
    )


def _split(X: object, sample: int, seed: int) -> tuple[Floats, Floats, int, int]:
    """Return validation rows, the other rows, how many were given, how many were zero."""
    rows, total = sources.load(X, checks.integer(sample, "sample", _LEAST_ROWS), seed)
    kept = rows[(rows != 0).any(axis=1)]
    if len(kept) < _LEAST_ROWS:
        raise ValueError(
            f"X has {len(kept)} rows that are not zero; the estimate needs at least {_LEAST_ROWS}"
        )
    order = np.random.default_rng(seed).permutation(len(kept))
    count = min(_VALIDATION, len(kept) // 8)
    return kept[np.sort(order[:count])], kept[np.sort(order[count:])], total, len(rows) - len(kept)


def _gains(validation: Floats, rest: Floats) -> Floats:
    return similarity_gains(unit(validation) @ unit(rest).T)


def _check_told_apart(validation: Floats, rest: Floats) -> None:
    """Refuse vectors among which no row gains anything when it is found."""
    if _gains(validation, rest).max() < _LEAST_GAIN:
        raise ValueError(
            f"all vectors are alike, or each has over {_BASE_RANK} duplicates: nothing can be told "
            f"apart, so nothing can be estimated; give vectors without duplicates"
        )


def _judged(
    codec: Codec, validation: Floats, rest: Floats, lengths: Sequence[int], seed: int, threads: int
) -> Iterator[Budget]:
    nearest = float_hits(unit(rest), unit(validation), _NEIGHBOURS).ids
    gains = _gains(validation, rest)
    best = _discounted(gains, nearest)
    for nbytes in sorted(lengths):
        index = Index(codec, nbytes=nbytes)
        index.add(rest)
        found = index.search(validation, _NEIGHBOURS, threads=threads).ids
        kept = paired_bootstrap(_discounted(gains, found), best, "ratio", samples=1_000, seed=seed)
        overlap = (found[:, :, None] == nearest[:, None, :]).any(axis=2).mean()
        yield Budget(nbytes, float(overlap), kept.estimate, kept.low, kept.high)


def _discounted(gains: Floats, ranked: Ids) -> Measures:
    """Return each query's gains (m, n) summed over its ranked rows (m, k), at DCG's discount."""
    discount = 1 / np.log2(np.arange(ranked.shape[1]) + 2)
    return np.asarray(np.take_along_axis(gains, ranked, axis=1) @ discount)


def similarity_gains(cosines: Floats) -> Floats:
    """Return the gain of finding each row: how much nearer it is than the 21st nearest, or 0.

    Free of scale. A nearest row that stands out weighs much; one that is hardly nearer than those
    which follow weighs little, since no judgement would tell them apart.

    Args:
        cosines: float32 (m, n).

    Returns:
        float32 (m, n).
    """
    rank = min(_BASE_RANK, cosines.shape[1] - 1)
    base = -np.partition(-cosines, rank, axis=1)[:, rank, None]
    return np.asarray(np.maximum(0, cosines - base))
