"""The loop: batches, schedules, looks at the validation rows, the best state kept, resume."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from qama import checks
from qama.recipe import Callback, Report, TrainConfig
from qama.training.nn import Adapter


class Objective(Protocol):
    """Losses of a batch, and how they are weighed."""

    random: torch.Generator

    def groups(self, adapter: Adapter) -> list[dict[str, Any]]:
        """Return parameter groups, each with a "factor" on the config's learning rate."""

    def __call__(self, adapter: Adapter, progress: float) -> dict[str, Tensor]:
        """Return the losses of a batch that the objective draws, itemised."""

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of each loss at this point of the training."""


@dataclass(frozen=True)
class Look:
    """What the validation rows say of an adapter.

    Attributes:
        agreement: Mean share of neighbours found, larger is better.
        fallen: Cells that find fewer than the untrained start does: such a state is not kept.
    """

    agreement: float
    fallen: tuple[str, ...] = ()


Judge = Callable[[Adapter], Look]


@dataclass
class _State:
    """What a checkpoint holds beside the model."""

    step: int = 0
    looks: int = 0  # looks since the best one
    start: float = -math.inf
    agreement: float = -math.inf
    best: float = -math.inf
    best_step: int = 0
    refused: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """See `train`."""
        return {
            "steps": self.step,
            "best_step": self.best_step,
            "shipped": "trained" if self.best_step else "untrained start",
            "agreement_start": round(self.start, 4),
            "agreement_best": round(self.best, 4),
            "refused": list(self.refused),
        }


def train(
    adapter: Adapter,
    objective: Objective,
    config: TrainConfig,
    steps: int,
    judge: Judge,
    *,
    device: str = "auto",
    callbacks: Sequence[Callback] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    data: int = 0,
) -> dict[str, Any]:
    """Train in place and leave the best state seen, the untrained start included.

    Args:
        adapter: The adapter.
        objective: What is minimised; it holds the rows and draws the batches.
        config: Rates, looks, patience.
        steps: Steps to take.
        judge: Looks at the validation rows; the start is looked at before any step.
        device: "auto", "cpu", "cuda" or "mps".
        callbacks: Called after each step.
        checkpoint: A file to resume from if it exists, written at each look.
        data: A checksum of what is fitted on, which a checkpoint must have as well.

    Returns:
        Facts of the run: steps, best_step, shipped ("trained" or "untrained start"),
        agreement_start, agreement_best, and refused: the cells for whose sake the last better
        state was not kept.

    Raises:
        ValueError: unknown device, or a checkpoint of another fit.
    """
    where = _device(device)
    adapter.to(where)
    optimizer = torch.optim.AdamW(objective.groups(adapter), lr=config.learning_rate)
    half = config.architecture == "feedforward" and has_fast_bfloat16(where)
    state, best = _State(), _copy(adapter)
    identity = repr((config, adapter.dims, objective.random.initial_seed(), data))
    if checkpoint is not None and Path(checkpoint).exists():
        state, best = _resume(checkpoint, adapter, optimizer, objective, identity)
    else:
        state.agreement = state.best = state.start = judge(adapter).agreement
    while state.step < steps and state.looks < config.patience:
        progress = state.step / steps
        _set_rate(optimizer, config, progress)
        with torch.autocast(where.type, torch.bfloat16, enabled=half):
            parts = objective(adapter, progress)
        _descend(adapter, optimizer, parts, objective.weights(progress), config.clip)
        state.step += 1
        adapter.retract(state.step)
        if state.step % config.evaluate_every == 0 or state.step == steps:
            best = _look(adapter, judge, state, best)
            if checkpoint is not None:
                _save(checkpoint, adapter, optimizer, objective, identity, state, best)
        losses = {name: float(loss.detach()) for name, loss in parts.items()}
        for callback in callbacks:
            callback(Report(state.step, steps, losses, state.agreement))
    adapter.load_state_dict(best)
    adapter.cpu()
    return state.facts()


def _descend(
    adapter: Adapter, optimizer: torch.optim.Optimizer, parts: dict[str, Tensor],
    weights: dict[str, float], clip: float,
) -> None:  # fmt: skip
    """Take one step down the weighted sum of some losses."""
    total = torch.stack([weights[name] * loss.float() for name, loss in parts.items()]).sum()
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(adapter.parameters(), clip)
    optimizer.step()


def check_checkpoint(path: str | os.PathLike[str]) -> None:
    """Refuse, before any long work, a checkpoint that could not be written or resumed from.

    Raises:
        ValueError: see `checks.file_to_write`; or a file of another kind.
    """
    file = checks.file_to_write(path, "checkpoint")
    if file.exists():
        _read(file)


def _look(
    adapter: Adapter, judge: Judge, state: _State, best: dict[str, Tensor]
) -> dict[str, Tensor]:
    look = judge(adapter)
    state.agreement = look.agreement
    state.looks += 1
    if look.agreement <= state.best:
        return best
    state.refused = look.fallen
    if look.fallen:
        return best
    state.best, state.best_step, state.looks = state.agreement, state.step, 0
    return _copy(adapter)


def _copy(adapter: Adapter) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in adapter.state_dict().items()}


def _set_rate(optimizer: torch.optim.Optimizer, config: TrainConfig, progress: float) -> None:
    """Linear warm-up, then cosine decay to a tenth."""
    if progress < config.warmup:
        share = (progress + 1e-3) / (config.warmup + 1e-3)
    else:
        done = (progress - config.warmup) / (1 - config.warmup)
        share = 0.1 + 0.45 * (1 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * share * group["factor"]


def _device(name: str) -> torch.device:
    checks.one_of(name, "device", ("auto", "cpu", "cuda", "mps"))
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, present in there.items() if present), "cpu"))
    if not there.get(name, True):
        raise ValueError(f"device is {name!r}, but this machine has none; use 'auto' or 'cpu'")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 run in hardware; elsewhere float32 is faster and as good."""
    if device.type == "cpu":
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    return device.type == "cuda"


