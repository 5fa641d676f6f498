"""Guards mapped files against being cut while they are read; see csrc/guard.cpp."""

from __future__ import annotations

from qama.kernels._arrays import U8

try:
    from qama.kernels import _native
except ImportError:  # nothing is guarded without the native kernels
    _native = None  # type: ignore[assignment]


def guard(data: U8) -> int:
    """Let reads behind the end of a mapped file give zeros; returns a place, -1 if it cannot."""
    return -1 if _native is None else _native.guard(data.ctypes.data, data.nbytes)


def unguard(place: int) -> None:
    """End what `guard` began."""
    if place >= 0:
        _native.unguard(place)


def faulted(place: int) -> bool:
    """Whether a read behind the end happened since."""
    return place >= 0 and _native.faulted(place)
