"""What inverted lists ask of the kernels: which blocks a query visits.

Arguments are checked, paths and threads chosen as `qama.kernels` says.
"""

from __future__ import annotations

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import F32, I64
from qama.kernels._dispatch import backend


def blocks_to_visit(
    distances: F32,
    held: I64,
    blocks: I64,
    ends: I64,
    *,
    nprobe: int,
    least: int,
    threads: int = 0,
    path: str | None = None,
) -> tuple[I64, I64]:
    """Find the blocks of the lists that each query reads.

    These are the ``nprobe`` lists of least distance, ties to the lower list, and further ones in
    that order until they hold ``least`` rows.

    Args:
        distances: float32 ``(m, nlist)``, of each query and list.
        held: int64 ``(nlist,)``: how many rows each list holds.
        blocks: int64 ``(b,)``: blocks by list, ascending for each.
        ends: int64 ``(nlist,)``: where the blocks of each list end among them.
        nprobe: From 1 to ``nlist``.
        least: See above; where all lists hold fewer, all are read.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        ``visited`` and ``ends`` of a scan, see `HammingScan`.
    """
    distances = _check.array("distances", distances, np.float32, (None, None))
    nlist = distances.shape[1]
    held = _check.array("held", held, np.int64, (nlist,))
    ends = _check.array("ends", ends, np.int64, (nlist,))
    blocks = _check.array("blocks", blocks, np.int64, (None,))
    _check.at_least("nprobe", nprobe, 1)
    if nprobe > nlist:
        raise ValueError(f"nprobe is {nprobe}; there are {nlist} lists")
    _check.at_least("threads", threads, 0)
    return backend(path).blocks_to_visit(
        distances, held, blocks, ends, nprobe=nprobe, least=least, threads=threads
    )