def _learned(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [tensor for group in optimizer.param_groups for tensor in group["params"]]


def _save(
    path: str | os.PathLike[str],
    adapter: Adapter,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    identity: str,
    state: _State,
    best: dict[str, Tensor],
) -> None:
    temporary = Path(f"{os.fspath(path)}.part")
    torch.save(
        {
            "fit": identity,
            "state": vars(state),
            "adapter": adapter.state_dict(),
            "best": best,
            "optimizer": optimizer.state_dict(),
            "learned": [tensor.detach() for tensor in _learned(optimizer)],
            "draws": objective.random.get_state(),
        },
        temporary,
    )
    temporary.replace(path)


def _resume(
    path: str | os.PathLike[str],
    adapter: Adapter,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    identity: str,
) -> tuple[_State, dict[str, Tensor]]:
    saved = _read(path)
    try:
        if saved["fit"] != identity:
            raise ValueError("it was written with other vectors, configuration, grid or seed")
        adapter.load_state_dict(saved["adapter"])
        optimizer.load_state_dict(saved["optimizer"])
        with torch.no_grad():  # the objective may learn too, not only the adapter
            for tensor, value in zip(_learned(optimizer), saved["learned"], strict=True):
                tensor.copy_(value)
    except Exception as error:
        raise ValueError(f"checkpoint {path} does not belong to this fit: {error}") from error
    objective.random.set_state(saved["draws"])
    return _State(**saved["state"]), saved["best"]


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `_save` wrote."""
    try:
        saved = torch.load(path, weights_only=True)
    except OSError:
        raise
    except Exception:  # of a file of any other kind: whatever it makes PyTorch raise
        saved = None
    if not isinstance(saved, dict) or "fit" not in saved:
        raise ValueError(f"checkpoint {path} is no checkpoint of a fit; give another name")
    return saved
