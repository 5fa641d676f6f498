"""Whether this process is a fork of one that had PyTorch, whose threads a fork leaves behind.

PyTorch's OpenMP threads wait for others that are not there, for ever, in a child that was forked.
On one thread nobody is waited for. The kernels' own threads live for one call each: encoding and
searching work in any child.
"""

from __future__ import annotations

import os
import sys

_left_behind = False


def _after_fork() -> None:
    global _left_behind
    _left_behind = _left_behind or "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_threads(threads: int) -> None:
    """Refuse to fit on more than one thread where it would wait for ever.

    Raises:
        RuntimeError: PyTorch was imported before this process was forked.
    """
    if _left_behind and threads > 1:
        raise RuntimeError(
            "this process was forked off one that had imported PyTorch, whose threads do not "
            "survive that: a fit on several threads would wait for ever. Start it by "
            "multiprocessing.get_context('spawn') or 'forkserver', or fit with threads=1"
        )
