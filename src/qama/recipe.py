"""What a fit does, in numbers: presets, stored with the codec; and what callbacks see of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from qama import checks
from qama.quantizers.thermometer import levels


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses of QAMA (CIKM 2025, section 4); 0 leaves a loss out."""

    similarity: float = 1.0
    kl: float = 1.0
    rank: float = 0.5
    contrastive: float = 0.1
    bottleneck: float = 0.01
    orthogonality: float = 0.02
    variance: float = 0.01
    quantization: float = 0.1


@dataclass(frozen=True)
class TrainConfig:
    """How a preset fits. Byte codes read `max_bytes`, `codeword_bits`, `held_out` and `max_rows`.

    Attributes:
        codes: What is fitted: "bytes" (needs no PyTorch), "grid", or "all" of them.
        architecture: "feedforward" (W2 GELU(W1 x)) or "linear".
        objective: "paper" (the losses above) or "distillation" (listwise, through the rounding).
        expansion: Hidden width of the feed-forward adapter over d.
        leaning: How much the start's early dims prefer strong directions, see `start.rotation`.
        start: What the adapter is before it is trained: "rotation"; "random" (plain initialisation,
            of a feed-forward one); "signs" or "dims" (of a linear one: the dims as they are, one
            threshold at their mean, or at their median); "best": of a grid of all dims alone the
            best of some, of any other a rotation (see `qama.training.free`).
        max_bytes: Length of the longest byte code, 1 to 256; never more than d. Shorter codes are
            the same with any standard length, or one byte less.
        codeword_bits: Of an entry of the codewords of byte codes: 4, or 16, with which a query
            takes several times as long to be made ready and up to a point more of the ten best
            are found (docs/quality.md). None: 4 from 192 dims on; below, there is little to read.
            Where a few dims dominate, 16 whatever is asked for.
        levels: Levels to fit for; hybrid comes with all four.
        weights: Weights of the paper's losses.
        warmed: Losses whose weight rises from 0 over the first third of the steps.
        steps: Least number of optimisation steps.
        epochs: Least number of passes over the rows.
        batch: Rows per step, at most a quarter of all.
        learning_rate: Peak of AdamW's rate; warm-up, then cosine decay.
        warmup: Share of the steps in which the rate rises.
        clip: Largest gradient norm.
        threshold_memory: mu of theta <- mu theta + (1 - mu) theta_batch.
        temperature: tau of the KL and contrastive losses and of the distillation.
        evaluate_every: Steps between looks at the validation rows.
        patience: Looks without gain before training stops; the best state is kept.
        held_out: Share of the rows that are for validation, at most 512.
        max_rows: Rows kept in memory; of more, an even sample is taken. None: 262,144, or
            as many as 100 million values hold; grid codes then learn from 65,536 of them, and of
            texts so many are embedded.
    """

    codes: str = "grid"
    architecture: str = "feedforward"
    objective: str = "paper"
    max_bytes: int = 256
    codeword_bits: int | None = None
    expansion: int = 32
    start: str = "rotation"
    leaning: float = 0.7
    levels: tuple[str, ...] = tuple(levels.LEVELS)
    weights: LossWeights = field(default_factory=LossWeights)
    warmed: tuple[str, ...] = ("rank", "contrastive", "bottleneck", "orthogonality")
    steps: int = 2000
    epochs: int = 5
    batch: int = 256
    learning_rate: float = 1e-4
    warmup: float = 0.05
    clip: float = 1.0
    threshold_memory: float = 0.95
    temperature: float = 0.05
    evaluate_every: int = 100
    patience: int = 4
    held_out: float = 0.05
    max_rows: int | None = 200_000

    @property
    def has_bytes(self) -> bool:
        """Whether byte codes are fitted."""
        return self.codes != "grid"

    @property
    def has_grid(self) -> bool:
        """Whether grid codes are fitted."""
        return self.codes != "bytes"

    def total_steps(self, rows: int) -> int:
        """Steps for that many rows: the epochs or the least number, whichever is more."""
        return max(self.steps, self.epochs * rows // self.batch_for(rows)) if self.steps else 0

    def batch_for(self, rows: int) -> int:
        """Batch size for that many rows: at most a quarter of them, at least a triple."""
        return max(3, min(self.batch, rows // 4))

    def json(self) -> dict[str, Any]:
        """The config as plain JSON values: what the fitted codes read of it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in plain.items() if not _idle(name, self.codes)}


PAPER = TrainConfig()
DEFAULT = replace(
    PAPER,
    architecture="linear",
    objective="distillation",
    codes="bytes",
    start="best",
    leaning=1.0,
    steps=180,
    epochs=0,
    batch=64,
    learning_rate=3e-3,
    warmup=0.15,
    evaluate_every=180,
    max_rows=None,
)
PRESETS = {"default": DEFAULT, "paper": PAPER}
CODES = ("bytes", "grid", "all")

_FIELDS = [name for name in TrainConfig.__dataclass_fields__ if name != "codes"]
_OF_BYTES = ("max_bytes", "codeword_bits")
_SHARED = ("codes", "held_out", "max_rows")


Callback = Callable[["Report"], None]


@dataclass(frozen=True)
class Report:
    """What callbacks see after a step.

    Attributes:
        step: Steps done with these codes.
        steps: Steps planned.
        losses: The itemised, unweighted losses of the batch; of byte codes, the distortion
            |x - x_hat|^2 left.
        agreement: Validation neighbour agreement of the grid codes at the last look; None where
            there are none.
        codes: "grid" while the adapter trains, "bytes" while byte codes are fitted.
    """

    step: int
    steps: int
    losses: dict[str, float]
    agreement: float | None
    codes: str = "grid"


def preset(name: str, codes: str | None = None, **changes: object) -> TrainConfig:
    """Return a preset with some fields changed.

    Args:
        name: "default" or "paper".
        codes: What to fit; None: what the preset fits, byte codes by default, the grid of the paper
            by "paper".
        **changes: Fields of `TrainConfig`.

    Raises:
        ValueError: unknown preset or field, a value that does not fit, or an option of codes that
            are not fitted.
    """
    checks.one_of(name, "preset", PRESETS)
    codes = PRESETS[name].codes if codes is None else codes
    checks.one_of(codes, "codes", CODES)
    if name == "paper" and codes == "bytes":
        raise ValueError(
            "preset 'paper' is a recipe of grid codes, and codes is 'bytes': give codes='grid' or "
            "'all', or leave the preset out"
        )
    for key in changes:
        checks.one_of(key, "option", _FIELDS)
        refuse_idle(key, codes)
    changes["codes"] = codes
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in changes.items()}
    chosen = replace(PRESETS[name], **plain)  # type: ignore[arg-type]
    _check(chosen)
    return chosen


def refuse_idle(option: str, codes: str) -> None:
    """Refuse an option that codes of another kind than the fitted ones would read.

    Raises:
        ValueError: the message names both, and what would fit them.
    """
    if _idle(option, codes):
        fitted, others = ("byte", "grid") if codes == "bytes" else ("grid", "byte")
        needs = " (which needs PyTorch)" if codes == "bytes" else ""
        raise ValueError(
            f"{option} is an option of {others} codes, and this fit makes {fitted} codes only: "
            f'leave it out, or add codes="all"{needs}'
        )


def _idle(option: str, codes: str) -> bool:
    """Whether the codes that are fitted do not read an option."""
    if option in _SHARED or codes == "all":
        return False
    return (option in _OF_BYTES) != (codes == "bytes")


def _check(chosen: TrainConfig) -> None:
    checks.one_of(chosen.architecture, "architecture", ("feedforward", "linear"))
    checks.one_of(chosen.objective, "objective", ("paper", "distillation"))
    checks.one_of(chosen.start, "start", ("best", "rotation", "random", "signs", "dims"))
    if chosen.start in ("signs", "dims") and chosen.architecture != "linear":
        raise ValueError(f"start is {chosen.start!r}, which architecture 'linear' alone can have; "
                         f"give 'rotation' or 'random'")  # fmt: skip
    if chosen.objective == "distillation" and chosen.architecture != "linear":
        raise ValueError(
            f"architecture is {chosen.architecture!r}, but the objective 'distillation' trains "
            f"'linear' only; give objective='paper' for the other"
        )
    if not isinstance(chosen.weights, LossWeights):
        raise ValueError(f"weights is {chosen.weights!r}; give qama.recipe.LossWeights()")
    weights = vars(chosen.weights)
    if not any(weights.values()):
        raise ValueError(f"weights are all 0; give one of {', '.join(weights)} some weight")
    least = {"expansion": 2, "steps": 0, "epochs": 0, "batch": 1, "evaluate_every": 1}
    for key, value in (least | {"patience": 1}).items():
        checks.integer(getattr(chosen, key), key, value)
    checks.integer(chosen.max_bytes, "max_bytes", 1, 256)
    checks.one_of(chosen.codeword_bits, "codeword_bits", (None, 4, 16))
    if not 0 < chosen.held_out < 1:
        raise ValueError(f"held_out is {chosen.held_out}; give a share of the rows, such as 0.05")
