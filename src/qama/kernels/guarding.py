"""Guards mapped files against being cut while they are read; see csrc/guard.cpp."""

from __future__ import annotations

from qama.kernels._arrays import U8
from qama.kernels._dispatch import native_paths


def guard(data: U8) -> int:
    """Let reads behind the end of a mapped file give zeros; returns a place, -1 if it cannot."""
    if not native_paths():
        return -1
    from qama.kernels import _native

    return _native.guard(data.ctypes.data, data.nbytes)


def unguard(place: int) -> None:
    """End what `guard` began."""
    if place >= 0:
        from qama.kernels import _native

        _native.unguard(place)


def faulted(place: int) -> bool:
    """Whether a read behind the end happened since."""
    if place < 0:
        return False
    from qama.kernels import _native

    return _native.faulted(place)
