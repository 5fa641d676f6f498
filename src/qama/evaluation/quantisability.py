"""Is a model quantisable? What codes of each length would keep, from unlabelled vectors alone.

Some rows are kept for validation; the codec is fitted on the rest of a sample. They then search
that, once in floats and once by code. The ten rows that the floats find are the truth. The more
rows there are, the harder these are to tell apart: the same is done for growing numbers of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, sources
from qama.checks import Bytes, Floats, Ids
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

__all__ = ["GOALS", "Budget", "Grown", "Quantisability", "quantisability"]

GOALS = (0.95, 0.98, 0.99)
_NEIGHBOURS = 10
_BASE_RANK = 20  # neighbours, counted from 0, from which on finding a row gains nothing
_LEAST_GAIN = 1e-6  # less is float32's rounding of equal cosines
_LEAST_ROWS = 64
_VALIDATION = 512  # at most; of few rows an eighth
SIZES = (1_000, 10_000)  # rows searched on the way to all of them

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
class Grown:
    """What was kept where so many rows were searched, by the same codec and validation rows.

    Attributes:
        rows: Rows searched: a random part of all.
        budgets: One entry per length, shortest first.
    """

    rows: int
    budgets: tuple[Budget, ...]


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
        growth: The same for growing numbers of rows, up to all that were looked at; fewest first.
    """

    rows: int
    searched: int
    held_out: int
    dims: int
    zeros: int
    codec: str
    spectrum: Spectrum
    budgets: tuple[Budget, ...]
    growth: tuple[Grown, ...] = ()

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
        return {**asdict(self), "smallest": smallest, "oddities": self.spectrum.oddities()}


