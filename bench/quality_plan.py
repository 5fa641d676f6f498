"""What the quality comparison runs: methods, lengths and seeds, model by model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from quality_data import MODELS

MINILM, WORDLLAMA, LSA = MODELS
SETTINGS = ("sample", "transfer", "wide", "small")
SEEDS = (0, 1, 2)
BUDGETS = (12, 24, 32, 48, 64, 96, 128, 192)


@dataclass(frozen=True)
class Part:
    """Methods at some lengths on every collection.

    Attributes:
        methods: Of METHODS in `quality_jobs`.
        budgets: Bytes per vector.
        models: Of MODELS.
        settings: Of SETTINGS.
        seeds: One fit each.
        variants: Only peers' variants whose setting contains one of these; all without.
    """

    methods: Sequence[str]
    budgets: Sequence[int]
    models: Sequence[str] = (MINILM,)
    settings: Sequence[str] = ("small", "wide", "transfer")
    seeds: Sequence[int] = (0,)
    variants: Sequence[str] = ()

    def takes(self, setting: str) -> bool:
        """Whether a peer's variant is run."""
        return not self.variants or any(part in setting for part in self.variants)


_TO_96 = (12, 24, 32, 48, 64, 96)
_THREE = (24, 48, 96)
_SIGNS = ("sign", "sign-asym")
_PCA_SIGNS = ("pca-sign", "pca-sign-asym")
_RABITQ = ("rabitq1", "rabitq2", "rabitq4")
_RABITQ_ALL = ("rabitq1-all", "rabitq2-all", "rabitq4-all")
_BOTH = ("small", "wide")
_BEST_OPQ = "all rows"
_PLAIN_AXES = ("principal", "rotated")
_THREE_STARTS = ("random", "120 output", "96 output")

# Peers run with one seed; in the wide setting those that come nearest with three. OPQ takes five
# minutes a fit at 64 bytes and ten at 96.
PLAN = (
    Part(("qama", "opq"), (12, *_THREE), (MINILM, WORDLLAMA), ("sample",), variants=(_BEST_OPQ,)),
    Part(("qama",), _TO_96, settings=_BOTH, seeds=SEEDS),
    Part(("qama",), BUDGETS, settings=("transfer",)),
    Part(("qama",), _TO_96, settings=("transfer",), seeds=(1, 2)),
    Part(("opq",), (12, 24, 48), settings=("small",)),
    Part(("opq",), (24, 48), settings=_BOTH, seeds=(1, 2), variants=("random",)),
    Part(("opq",), (12, 24, 32, 48, 64), settings=("wide",), variants=("random",)),
    Part(("opq",), (24, 48), settings=("transfer",), variants=("random",)),
    Part(("pq",), _TO_96, settings=_BOTH),
    Part(("pq",), (24, 48), settings=_BOTH, seeds=(1, 2)),
    Part(("pq",), _THREE, settings=("transfer",)),
    Part(_RABITQ, (12, 24, 48), settings=("small",)),
    Part(_RABITQ, _TO_96, settings=("wide",), variants=("L2",)),
    Part(_RABITQ_ALL, (12,), settings=("wide",), variants=("L2",)),
    Part(("rabitq2",), _THREE, settings=("transfer",), variants=("L2",)),
    Part(("sq4", "sq8"), _THREE, settings=_BOTH),
    Part(("int8-all",), (12,), settings=("wide",)),
    Part(_SIGNS, _TO_96, settings=_BOTH),
    Part(_PCA_SIGNS, (12, 24, 32, 48), settings=_BOTH),
    Part(("sign-asym", "pca-sign-asym"), (48,), settings=("wide",), seeds=(1, 2)),
    Part(("qama",), _TO_96, models=(WORDLLAMA, LSA)),
    Part(("pq",), _THREE, models=(WORDLLAMA, LSA)),
    Part(("rabitq2",), _THREE, models=(WORDLLAMA, LSA), variants=("L2",)),
    Part(("sign-asym",), _THREE, models=(WORDLLAMA, LSA), settings=_BOTH),
    Part(("pca-sign-asym",), (24,), models=(WORDLLAMA,), settings=_BOTH),
    Part(("pca-sign-asym",), _THREE, models=(LSA,), settings=_BOTH, variants=_PLAIN_AXES),
    Part(("opq",), (24, 48), models=(WORDLLAMA,), settings=_BOTH, variants=_THREE_STARTS),
    Part(("opq",), (24, 48), models=(WORDLLAMA,), settings=("transfer",), variants=("random",)),
    Part(("opq",), (24, 48), models=(LSA,), variants=("random",)),
)  # fmt: skip


def narrowed(
    parts: Sequence[Part],
    models: Collection[str],
    settings: Collection[str],
    seeds: Collection[int],
    budgets: Collection[int],
) -> Iterator[Part]:
    """Parts with only what was asked for; those of which nothing is left are dropped."""
    for part in parts:
        left = replace(
            part,
            models=[m for m in part.models if m in models],
            settings=[s for s in part.settings if s in settings],
            seeds=[s for s in part.seeds if s in seeds],
            budgets=[b for b in part.budgets if b in budgets],
        )
        if left.models and left.settings and left.seeds and left.budgets:
            yield left
