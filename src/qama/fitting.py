"""`qama.fit`: vectors in, a codec out."""

from __future__ import annotations

import logging
import os
import reprlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import blas, checks, distinct, drift, forked, heldout, norms, recipe, sources
from qama.checks import Floats
from qama.codec import Codec
from qama.embedders.embedder import Embedder
from qama.embedders.texts import checked, embedded
from qama.quantizers.additive.fit import fit_additive
from qama.quantizers.additive.quantizer import AdditiveQuantizer
from qama.quantizers.additive.units import evenly
from qama.quantizers.thermometer.levels import QUARTERS
from qama.recipe import Callback, Report, TrainConfig

_log = logging.getLogger(__name__)
_MAX_VALIDATION = 512
_ROWS = 65_536  # that grid codes learn from, and of texts are embedded, where none are asked for
_NARROW_FROM = 192  # dims from which codewords have 4-bit entries


@checks.default_errstate()
def fit(
    X: object,
    texts: Iterable[str] | None = None,
    *,
    preset: str = "default",
    seed: int = 0,
    codes: str | None = None,
    dims: Sequence[int] | None = None,
    levels: Sequence[object] | None = None,
    fractions: Sequence[float] = QUARTERS,
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
        X: Floats (n, d): an array (memory-mapped or not), tensor, frame, column of lists or Arrow
            table; the path of a file that `qama.vectorfiles.opened` reads; a dataset of Hugging
            Face; or an iterator, a list or a tuple of batches, each of what stands first. n is at
            least 16; for grid codes d is a multiple of 8. Memory stays bounded: of more than
            ``max_rows`` rows (262,144 up to 384 dims) an even sample is used. Zero rows and exact
            copies count once: ``facts`` say how many were left out.
        texts: Texts in place of vectors; X is then what makes vectors of them: an object with
            ``encode``, as a SentenceTransformer is, or a function from a list to floats (n, d).
            Of more than ``max_rows`` texts (65,536) only an even sample is embedded. A terminal
            shows how far that is.
        preset: "default", or "paper" for the grid of QAMA (CIKM 2025).
        seed: Of every random draw.
        codes: "bytes" for byte codes, "grid" for grid codes, which need PyTorch, or "all" for both;
            default "bytes", with preset "paper" "grid". Byte codes are the same, bit for bit,
            whatever else is fitted. What follows down to ``base`` is for grid codes.
        dims: The prefixes to fit for, multiples of 8; default d, d/2, d/3, d/4, d/8. All d dims
            always belong to them. ``[d]`` fits for all dims alone: by Hamming distance no level
            then finds fewer neighbours of held-out rows than signs of the dims less their mean.
        levels: Levels to fit for, of "0.5", "1", "1.5", "2"; default all, which also gives
            hybrid. One level is the paper's way; all at once serve every level from one fit.
        fractions: Hybrid's shares of the dims at 2, 1.5, 1 and 0.5 bit.
        pairs: Queries and the documents that answer them, two arrays (p, d). The grid learns to
            find the answers, beyond what the floats find; byte codes are fitted on X alone.
        queries: A sample of real queries (m, d), without labels: the grid learns to answer them as
            the floats do. For the default preset.
        base: A codec of the same recipe, fitted on other vectors of the same model: the fit starts
            from it and keeps what X says too little of, so that a few hundred vectors of a field
            are enough. It has the codes that are fitted; dims, levels and fractions are its.
        device: "auto", "cpu", "cuda" or "mps", for grid codes.
        threads: CPU threads; 0 uses all cores.
        callbacks: Functions called with a `qama.recipe.Report` after each step.
        checkpoint: A file to resume from if it exists, written as the training of grid codes goes,
            in a folder that exists.
        model: Name of the model that made the vectors; recorded, and checked where a name is given
            when the codec or an index is opened.
        **options: Fields of `qama.recipe.TrainConfig` to change.

    Returns:
        The codec; its ``facts`` say what was fitted on and which step was shipped.

    Warns:
        NormWarning: the vectors' lengths vary strongly; codes rank by cosine.
        FewRowsWarning: byte codes leave more than a tenth of the variance of rows that the fit held
            out, and twice as much as of those that it saw; ``facts["error"]`` has both.

    Raises:
        ValueError: an argument that does not fit; the message says what would.
        RuntimeError: grid codes, and more than one thread, in a process that was forked off one
            that had imported PyTorch; its threads would be waited for in vain.
        MissingExtraError: grid codes are asked for and PyTorch is not installed.
    """
    began = time.perf_counter()
    for_grid = {
        "dims": dims, "levels": levels, "fractions": fractions, "pairs": pairs, "queries": queries,
        "device": device, "checkpoint": checkpoint,
    }  # fmt: skip
    chosen = _recipe(preset, codes, for_grid, options)
    _check_base(base, chosen, model)
    given = None if texts is None else checked(texts)
    embedder = _embedder(X, given)
    if model is None and base is None and embedder is not None:
        model = embedder.model
    wanted = _wanted(chosen, base, callbacks, for_grid) if chosen.has_grid else None
    seed, count = checks.integer(seed, "seed", 0, 2**31), checks.threads(threads)
    if wanted is not None:
        forked.check_threads(count)
    counted, total = _rows(X, embedder, given, chosen, seed, base)
    norms.warn(counted.rows)
    facts = _facts(counted, total, seed, chosen, model, base)
    kept, validation = _split(counted.rows, chosen.held_out, seed)
    del counted  # as many values again
    with blas.at_most(count):
        some = evenly(kept, _ROWS) if chosen.max_rows is None else kept
        thermometer, found = _grid(wanted, some, validation, seed, count)
        agreement = found.get("agreement_best")
        additive = _bytes(chosen, base, kept, seed, count, callbacks, agreement)
        codec = Codec(additive, thermometer, preset)
        found[drift.FACT] = drift.reference(codec, validation)
        errors = heldout.measure(codec, kept, validation)
    if errors is not None:
        found[heldout.FACT] = errors.fact()
        errors.warn(len(kept))
    found |= facts
    found["seconds"] = round(time.perf_counter() - began, 1)
    _log.info(
        "fitted codec %s (%s) on %d of %d rows in %s s",
        codec.fingerprint, chosen.codes, len(kept) + len(validation), total, found["seconds"],
    )  # fmt: skip
    return replace(codec, facts=found)


def _embedder(X: object, texts: list[str] | None) -> Embedder | None:
    """Return what makes vectors of the texts, where texts are given.

    Raises:
        ValueError: X makes none, or there are no texts for it.
    """
    if texts is not None:
        return Embedder(X, "X")
    if hasattr(X, "encode") and not isinstance(X, str):
        raise ValueError(f"X is a {type(X).__name__}; give its texts too: qama.fit(model, texts)")
    return None


def _rows(
    X: object, embedder: Embedder | None, texts: list[str] | None, chosen: TrainConfig, seed: int,
    base: Codec | None,
) -> tuple[distinct.Distinct, int]:  # fmt: skip
    """Return the rows that the fit learns from, each once, and how many there were."""
    most = chosen.max_rows
    if most is not None:
        checks.integer(most, "max_rows", sources.MIN_ROWS)
    if embedder is None or texts is None:
        loaded, total = sources.load(X, most, seed)
    else:
        vectors, total = embedded(embedder, texts, most or _ROWS, seed)
        loaded, _ = sources.load(vectors, most, seed)
    counted = distinct.distinct(loaded)
    if base is not None and base.dims_in != counted.rows.shape[1]:
        raise ValueError(
            f"vectors have {counted.rows.shape[1]} dims, but the base was fitted on {base.dims_in}"
        )
    return counted, total


def _facts(
    counted: distinct.Distinct, total: int, seed: int, chosen: TrainConfig, model: str | None,
    base: Codec | None,
) -> dict[str, Any]:  # fmt: skip
    """Return what is recorded of any fit."""
    return {
        "rows": total,
        "rows_used": len(counted.rows),
        "zero_rows": counted.zeros,
        "copies": counted.copies,
        "seed": seed,
        "config": chosen.json(),
        "model": model if base is None or model is not None else base.model,
        "base": None if base is None else base.fingerprint,
    }


_DEFAULTS: dict[str, object] = {"fractions": QUARTERS, "device": "auto"}


def _recipe(
    preset: str, codes: str | None, for_grid: dict[str, Any], options: dict[str, Any]
) -> TrainConfig:
    """Return the recipe that was asked for, refusing options of codes that it does not fit."""
    if "bytes" in options:  # as it was said before there was `codes`
        codes = "all" if options.pop("bytes") else "grid"
    chosen = recipe.preset(preset, codes, **options)
    for name, value in for_grid.items():
        default = _DEFAULTS.get(name)
        if type(value) is not type(default) or (default is not None and value != default):
            recipe.refuse_idle(name, chosen.codes)
    return chosen


def _check_base(base: object, chosen: TrainConfig, model: str | None) -> None:
    """Refuse a base that lacks what is fitted, or is of another model."""
    if model is not None and not isinstance(model, str):
        raise ValueError(f"model is {reprlib.repr(model)}; give the model's name, a string")
    if base is None:
        return
    if not isinstance(base, Codec):
        raise ValueError(f"base is a {type(base).__name__}; give a Codec: Codec.load(path)")
    base.check_model(model)
    if chosen.has_grid and base.thermometer is None:
        raise ValueError('grid codes can start from a base\'s, and this base has none; give '
                         'codes="bytes", or fit without a base')  # fmt: skip
    if chosen.has_bytes and (base.additive is None or not base.additive.splits):
        has = "none" if base.additive is None else "those of an earlier version"
        raise ValueError(f"byte codes can start from a base's, and this base has {has}; "
                         f'give codes="grid", or fit without a base')  # fmt: skip


def _wanted(
    chosen: TrainConfig,
    base: Codec | None,
    callbacks: Sequence[Callback],
    for_grid: dict[str, Any],
) -> Any:
    """Return what is asked of the grid, checked; here PyTorch is imported."""
    from qama.training.grid import Wanted

    known = None if base is None else base.thermometer
    return Wanted.of(chosen, known, callbacks=callbacks, **for_grid)


def _grid(wanted: Any, kept: Floats, validation: Floats, seed: int, threads: int) -> Any:
    """Fit grid codes, where they are asked for; returns the quantizer and facts."""
    if wanted is None:
        return None, {}
    from qama.training.grid import fit_grid

    return fit_grid(wanted, kept, validation, seed, threads)


def _bytes(
    chosen: TrainConfig,
    base: Codec | None,
    kept: Floats,
    seed: int,
    threads: int,
    callbacks: Sequence[Callback],
    agreement: float | None,
) -> AdditiveQuantizer | None:
    """Fit byte codes, where they are asked for."""
    if not chosen.has_bytes:
        return None
    known = None if base is None else base.additive
    longest = min(chosen.max_bytes, kept.shape[1])
    if known is not None:
        longest = min(longest, known.max_bytes)

    def tell(done: int, stages: int, distortion: float) -> None:
        for callback in callbacks:
            callback(Report(done, stages, {"distortion": distortion}, agreement, "bytes"))

    bits = chosen.codeword_bits
    if bits is None:
        bits = 4 if kept.shape[1] >= _NARROW_FROM else 16
    with blas.at_most(1):  # faster than two, which wait for each other, and the same fit for any
        return fit_additive(kept, longest, seed, threads, tell, known, bits)


def _split(rows: Floats, share: float, seed: int) -> tuple[Floats, Floats]:
    """Split off the validation rows, which are never trained on."""
    count = min(_MAX_VALIDATION, max(1, int(len(rows) * share)))
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows[np.sort(order[count:])], rows[np.sort(order[:count])]