def quantisability(
    X: object,
    fit: Callable[[Floats], Codec],
    *,
    sample: int = 4096,
    largest: int = 0,
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
        sample: Rows fitted on and searched, at least 64; more take longer and say more.
        largest: Rows looked at for the growth, all in all; 0: no growth is told.
        budgets: Lengths to try; those that the codec does not have are left out.
        seed: Of the sample and the intervals.
        threads: Threads of the search; 0 uses all cores.
        progress: Called with what is done next.

    Raises:
        ValueError: unfitting vectors, too few of them, all of them alike, or a codec without byte
            codes.
    """
    tell = progress or (lambda _: None)
    validation, rest, others, total, zeros = _split(X, sample, seed, largest)
    truth = _Truth.of(validation, rest)
    tell(f"fitting on {len(rest)} rows")
    codec = fit(rest)
    lengths = sorted(n for n in budgets if codec.byte_budgets and n <= codec.byte_budgets[-1])
    if not lengths:
        raise ValueError(
            f"codec has no byte codes of {list(budgets)} bytes; give one of preset 'default', or "
            f"lengths up to {max(codec.byte_budgets, default=0)}"
        )
    tell("searching")
    codes = _encoded(codec, rest, lengths, threads)
    growth: tuple[Grown, ...] = ()
    if largest:
        growth = _grown(codec, validation, rest, others, lengths, seed, threads, tell)
    return Quantisability(
        rows=total,
        searched=len(rest),
        held_out=len(validation),
        dims=rest.shape[1],
        zeros=zeros,
        codec=codec.fingerprint,
        spectrum=Spectrum.of(rest),
        budgets=_judged(codec, truth, codes, lengths, seed, threads),
        growth=growth,
    )


def _split(
    X: object, sample: int, seed: int, largest: int
) -> tuple[Floats, Floats, Floats, int, int]:
    """Return validation rows, those to fit on, others; how many were given, how many zero."""
    most = max(checks.integer(sample, "sample", _LEAST_ROWS), checks.integer(largest, "largest", 0))
    rows, total = sources.load(X, most, seed)
    kept = rows[(rows != 0).any(axis=1)]
    if len(kept) < _LEAST_ROWS:
        raise ValueError(
            f"X has {len(kept)} rows that are not zero; the estimate needs at least {_LEAST_ROWS}"
        )
    order = np.random.default_rng(seed).permutation(len(kept))
    count = min(_VALIDATION, min(len(kept), sample) // 8)
    parts = order[:count], order[count:sample], order[sample:]
    validation, rest, others = (kept[np.sort(part)] for part in parts)
    return validation, rest, others, total, len(rows) - len(kept)


@dataclass(frozen=True, eq=False)
class _Truth:
    """What floats find of some rows for each validation row.

    Attributes:
        validation: Unit vectors float32 (m, d).
        rows: Unit vectors float32 (n, d).
        nearest: int64 (m, k): the ten nearest rows.
        base: float32 (m, 1): the cosine from which on finding a row gains something.
        best: float64 (m,): the discounted gains of the nearest.
    """

    validation: Floats
    rows: Floats
    nearest: Ids
    base: Floats
    best: Measures

    @classmethod
    def of(cls, validation: Floats, rows: Floats) -> _Truth:
        """Find the truth; refuse rows among which none gains anything when it is found."""
        V, R = unit(validation), unit(rows)
        hits = float_hits(R, V, max(_NEIGHBOURS, _BASE_RANK + 1))
        base = hits.scores[:, -1:]
        best = _discounted(gains(hits.scores[:, :_NEIGHBOURS], base))
        if gains(hits.scores, base).max() < _LEAST_GAIN:
            raise ValueError(
                f"all vectors are alike, or each has over {_BASE_RANK} duplicates: nothing can be "
                f"told apart, so nothing can be estimated; give vectors without duplicates"
            )
        return cls(V, R, hits.ids[:, :_NEIGHBOURS], base, best)

    def gained(self, found: Ids) -> Measures:
        """Return the discounted gains float64 (m,) of rows int64 (m, k), best first."""
        cosines = np.einsum("md,mkd->mk", self.validation, self.rows[found])
        return _discounted(gains(cosines, self.base))


def _encoded(codec: Codec, rows: Floats, lengths: Sequence[int], threads: int) -> Bytes:
    """Return the longest codes, whose leading bytes are the shorter ones."""
    return codec.encode(rows, nbytes=lengths[-1], threads=threads)


def _judged(
    codec: Codec, truth: _Truth, codes: Bytes, lengths: Sequence[int], seed: int, threads: int
) -> tuple[Budget, ...]:
    """Return what each length keeps of the truth about rows with these codes."""
    budgets = []
    for nbytes in lengths:
        index = Index(codec, nbytes=nbytes)
        index.add_codes(np.ascontiguousarray(codes[:, :nbytes]), threads=threads)
        found = index.search(truth.validation, _NEIGHBOURS, threads=threads).ids
        kept = paired_bootstrap(truth.gained(found), truth.best, "ratio", samples=1_000, seed=seed)
        overlap = (found[:, :, None] == truth.nearest[:, None, :]).any(axis=2).mean()
        budgets.append(Budget(nbytes, float(overlap), kept.estimate, kept.low, kept.high))
    return tuple(budgets)


def _grown(
    codec: Codec, validation: Floats, rest: Floats, others: Floats, lengths: Sequence[int],
    seed: int, threads: int, tell: Callable[[str], None],
) -> tuple[Grown, ...]:  # fmt: skip
    """Return what is kept where 1,000 rows are searched, 10,000, and all that were looked at."""
    every = np.concatenate([rest, others])
    every = every[np.random.default_rng(seed).permutation(len(every))]
    tell(f"encoding {len(every)} rows")
    codes, grown = _encoded(codec, every, lengths, threads), []
    for count in (*(size for size in SIZES if size < len(every)), len(every)):
        tell(f"searching {count} rows")
        truth = _Truth.of(validation, every[:count])
        budgets = _judged(codec, truth, codes[:count], lengths, seed, threads)
        grown.append(Grown(count, budgets))
    return tuple(grown)


def _discounted(gained: Floats) -> Measures:
    """Return gains (m, k) of rows, best first, summed at DCG's discount."""
    discount = 1 / np.log2(np.arange(gained.shape[1]) + 2)
    return np.asarray(gained @ discount)


def gains(cosines: Floats, base: Floats) -> Floats:
    """Return the gain of finding each row: how much nearer it is than the 21st nearest, or 0.

    Free of scale. A nearest row that stands out weighs much; one that is hardly nearer than those
    which follow weighs little, since no judgement would tell them apart.

    Args:
        cosines: float32 (m, n).
        base: float32 (m, 1), the cosine of each query's 21st nearest row.

    Returns:
        float32 (m, n).
    """
    return np.asarray(np.maximum(0, cosines - base))
