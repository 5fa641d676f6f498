"""How alike are two vectors, row by row: semantic similarity on codes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats
from qama.tasks.codeset import CodeSet, coded

_BATCH = 1024  # rows whose lookup tables are held together


@checks.default_errstate()
def similarity(a: CodeSet | npt.NDArray[np.floating], b: CodeSet, *, threads: int = 0) -> Floats:
    """Score row i of a against row i of b, exactly as a search would.

    Args:
        a: Codes of the same kind, or floats (n, d) for asymmetric scores, which keep more.
        b: n codes.
        threads: 0 uses all cores.

    Returns:
        float32 (n,): floats against codes: an estimate of the floats' cosine, which of grid codes
        can exceed 1 (see `Codec.score`); byte codes against each other: the cosine of what they
        stand for; grid codes against each other: 1 - Hamming distance / bits.

    Raises:
        ValueError: b is no codes, another number of rows, another kind of code, unfitting floats.
    """
    compared = coded(b, "b").comparable(a)
    if len(compared) != len(b):
        raise ValueError(
            f"a has {len(compared)} rows and b has {len(b)}; give one of each per pair"
        )
    threads = checks.threads(threads)
    scores = np.empty(len(b), dtype=np.float32)
    for rows in checks.chunks(b.stored, _BATCH):
        scorer = b.scorer(compared[rows], threads)
        own = np.arange(rows.start, rows.stop)[:, None]
        scores[rows] = scorer.scores(scorer.chosen(b.rows, own, threads))[:, 0]
    return scores
