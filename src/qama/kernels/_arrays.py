"""The array types that the kernels speak, and blocks that begin where a cache line does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I8 = npt.NDArray[np.int8]
I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
InverseNorms = F32 | U8  # values, or indices of steps

CHUNK_BYTES = 1 << 22  # that the NumPy reference works on at a time
_LINE = 64  # bytes of a cache line, and of a column of a block


def zero_blocks(count: int, columns: int) -> U8:
    """Return blocks of zeros, uint8 ``(count, columns, 64)``, each column one cache line."""
    size = count * columns * _LINE
    memory = np.zeros(size + _LINE - 1, dtype=np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size].reshape(count, columns, _LINE)
