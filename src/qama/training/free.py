"""What costs nothing: codes without training, which a grid of all dims alone is compared with.

Such a fit starts from the best of them, ships what was trained only for a clear gain, and no cell
that finds fewer neighbours than signs of the dims less their mean do. Codes of fewer dims are
prefixes of one map, which cannot have the start that is best for all dims: there a leaning rotation
stays the start (docs/quality.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qama.checks import Floats
from qama.quantizers.thermometer.quantizer import ThermometerQuantizer
from qama.recipe import TrainConfig
from qama.training import agreement
from qama.training.agreement import Shares, Validation
from qama.training.nn import Adapter, adapter_of

SIGNS = "centred signs"
_OTHERS: Mapping[str, Mapping[str, object]] = {  # what each changes in the recipe
    "medians of the dims": {"start": "dims"},
    "principal axes": {"start": "rotation", "leaning": 8.0},  # each row is almost one axis
    **{f"random rotation {n}": {"start": "rotation", "leaning": 0.0} for n in range(4)},
}


@dataclass(frozen=True)
class Begun:
    """Where training starts.

    Attributes:
        adapter: The start itself.
        name: What it is called in a codec's facts.
        shares: What it finds.
        signs: What centred signs find; None where the fit is not compared with them.
    """

    adapter: Adapter
    name: str
    shares: Shares
    signs: Shares | None = None

    def refused(self, found: Shares) -> tuple[str, ...]:
        """Return the cells for whose sake a state must not be shipped; all without a clear gain."""
        if self.signs is None:
            return agreement.fallen(found, self.shares)
        if not agreement.gains(found, self.shares):
            return tuple(found)
        fallen = agreement.fallen(found, self.shares)
        return tuple(dict.fromkeys((*fallen, *agreement.below(found, self.signs))))


def compared(config: TrainConfig, dims: tuple[int, ...], base: ThermometerQuantizer | None) -> bool:
    """Whether a fit is compared with what costs nothing: one of all dims alone."""
    linear = config.start == "best" and config.architecture == "linear"
    return linear and len(dims) == 1 and base is None


def begin(
    config: TrainConfig,
    rows: Floats,
    dims: tuple[int, ...],
    seed: int,
    base: ThermometerQuantizer | None,
    fractions: tuple[float, ...],
    judged_by: Validation,
) -> Begun:
    """Return the recipe's start, or the best of those that cost nothing.

    Args:
        config: The recipe.
        rows: float32 (n, d), the fitted rows.
        dims: The grid's dims.
        seed: Of the random draws.
        base: What to start from instead.
        fractions: Hybrid's shares.
        judged_by: The validation look.
    """

    def untrained(name: str, draw: int = 0, **changes: object) -> Begun:
        changed = replace(config, **changes)  # type: ignore[arg-type]
        adapter = adapter_of(changed, rows, dims, seed + draw, base)
        return Begun(adapter, name, judged_by.of(adapter.to_numpy(fractions)))

    if not compared(config, dims, base):
        return untrained(config.start if base is None else "base")
    signs = untrained(SIGNS, start="signs")
    others = [untrained(name, draw, **some) for draw, (name, some) in enumerate(_OTHERS.items())]
    fitting = [some for some in others if not agreement.below(some.shares, signs.shares)]
    best = max([signs, *fitting], key=lambda some: agreement.mean(some.shares))
    return replace(best, signs=signs.shares)
