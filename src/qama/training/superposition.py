"""Fitting byte codes: directions and bits in turns. NumPy only; no gradient, no label.

Block by block, on what the blocks before left over (a superposition code, as in rate-distortion
theory: codewords are sums of many weak ones):

1. The start draws directions from the covariance that reverse water-filling keeps.
2. Rounds of: choose all bits of every row together under the directions plus a little noise, which
   falls to none (simulated annealing keeps the pair out of poor optima); refit the directions by
   ridge least squares.

Ranking losses were tried on top and gained nothing once bits are chosen together and scored by the
cosine (docs/quality.md).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Bytes, Floats
from qama.encoding.bytecode import BLOCK_ENDS, SEARCH_STEPS, TENURE, ByteCoder
from qama.encoding.transform import unit

# Distortion of a unit Gaussian at 0 to 6 bits (Lloyd-Max; Max 1960, table I).
_DISTORTION = (1.0, 0.3634, 0.1175, 0.03454, 0.0095, 0.0025, 0.0007)
_ROUNDS = (15, 100)  # per block: for 50,000 rows and more, and at most, for fewer; wide blocks half
_WIDE = 128  # bits
_ROUND_STEPS = 60  # flips tried in a round
_NOISE = 0.5  # of the directions in the first round, in standard deviations of a bit's share
_RIDGE = 1.0
_UNITS = 2.0**24  # whole numbers per unit of the squared length

Progress = Callable[[int, int, float], None]


def fit_byte_coder(
    X: Floats, seed: int, threads: int, progress: Progress | None = None
) -> ByteCoder:
    """Fit directions for codes of up to min(256, d) bytes.

    Args:
        X: float32 (n, d), the rows to fit on.
        seed: Of every random draw.
        threads: Threads of the bit search.
        progress: Called with blocks done, blocks in all, and the distortion left.
    """
    U = unit(X)
    longest = min(BLOCK_ENDS[-1], X.shape[1])
    ends = [end for end in BLOCK_ENDS if end < longest] + [longest]
    random = np.random.default_rng(seed)
    center = U.mean(axis=0)
    residual = U - center
    directions: list[Floats] = []
    for done, (start, stop) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        D = _fit_block(residual, 8 * (stop - start), random, threads)
        bits = _choose(residual, D, SEARCH_STEPS, threads)
        residual = residual - _signs(bits) @ D
        directions.append(D)
        if progress is not None:
            progress(done + 1, len(ends), float(np.square(residual).sum(axis=1).mean()))
    coder = ByteCoder(center, np.concatenate(directions), np.ones(longest, dtype=np.float32))
    return ByteCoder(center, coder.directions, _prefix_lengths(coder, U[:4096]))


def _fit_block(R: Floats, bits: int, random: np.random.Generator, threads: int) -> Floats:
    """Return the directions (bits, d) of one block for residuals R (n, d)."""
    rounds = int(np.clip(_ROUNDS[0] * 50_000 / len(R), *_ROUNDS))
    rounds = max(8, rounds // 2) if bits > _WIDE else rounds
    D = _start(R, bits, random)
    share = R.std(axis=0) / np.sqrt(bits)
    for turn in range(rounds):
        level = _NOISE * max(0.0, 1 - turn / (0.8 * rounds))
        noise = random.standard_normal(D.shape).astype(np.float32) * share
        chosen = _choose(R, D + np.float32(level) * noise, _ROUND_STEPS, threads)
        D = _least_squares(_signs(chosen), R)
    return D


def _start(R: Floats, bits: int, random: np.random.Generator) -> Floats:
    """Draw directions from the covariance that reverse water-filling of whole bits keeps."""
    values, axes = np.linalg.eigh((R.T @ R).astype(np.float64) / len(R))
    values = np.maximum(values, 1e-12)
    spent = np.zeros(len(values), dtype=int)
    table = np.array([*_DISTORTION, _DISTORTION[-1]])
    for _ in range(bits):
        gains = values * (table[spent] - table[spent + 1])
        spent[np.argmax(gains)] += 1
    floor = (values * table[spent])[spent > 0].min()
    kept = np.sqrt(np.maximum(values - floor, 0) / bits)
    drawn = random.standard_normal((bits, len(values))) * kept
    return np.asarray(drawn @ axes.T, dtype=np.float32)


def _choose(R: Floats, D: Floats, steps: int, threads: int) -> Bytes:
    """Choose bits (n, bits / 8) for residuals under directions D."""
    gram = D.astype(np.float64) @ D.T.astype(np.float64)
    units = _units(gram, R, D)
    linear = np.rint((R @ D.T) * np.float32(units)).astype(np.int32)
    tenure = min(TENURE, len(D) // 4)
    whole = np.rint(gram * units).astype(np.int32)
    return kernels.choose_bits(linear, whole, steps=steps, tenure=tenure, threads=threads)


def _units(gram: npt.NDArray[np.float64], R: Floats, D: Floats) -> float:
    largest = np.abs(gram).sum(axis=1).max()
    farthest = np.linalg.norm(R, axis=1).max() * np.linalg.norm(D, axis=1).max()
    return float(min(_UNITS, 2.0 ** np.floor(np.log2(2.0**29 / max(largest + farthest, 1e-6)))))


def _least_squares(B: Floats, R: Floats) -> Floats:
    A = (B.T @ B).astype(np.float64)
    A[np.diag_indices(len(A))] += _RIDGE
    return np.linalg.solve(A, (B.T @ R).astype(np.float64)).astype(np.float32)


def _signs(bits: Bytes) -> Floats:
    return np.unpackbits(bits, axis=1).astype(np.float32) * 2 - 1


def _prefix_lengths(coder: ByteCoder, U: Floats) -> Floats:
    """Return the mean |x_hat| of every byte prefix over unit rows U: float32 (bytes,)."""
    signs = _signs(coder.encode(U, coder.max_bytes))
    decoded = np.repeat(coder.center[None], len(U), axis=0)
    lengths = np.empty(coder.max_bytes, dtype=np.float32)
    for byte in range(coder.max_bytes):
        bits = slice(8 * byte, 8 * byte + 8)
        decoded += signs[:, bits] @ coder.directions[bits]
        lengths[byte] = np.linalg.norm(decoded, axis=1).mean()
    return np.maximum(lengths, np.float32(1e-6))
