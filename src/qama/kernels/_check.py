"""Checks of what the kernels are given; each error names the argument, its value and what fits.

They cost nothing that grows with the number of stored rows.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from qama.kernels._arrays import F32, I16, I32, I64, U8, U64, InverseNorms
from qama.kernels.layout import BYTE_SIZE, NIBBLE_SIZE, CodebookLayout

_INT32_MAX = 2**31 - 1
_CODEBOOKS = 64  # that are chosen from together, at most
_MOST_BEAM = 16


def array(
    name: str, value: npt.NDArray[Any], dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Return ``value`` C-contiguous after checking its dtype and shape (None: any length)."""
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} is a {type(value).__name__}; a NumPy array is needed")
    if value.dtype != dtype or not _fits(value.shape, shape):
        wanted = "(" + ", ".join("*" if s is None else str(s) for s in shape) + ")"
        raise ValueError(
            f"{name} is {value.dtype} of shape {value.shape}; "
            f"{np.dtype(dtype)} of shape {wanted} is needed"
        )
    return np.ascontiguousarray(value)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    if len(shape) != len(wanted):
        return False
    for have, want in zip(shape, wanted, strict=True):  # no generator: each search comes by here
        if want is not None and want != have:
            return False
    return True


def columns(name: str, value: U8) -> U8:
    """Return codes whose rows are bytes that follow each other: these where they are so."""
    apart = isinstance(value, np.ndarray) and value.ndim == 2 and value.strides[1] == 1
    if apart and value.dtype == np.uint8 and value.strides[0] >= value.shape[1]:
        return value
    return array(name, value, np.uint8, (None, None))


def at_least(name: str, value: int, least: int) -> None:
    """Check that an integer is not below ``least``."""
    try:
        fits = operator.index(value) >= least
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} is {value!r}; an integer of at least {least} is needed")


