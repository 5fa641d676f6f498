"""How many threads NumPy's products and equations take while a codec is fitted."""

from __future__ import annotations

from contextlib import AbstractContextManager

try:
    from threadpoolctl import ThreadpoolController
except ImportError:
    from qama.errors import MissingExtraError

    raise MissingExtraError("fitting a codec", "threadpoolctl", "train") from None

_BLAS = ThreadpoolController().select(user_api="blas")


def at_most(threads: int) -> AbstractContextManager[object]:
    """Hold NumPy to so many threads inside a with block, and never give it more than it has."""
    now = max((library["num_threads"] for library in _BLAS.info()), default=threads)
    held: AbstractContextManager[object] = _BLAS.limit(limits=min(threads, now))
    return held
