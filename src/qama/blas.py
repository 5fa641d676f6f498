"""How many threads NumPy's own products and equations take."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any


def at_most(threads: int) -> AbstractContextManager[object]:
    """Hold NumPy to so many threads inside a with block, and never give it more than it has.

    Args:
        threads: 0 leaves NumPy as it is.
    """
    if not threads:
        return nullcontext()
    blas = _blas()
    now = max((library["num_threads"] for library in blas.info()), default=threads)
    if now <= threads:
        return nullcontext()  # a limit costs more than a small product
    held: AbstractContextManager[object] = blas.limit(limits=threads)
    return held


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
