"""Fitting grid codes: vectors in, a thermometer quantizer out."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

try:
    import torch
except ImportError:
    from qama.errors import MissingExtraError

    raise MissingExtraError("fitting grid codes", "PyTorch", "train") from None

from qama import checks
from qama.checks import Floats
from qama.quantizers.thermometer import levels as grid_levels
from qama.quantizers.thermometer.quantizer import ThermometerQuantizer
from qama.recipe import Callback, TrainConfig
from qama.training import agreement, asked, free
from qama.training.asked import Asked
from qama.training.calibration import calibrated
from qama.training.distillation import DistillationObjective
from qama.training.free import Begun
from qama.training.nn import Adapter
from qama.training.paper import PaperObjective
from qama.training.train import Look, Objective, check_checkpoint, train


@dataclass(frozen=True)
class Wanted:
    """What a fit of grid codes is asked for, checked as far as it can be without vectors.

    Attributes:
        config: The recipe; its levels are those to fit for.
        dims: The prefixes to fit for; None: the paper's.
        fractions: Hybrid's shares.
        base: What to start from.
        queries: A sample of queries, as it was given.
        pairs: Queries and answers, as they were given.
        device: Where to train.
        callbacks: Called after each step.
        checkpoint: A file to resume from and write to.
    """

    config: TrainConfig
    dims: tuple[int, ...] | None
    fractions: tuple[float, ...]
    base: ThermometerQuantizer | None
    queries: object
    pairs: object
    device: str
    callbacks: Sequence[Callback]
    checkpoint: str | os.PathLike[str] | None

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        base: ThermometerQuantizer | None,
        *,
        dims: object,
        levels: object,
        fractions: Sequence[float],
        checkpoint: str | os.PathLike[str] | None,
        **others: Any,
    ) -> Wanted:
        """Check what was given to `qama.fit`.

        Raises:
            ValueError: an argument that does not fit; the message says what would.
        """
        if checkpoint is not None:
            check_checkpoint(checkpoint)
        names = config.levels if levels is None else _level_names(levels)
        prefixes = None if dims is None else _prefixes(dims)
        shares = grid_levels.check_fractions(fractions)
        if base is not None:
            names = _fitted_levels(base, given=(dims, levels), fractions=shares)
            prefixes, shares = base.dims, base.fractions
            _check_architecture(base, config)
        config = replace(config, levels=names)
        return cls(config, prefixes, shares, base, checkpoint=checkpoint, **others)

    def asked(self, d: int) -> tuple[Asked, ...]:
        """Return the queries and pairs that were given, for vectors of d dims.

        Raises:
            ValueError: see `qama.training.asked.check`; or queries where the objective takes none.
        """
        questions = asked.check(self.queries, self.pairs, d)
        if self.queries is not None and self.config.objective == "paper":
            raise ValueError("queries serve objective 'distillation', the default preset's; the "
                             "objective 'paper' takes pairs")  # fmt: skip
        return questions

    def grid_dims(self, d: int) -> tuple[int, ...]:
        """Return the dims to fit for, of vectors of d dims, widest first.

        Raises:
            ValueError: d is not a multiple of 8, or a prefix is wider.
        """
        if self.base is not None:
            return self.base.dims
        if self.dims is None:
            return grid_levels.dims_grid(d)
        grid_levels.check_dims(d, "the vectors' dims")
        for value in self.dims:
            checks.integer(value, "dims", 1, d)
        return tuple(sorted({*self.dims, d}, reverse=True))


def fit_grid(
    wanted: Wanted, rows: Floats, validation: Floats, seed: int, threads: int
) -> tuple[ThermometerQuantizer, dict[str, Any]]:
    """Fit a thermometer quantizer.

    Args:
        wanted: What to fit.
        rows: float32 (n, d), the rows to fit on.
        validation: float32 (m, d), rows that training is judged by.
        seed: Of every random draw.
        threads: Threads of PyTorch.

    Returns:
        The quantizer and the facts of the fit, JSON values.

    Raises:
        ValueError: an argument that does not fit the vectors.
    """
    dims, questions = wanted.grid_dims(rows.shape[1]), wanted.asked(rows.shape[1])
    with _threads(threads):
        splits = [some.split(seed) for some in questions]
        known, unseen = tuple(a for a, _ in splits), tuple(b for _, b in splits)
        judged_by = agreement.Validation.make(
            validation, rows, seed, unseen, free.compared(wanted.config, dims, wanted.base)
        )
        begun = free.begin(
            wanted.config, rows, dims, seed, wanted.base, wanted.fractions, judged_by
        )
        facts = _trained(wanted, begun, rows, known, judged_by, seed)
        grid = begun.adapter.to_numpy(wanted.fractions).with_reconstruction(rows, wanted.base)
        grid = calibrated(grid, rows, seed)
    facts["queries"] = sum(len(some.queries) for some in questions if some.answers is None)
    facts["pairs"] = sum(len(some.queries) for some in questions if some.answers is not None)
    return grid, facts


def _trained(
    wanted: Wanted,
    begun: Begun,
    rows: Floats,
    known: tuple[Asked, ...],
    judged_by: agreement.Validation,
    seed: int,
) -> dict[str, Any]:
    """Train the adapter in place; returns facts."""
    config = wanted.config
    objective = objective_of(config, begun.adapter, rows, known, wanted.fractions, seed)

    def judge(adapter: Adapter) -> Look:
        found = judged_by.of(adapter.to_numpy(wanted.fractions))
        return Look(agreement.mean(found), begun.refused(found))

    facts = train(
        begun.adapter, objective, config, config.total_steps(len(rows)), judge,
        device=wanted.device, callbacks=wanted.callbacks, checkpoint=wanted.checkpoint,
        data=_checksum(rows, known, wanted.base),
    )  # fmt: skip
    return facts | {"start": begun.name}


def objective_of(
    config: TrainConfig,
    adapter: Adapter,
    X: Floats,
    known: tuple[Asked, ...],
    fractions: tuple[float, ...],
    seed: int,
) -> Objective:
    """Return what a recipe trains for."""
    if config.objective == "paper":
        return PaperObjective(config, X, known, seed)
    return DistillationObjective(config, adapter, X, fractions, seed, known)


def _checksum(rows: Floats, known: tuple[Asked, ...], base: ThermometerQuantizer | None) -> int:
    """Return a checksum of rows, of queries and their answers, and of the base."""
    found = zlib.crc32(np.ascontiguousarray(rows).data)
    if base is not None:
        found = zlib.crc32(base.fingerprint.encode(), found)
    for some in known:
        for part in (some.queries, some.answers):
            if part is not None:
                found = zlib.crc32(np.ascontiguousarray(part).data, found)
    return found


def _fitted_levels(
    base: ThermometerQuantizer, given: tuple[object, ...], fractions: tuple[float, ...]
) -> tuple[str, ...]:
    """Return the levels of a base, which the fit takes over."""
    others = fractions not in (grid_levels.QUARTERS, base.fractions)
    if others or any(value is not None for value in given):
        raise ValueError(
            f"dims, levels and fractions are those of the base ({list(base.dims)}, "
            f"{list(base.levels)}, {list(base.fractions)}); leave them out, or fit without one"
        )
    return tuple(name for name in grid_levels.LEVELS if name in base.thresholds)


def _check_architecture(base: ThermometerQuantizer, config: TrainConfig) -> None:
    """Refuse a base of another adapter."""
    if base.transform.kind != config.architecture:
        raise ValueError(
            f"base has a {base.transform.kind} adapter, this fit a {config.architecture} one; "
            f"give the preset that the base was fitted with"
        )


def _level_names(names: object) -> tuple[str, ...]:
    wanted = {grid_levels.level_name(name) for name in _listed(names, "levels", ["1", "2"])}
    if grid_levels.HYBRID in wanted:
        wanted = set(grid_levels.LEVELS)
    if not wanted:
        raise ValueError(f"levels is empty; give some of {list(grid_levels.LEVELS)}")
    return tuple(name for name in grid_levels.LEVELS if name in wanted)


def _listed(values: object, name: str, example: list[object]) -> list[object]:
    """Return values as a list, refusing a single one."""
    kind = "the string " if isinstance(values, str) else ""
    try:
        if not kind:
            return list(values)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        pass
    raise ValueError(f"{name} is {kind}{values!r}; give a list such as {example}")


def _prefixes(dims: object) -> tuple[int, ...]:
    """Return the prefixes asked for, before the vectors' own dims are known."""
    prefixes = tuple(checks.integer(v, "dims", 1) for v in _listed(dims, "dims", [256, 128]))
    for value in prefixes:
        grid_levels.check_dims(value, "dims")
    return prefixes


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set torch's threads inside a with block, and set them back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
