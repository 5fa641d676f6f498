"""Fitting byte codes: words and codes in turns. NumPy only; no gradient, no label.

Block by block, on what the blocks before left over:

1. The start draws words from the covariance that reverse water-filling keeps, so that their sums
   are spread as the vectors are (random superposition, as in rate-distortion theory).
2. Rounds of: choose all words of every row together under the codebooks plus a little noise, which
   falls to none; refit the codebooks by ridge least squares. (Local search quantization with
   stochastic relaxation: Martinez et al., ECCV 2018.)

What else was tried is in docs/quality.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Floats
from qama.encoding.bytecode import (
    BEAM,
    BLOCK_ENDS,
    SWEEPS,
    UNIT,
    ByteCoder,
    Int16s,
    blocks,
    prepared,
    whole,
)
from qama.encoding.transform import unit

# Distortion of a unit Gaussian at 0 to 6 bits (Lloyd-Max; Max 1960, table I).
_DISTORTION = (1.0, 0.3634, 0.1175, 0.03454, 0.0095, 0.0025, 0.0007)
_ROUNDS = {0: 30, 12: 16, 48: 8}  # by the byte where a block starts
_FEW_ROUNDS = 6  # for a block of one byte
_MANY_ROWS = 30_000  # fewer rows get more rounds, up to twice as many
_NOISE = 0.5  # of the words in the first round, in standard deviations of a word's share
_QUIET = 0.8  # of the rounds have noise
_LATE, _LATE_ROWS = 128, 16_384  # blocks from this byte on are fitted on so many rows at most
_RIDGE = 4.0  # rows: a word that few rows chose stays near zero
_BEAM, _SWEEPS = 2, 3  # of the search in a round

Progress = Callable[[int, int, float], None]


def fit_byte_coder(
    X: Floats, seed: int, threads: int, progress: Progress | None = None
) -> ByteCoder:
    """Fit codebooks for codes of up to min(256, d) bytes.

    Args:
        X: float32 (n, d), the rows to fit on.
        seed: Of every random draw.
        threads: Threads of the search for words.
        progress: Called with blocks done, blocks in all, and the distortion left.
    """
    U = unit(X)
    parts = blocks(min(BLOCK_ENDS[-1], X.shape[1]))
    random = np.random.default_rng(seed)
    center = whole(U.mean(axis=0))
    rest = whole(U - center * np.float32(UNIT))
    words: list[Int16s] = []
    for done, (start, stop) in enumerate(parts):
        if start >= _LATE and len(rest) > _LATE_ROWS:  # nothing but noise is left
            rest = rest[np.linspace(0, len(rest) - 1, _LATE_ROWS).astype(np.int64)]
        rounds = _rounds(start, stop, len(X))
        words.append(_fit_block(rest, 2 * (stop - start), rounds, random, threads))
        _, rest = kernels.choose_words(
            rest, prepared(words[-1]), beam=BEAM, sweeps=SWEEPS, threads=threads
        )
        if progress is not None:
            left = np.square(rest[:4096] * UNIT).sum(axis=1)
            progress(done + 1, len(parts), float(left.mean()))
    stacked = np.concatenate(words).reshape(-1, 16, X.shape[1])
    coder = ByteCoder(center, stacked, np.ones(len(stacked) // 2, dtype=np.float32))
    return ByteCoder(center, stacked, _prefix_lengths(coder, U[:4096]))


def _rounds(start: int, stop: int, rows: int) -> int:
    rounds = next(rounds for byte, rounds in reversed(_ROUNDS.items()) if start >= byte)
    rounds = _FEW_ROUNDS if stop - start == 1 else rounds
    return round(rounds * min(2.0, max(1.0, _MANY_ROWS / rows)))


def _fit_block(
    rows: Int16s, sections: int, rounds: int, random: np.random.Generator, threads: int
) -> Int16s:
    """Return the words (16 sections, d) of one block for rows int16 (n, d)."""
    W = _start(rows, sections, random)
    share = (rows.std(axis=0, dtype=np.float32) * np.float32(UNIT)) / np.sqrt(sections)
    for turn in range(rounds):
        level = _NOISE * max(0.0, 1 - turn / (_QUIET * rounds))
        noise = random.standard_normal(W.shape, dtype=np.float32) * share
        noisy = whole(W + np.float32(level) * noise)
        codes, _ = kernels.choose_words(
            rows, prepared(noisy), beam=_BEAM, sweeps=_SWEEPS, threads=threads
        )
        W = _least_squares(codes, rows)
    return whole(W)


def _start(rows: Int16s, sections: int, random: np.random.Generator) -> Floats:
    """Draw words from the covariance that reverse water-filling of whole bits keeps."""
    values, axes = np.linalg.eigh(_second_moments(rows))
    values = np.maximum(values, 1e-12)
    spent = np.zeros(len(values), dtype=int)
    beyond = _DISTORTION[-1] * 0.25 ** np.arange(1, 4 * sections)  # about a quarter a bit
    table = np.array([*_DISTORTION, *beyond])
    for _ in range(4 * sections):
        gains = values * (table[spent] - table[spent + 1])
        spent[np.argmax(gains)] += 1
    floor = (values * table[spent])[spent > 0].min()
    kept = np.sqrt(np.maximum(values - floor, 0) / sections)
    drawn = random.standard_normal((16 * sections, len(values))) * kept
    return np.asarray(drawn @ axes.T, dtype=np.float32)


def _second_moments(rows: Int16s) -> npt.NDArray[np.float64]:
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for part in checks.chunks(rows):
        R = rows[part] * np.float32(UNIT)
        total += R.T @ R
    return total / len(rows)


def _least_squares(codes: Bytes, rows: Int16s) -> Floats:
    """Return the words (16 sections, d) that come closest to the rows under these codes."""
    width = 32 * codes.shape[1]
    A, B = np.eye(width) * _RIDGE, np.zeros((width, rows.shape[1]))
    for part in checks.chunks(rows):
        chosen = _one_hot(codes[part])
        A += chosen.T @ chosen
        B += chosen.T @ (rows[part] * np.float32(UNIT))
    return np.linalg.solve(A, B).astype(np.float32)


def _one_hot(codes: Bytes) -> Floats:
    nibbles = np.stack([codes >> 4, codes & 15], axis=2).reshape(len(codes), -1)
    chosen = np.zeros((*nibbles.shape, 16), dtype=np.float32)
    np.put_along_axis(chosen, nibbles[:, :, None].astype(np.int64), 1, axis=2)
    return chosen.reshape(len(codes), -1)


def _prefix_lengths(coder: ByteCoder, U: Floats) -> Floats:
    """Return the mean |x_hat| of every byte prefix over unit rows U: float32 (bytes,)."""
    codes = coder.encode(U, coder.max_bytes)
    decoded = np.repeat(coder.center[None].astype(np.float32), len(U), axis=0)
    lengths = np.empty(coder.max_bytes, dtype=np.float32)
    for byte, values in enumerate(codes.T):
        decoded += coder.words[2 * byte, values >> 4]
        decoded += coder.words[2 * byte + 1, values & 15]
        lengths[byte] = np.linalg.norm(decoded, axis=1).mean() * UNIT
    return np.maximum(lengths, np.float32(1e-6))
