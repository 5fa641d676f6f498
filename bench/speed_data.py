"""Codes with the distribution of real ones, at any number of rows."""

import os
from pathlib import Path

import numpy as np

K = 10  # results of every search
DIMS = 384


def vectors(rows, seed=0):
    """Real embeddings where QAMA_DATA has them; otherwise synthetic ones of a falling spectrum."""
    folder = Path(os.environ.get("QAMA_DATA", "../shared"))
    file = folder / "embeddings" / "all-minilm-l6-v2" / "train-text.npy"
    if file.exists():
        real = np.load(file, mmap_mode="r")
        return np.asarray(real[np.sort(np.random.default_rng(seed).permutation(len(real))[:rows])],
                          dtype=np.float32)  # fmt: skip
    random = np.random.default_rng(seed)
    spectrum = (1 + np.arange(DIMS)) ** -0.5
    return (random.standard_normal((rows, DIMS)) * spectrum).astype(np.float32)


def noisy(codes, rows, random):
    """Tile codes to so many rows, with bits flipped at random."""
    out = np.empty((rows, codes.shape[1]), dtype=np.uint8)
    for start in range(0, rows, len(codes)):
        some = min(len(codes), rows - start)
        # flips: the AND of four random bytes sets a bit with probability 1/16
        flips = random.integers(0, 256, (4, some, codes.shape[1]), dtype=np.uint8)
        out[start : start + some] = codes[:some] ^ np.bitwise_and.reduce(flips, axis=0)
    return out


def unit_rows(X):
    """Rows of length 1."""
    return X / np.linalg.norm(X, axis=1, keepdims=True)
