"""What inverted lists ask of the kernels: which blocks a query visits.

Arguments are checked, paths and threads chosen as `qama.kernels` says.
"""

from __future__ import annotations

from qama.kernels import _check
from qama.kernels._arrays import I64
from qama.kernels._dispatch import backend
from qama.kernels.scans import Probes


def blocks_to_visit(
    probes: Probes, least: int, *, threads: int = 0, path: str | None = None
) -> tuple[I64, I64]:
    """Find the blocks of the lists that each query reads, as a scan with probes does.

    Args:
        probes: The lists and the queries.
        least: How many rows the lists of a query hold, at least; where all hold fewer, all are
            read.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        ``visited`` and ``ends`` of a scan, see `HammingScan`.
    """
    _check.at_least("least", least, 0)
    _check.at_least("threads", threads, 0)
    return backend(path).blocks_to_visit(probes, least, threads=threads)
