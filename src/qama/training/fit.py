"""`qama.fit`: vectors in, a codec out."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    import torch
except ImportError:
    from qama.errors import MissingExtraError

    raise MissingExtraError("fitting a codec", "PyTorch", "train") from None

from qama import checks, drift, forked, sources
from qama.checks import Floats
from qama.codec import Codec
from qama.encoding import levels as grid_levels
from qama.training import agreement, asked, blas, norms
from qama.training import config as configs
from qama.training.additive import fit_byte_coder
from qama.training.asked import Asked
from qama.training.calibration import calibrated
from qama.training.distillation import DistillationObjective
from qama.training.distinct import distinct
from qama.training.nn import Adapter
from qama.training.paper import PaperObjective
from qama.training.train import Callback, Look, Objective, Report, check_checkpoint, train

_MAX_HELD_OUT = 512


def fit(
    X: object,
    preset: str = "default",
    seed: int = 0,
    *,
    dims: Sequence[int] | None = None,
    levels: Sequence[object] | None = None,
    fractions: Sequence[float] = grid_levels.QUARTERS,
    pairs: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]] | None = None,
    queries: npt.NDArray[np.floating] | None = None,
    base: Codec | None = None,
    device: str = "auto",
    threads: int = 0,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    model: str | None = None,
    **options: Any,
) -> Codec:
    """Fit a codec on unlabelled vectors of any frozen model.

    Args:
        X: Floats (n, d) as an array (memory-mapped or not), the path of a .npy or Parquet file,
            an Arrow table, or an iterator of batches (arrays or Arrow's). d is a multiple of 8, n
            at least 16. Memory stays bounded: of more than ``max_rows`` rows an even sample is
            used. Zero rows and exact copies count once: ``facts`` say how many were left out.
        preset: "default", or "paper" for the recipe of QAMA (CIKM 2025).
        seed: Of every random draw.
        dims: The prefixes to fit for, multiples of 8; default d, d/2, d/3, d/4, d/8. All d dims
            always belong to them.
        levels: Levels to fit for, of "0.5", "1", "1.5", "2"; default all, which also gives
            hybrid. One level is the paper's way; all at once serve every level from one fit.
        fractions: Hybrid's shares of the dims at 2, 1.5, 1 and 0.5 bit.
        pairs: Queries and the documents that answer them, two arrays (p, d). The grid learns to
            find the answers, beyond what the floats find; byte codes are fitted on X alone.
        queries: A sample of real queries (m, d), without labels: the grid learns to answer them as
            the floats do. For the default preset.
        base: A codec of the same recipe, fitted on other vectors of the same model: the fit starts
            from it and keeps what X says too little of, so that a few hundred vectors of a field
            are enough. Dims, levels and fractions are the base's.
        device: "auto", "cpu", "cuda" or "mps".
        threads: CPU threads; 0 uses all cores.
        callbacks: Functions called with a `qama.training.train.Report` after each step.
        checkpoint: A file to resume from if it exists, written as training goes, in a folder that
            exists.
        model: Name of the model that made the vectors; recorded, and checked where a name is given
            when the codec or an index is opened.
        **options: Fields of `qama.training.config.TrainConfig` to change.

    Returns:
        The codec; its ``facts`` say what was fitted on and which step was shipped.

    Warns:
        NormWarning: the vectors' lengths vary strongly; codes rank by cosine.

    Raises:
        ValueError: an argument that does not fit; the message says what would.
        RuntimeError: more than one thread in a process that was forked off one that had imported
            PyTorch; its threads would be waited for in vain.
        MissingExtraError: PyTorch or threadpoolctl is not installed.
    """
    began = time.perf_counter()
    forked.check_threads(checks.threads(threads))
    if checkpoint is not None:
        check_checkpoint(checkpoint)
    if levels is not None:
        options["levels"] = _level_names(levels)
    prefixes = None if dims is None else _prefixes(dims)
    shares = grid_levels.check_fractions(fractions)
    if base is not None:
        if not isinstance(base, Codec):
            raise ValueError(f"base is a {type(base).__name__}; give a Codec: Codec.load(path)")
        options["levels"] = _fitted_levels(base, given=(dims, levels), fractions=shares)
        shares = base.grid.fractions
    if model is not None and not isinstance(model, str):
        raise ValueError(f"model is {model!r}; give the model's name, a string")
    chosen = configs.preset(preset, **options)
    seed = checks.integer(seed, "seed", 0, 2**31)
    rows, total = sources.load(
        X, checks.integer(chosen.max_rows, "max_rows", sources.MIN_ROWS), seed
    )
    counted = distinct(rows)
    rows = counted.rows
    norms.warn(rows)
    if base is not None:
        _check_base(base, chosen, rows.shape[1], model)
    grid_dims = _grid_dims(rows.shape[1], prefixes) if base is None else base.dims
    questions = asked.check(queries, pairs, rows.shape[1])
    if queries is not None and chosen.objective == "paper":
        raise ValueError("queries serve objective 'distillation', the default preset's; the "
                         "objective 'paper' takes pairs")  # fmt: skip
    with _threads(checks.threads(threads)):
        kept, held_out = _split(rows, chosen.held_out, seed)
        known_grid = None if base is None else base.grid
        adapter = Adapter(chosen, kept, grid_dims, seed, known_grid)
        splits = [some.split(seed) for some in questions]
        known, held_back = (
            (tuple(part) for part in zip(*splits, strict=True)) if splits else ((), ())
        )
        objective = _objective(chosen, adapter, kept, known, shares, seed)
        held = agreement.HeldOut.make(held_out, kept, seed, held_back)
        start = held.of(adapter.to_grid(shares))

        def judge(adapter: Adapter) -> Look:
            found = held.of(adapter.to_grid(shares))
            return Look(agreement.mean(found), agreement.fallen(found, start))

        facts = train(
            adapter, objective, chosen, chosen.total_steps(len(kept)), judge,
            device=device, callbacks=callbacks, checkpoint=checkpoint,
            data=_checksum(kept, known, base),
        )  # fmt: skip
        grid = adapter.to_grid(shares).with_centers(kept, known_grid)
        grid = calibrated(grid, kept, seed)

        def tell(done: int, blocks: int, distortion: float) -> None:
            losses = {"distortion": distortion}
            for callback in callbacks:
                callback(Report(done, blocks, losses, facts["agreement_best"], "bytes"))

        coder = None
        if chosen.bytes:
            known_bytes = None if base is None else base.bytes
            longest = min(chosen.max_bytes, kept.shape[1])
            if known_bytes is not None:
                longest = min(longest, known_bytes.max_bytes)
            coder = fit_byte_coder(kept, longest, seed, checks.threads(threads), tell, known_bytes)
    codec = Codec(grid, preset, facts, coder)
    facts |= {
        "rows": total,
        "rows_used": len(rows),
        "zero_rows": counted.zeros,
        "copies": counted.copies,
        "seed": seed,
        "queries": sum(len(some.queries) for some in questions if some.answers is None),
        "pairs": sum(len(some.queries) for some in questions if some.answers is not None),
        "seconds": round(time.perf_counter() - began, 1),
        "config": chosen.json(),
        "model": model if base is None or model is not None else base.model,
        "base": None if base is None else base.fingerprint,
        drift.FACT: drift.reference(codec, held_out),
    }
    return codec


def _objective(
    chosen: configs.TrainConfig,
    adapter: Adapter,
    X: Floats,
    known: tuple[Asked, ...],
    fractions: tuple[float, ...],
    seed: int,
) -> Objective:
    if chosen.objective == "paper":
        return PaperObjective(chosen, X, known, seed)
    return DistillationObjective(chosen, adapter, X, fractions, seed, known)


def _checksum(rows: Floats, known: tuple[Asked, ...], base: Codec | None) -> int:
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
    base: Codec, given: tuple[object, ...], fractions: tuple[float, ...]
) -> tuple[str, ...]:
    """Return the levels of a base, which the fit takes over."""
    others = fractions not in (grid_levels.QUARTERS, base.grid.fractions)
    if others or any(value is not None for value in given):
        raise ValueError(
            f"dims, levels and fractions are those of the base ({list(base.dims)}, "
            f"{list(base.levels)}, {list(base.grid.fractions)}); leave them out, or fit without one"
        )
    return tuple(name for name in grid_levels.LEVELS if name in base.grid.thresholds)


def _check_base(base: Codec, chosen: configs.TrainConfig, d: int, model: str | None) -> None:
    """Refuse a base that a fit cannot start from."""
    base.check_model(model)
    if base.dims_in != d:
        raise ValueError(f"vectors have {d} dims, but the base was fitted on {base.dims_in}")
    if base.grid.transform.kind != chosen.architecture:
        raise ValueError(
            f"base has a {base.grid.transform.kind} adapter (preset {base.preset!r}), this fit a "
            f"{chosen.architecture} one; give preset={base.preset!r}"
        )
    if chosen.bytes and (base.bytes is None or not base.bytes.splits):
        has = "none" if base.bytes is None else "those of an earlier version"
        raise ValueError(f"byte codes can start from a base's, and this base has {has}; "
                         f"give bytes=False, or fit without a base")  # fmt: skip


def _level_names(names: Sequence[object]) -> tuple[str, ...]:
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


def _grid_dims(d: int, dims: tuple[int, ...] | None) -> tuple[int, ...]:
    if dims is None:
        return grid_levels.dims_grid(d)
    grid_levels.check_dims(d, "the vectors' dims")
    for value in dims:
        checks.integer(value, "dims", 1, d)
    return tuple(sorted({*dims, d}, reverse=True))


def _split(rows: Floats, share: float, seed: int) -> tuple[Floats, Floats]:
    """Split off the held-out slice, which is never trained on."""
    count = min(_MAX_HELD_OUT, max(1, int(len(rows) * share)))
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows[np.sort(order[count:])], rows[np.sort(order[:count])]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set torch's threads and hold NumPy's inside a with block, and set them back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with blas.at_most(count):
            yield
    finally:
        torch.set_num_threads(before)