def blocks(value: U8, n: int | None = None, name: str = "blocks") -> None:
    """Check blocks, which are never copied, and that they hold ``n`` rows."""
    array_like = isinstance(value, np.ndarray) and value.ndim == 3
    if not array_like or not value.flags.c_contiguous:
        raise ValueError(
            f"{name} must be a C-contiguous uint8 array (ceil(n / 64), nbytes, 64); "
            "to_blocks makes one"
        )
    array(name, value, np.uint8, (None, None, 64))
    at_least(f"{name}.shape[1]", value.shape[1], 1)
    if n is None:
        return
    at_least("n", n, 0)
    if len(value) != -(-n // 64):
        raise ValueError(
            f"blocks has {len(value)} blocks of 64 rows; {n} rows fill {-(-n // 64)} blocks"
        )


def queries(value: U8, stored: U8, bits: int, bit_pairs: int) -> U8:
    """Check queries for Hamming distances; return the columns that ``bits`` reach into."""
    value = array("queries", value, np.uint8, (None, None))
    columns = value.shape[1]
    if columns > stored.shape[1]:
        raise ValueError(f"queries has {columns} columns; only {stored.shape[1]} are stored")
    at_least("bits", bits, 1)
    if bits > 8 * columns:
        raise ValueError(f"bits is {bits}; the {columns} columns of queries hold {8 * columns}")
    at_least("bit_pairs", bit_pairs, 0)
    if 2 * bit_pairs > bits:
        raise ValueError(f"bit_pairs is {bit_pairs}; {bits} bits hold at most {bits // 2} of them")
    return np.ascontiguousarray(value[:, : -(-bits // 8)])


def rest(value: U8 | None, count: int) -> None:
    """Check that further columns are of ``count`` blocks."""
    if value is None:
        return
    blocks(value, name="rest")
    if len(value) != count:
        raise ValueError(f"rest has {len(value)} blocks; blocks has {count}")


def tables(value: I16, full: int) -> I16:
    """Check lookup tables."""
    value = array("tables", value, np.int16, (None, None))
    at_least("full", full, 0)
    try:
        fits = CodebookLayout.with_full(value.shape[1], full).nbytes >= 1
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"tables has {value.shape[1]} entries per query; 256 for each of full={full} columns, "
            f"then 32 for each further column, one column or more, are needed"
        )
    return value


def offsets(value: I32, queries: int, tables: int) -> I32:
    """Check what the sums of so many queries, each of an entry of so many tables, start with."""
    value = array("offsets", value, np.int32, (queries,))
    most = _INT32_MAX - tables * 2**15
    if value.size and not -most <= int(value.min()) <= int(value.max()) <= most:
        raise ValueError(
            f"offsets reaches from {value.min()} to {value.max()}; with {tables} tables it must "
            f"stay within +-{most}, or sums could leave int32"
        )
    return value


def layout(codes: U8, full: int) -> CodebookLayout:
    """Check how many leading bytes of codes are full; return the layout of their codebooks."""
    at_least("full", full, 0)
    columns = codes.shape[1]
    if full > columns:
        raise ValueError(f"full is {full}; codes have {columns} columns")
    return CodebookLayout(columns, full)


def inverse_norms(
    value: InverseNorms | None, steps: F32 | None, n: int
) -> tuple[InverseNorms | None, F32 | None]:
    """Check one inverse norm per row, or one index per row of the 256 steps."""
    if steps is None:
        return None if value is None else array("inverse_norms", value, np.float32, (n,)), None
    if value is None:
        raise ValueError("inverse_norms is None but steps are given; one index per row is needed")
    return array("inverse_norms", value, np.uint8, (n,)), array("steps", steps, np.float32, (256,))


def mask(value: U64, stored: U8) -> U64:
    """Check one mask word per block."""
    return array("mask", value, np.uint64, (len(stored),))


def visited(
    value: I64 | None, ends: I64 | None, stored: U8, queries: int
) -> tuple[I64 | None, I64 | None]:
    """Check the numbers of the blocks to scan, and which of them are whose query's."""
    if value is None:
        if ends is not None:
            raise ValueError("visited is None but ends are given; give each query's blocks")
        return None, None
    value = array("visited", value, np.int64, (None,))
    if value.size and not 0 <= value.min() <= value.max() < len(stored):
        raise ValueError(
            f"visited reaches from {value.min()} to {value.max()}; "
            f"blocks 0 to {len(stored) - 1} exist"
        )
    falls = value[1:] <= value[:-1]
    if ends is not None:
        ends = array("ends", ends, np.int64, (queries,))
        begins = int(ends[0]) if queries else 0
        if begins < 0 or (ends[1:] < ends[:-1]).any() or (queries and ends[-1] != len(value)):
            raise ValueError(f"ends must ascend from 0 to the {len(value)} blocks of visited")
        starts = ends[(ends > 0) & (ends < len(value))]
        falls[starts - 1] = False  # from one query to the next
    if falls.any():
        raise ValueError("visited does not ascend; give each block once, in order")
    return value, ends


def lists(nlist: int, blocks: I64, ends: I64) -> None:
    """Check where the blocks of each of ``nlist`` lists end among all."""
    array("blocks", blocks, np.int64, (None,))
    array("ends", ends, np.int64, (nlist,))
    if ends[0] < 0 or (ends[1:] < ends[:-1]).any() or ends[-1] > len(blocks):
        raise ValueError(f"ends must ascend from 0 to the {len(blocks)} blocks")


def rows(value: I64, queries: int, count: int) -> I64:
    """Check chosen rows, ``queries`` lists of them, each below ``count``."""
    value = array("rows", value, np.int64, (queries, None))
    if value.size and not 0 <= int(value.min()) <= int(value.max()) < count:
        raise ValueError(
            f"rows reaches from {value.min()} to {value.max()}; rows 0 to {count - 1} exist"
        )
    return value


def codewords(value: I16, size: int) -> I16:
    """Check the codewords of codebooks of one size."""
    value = array("codewords", value, np.int16, (None, None))
    if size not in (NIBBLE_SIZE, BYTE_SIZE):
        raise ValueError(f"size is {size!r}; a codebook can hold {NIBBLE_SIZE} or {BYTE_SIZE}")
    width, d = value.shape
    byte = CodebookLayout.uniform(1, size).codewords
    if width % byte or not byte <= width <= size * _CODEBOOKS:
        raise ValueError(
            f"codewords has {width} rows; {byte} for each byte of a choice, of at most "
            f"{_CODEBOOKS} codewords, are needed"
        )
    if d % 2 or not 0 < d < 2**20:
        raise ValueError(f"codewords has {d} columns; an even number below 2**20 is needed")
    return value


def choice(rows: I16, dims: int, beam: int, sweeps: int) -> I16:
    """Check what codewords are chosen for, and how."""
    rows = array("rows", rows, np.int16, (None, dims))
    at_least("beam", beam, 1)
    if beam > _MOST_BEAM:
        raise ValueError(f"beam is {beam}; at most {_MOST_BEAM} are possible")
    at_least("sweeps", sweeps, 0)
    return rows
