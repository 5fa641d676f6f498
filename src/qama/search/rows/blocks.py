"""Codes in blocks of 64 rows, as the kernels read them, the leading bytes of each code apart.

A coarse-to-fine search scans the leading bytes of all rows first: they lie in an array of their
own, since reading them in order is several times as fast as jumping from block to block
(docs/kernels.md). Where nothing is scanned first, one array holds all bytes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Ids
from qama.quantizers.protocol import Code

BLOCK_ROWS = 64  # rows of a block; a mask has one word of 64 bits for each block


@dataclass(frozen=True, eq=False)
class Blocks:
    """Codes in blocks.

    Attributes:
        leading: uint8 (blocks, columns, 64), see `qama.kernels`: the leading bytes.
        rest: uint8 (blocks, more, 64): the others; None where there are no more.
    """

    leading: Bytes
    rest: Bytes | None = None

    @classmethod
    def zeros(cls, count: int, columns: int, leading: int) -> Self:
        """Return blocks of zeros, of codes of ``columns`` bytes, ``leading`` of them apart."""
        widths = [width for width in (leading, columns - leading) if width]
        return cls(*(kernels.zero_blocks(count, width) for width in widths))

    @classmethod
    def of(cls, codes: Bytes, leading: int) -> Self:
        """Return the blocks of codes uint8 (n, bytes), ``leading`` of them apart."""
        made = cls.zeros(blocks_of(len(codes)), codes.shape[1], leading)
        made.write(codes, 0)
        return made

    @property
    def parts(self) -> tuple[Bytes, ...]:
        """The arrays that hold the bytes, the leading ones first."""
        return (self.leading,) if self.rest is None else (self.leading, self.rest)

    @property
    def columns(self) -> int:
        """Bytes of a code."""
        return sum(part.shape[1] for part in self.parts)

    def __len__(self) -> int:
        return len(self.leading)

    def __getitem__(self, some: slice) -> Blocks:
        return Blocks(*(part[some] for part in self.parts))

    def codes(self, rows: int, columns: int | None = None) -> Bytes:
        """Return the first bytes (None: all) of the first rows, uint8 (rows, columns)."""
        codes = np.empty((rows, self.columns if columns is None else columns), dtype=np.uint8)
        for some in checks.chunks(codes):
            at = 0
            for part in self.parts:
                to = codes[some, at : at + part.shape[1]]
                if to.shape[1]:
                    blocks = part[some.start // BLOCK_ROWS : blocks_of(some.stop)]
                    to[:] = kernels.from_blocks(blocks, len(to))[:, : to.shape[1]]
                at += part.shape[1]
        return codes

    def codes_at(self, places: Ids, columns: int | None = None) -> Bytes:
        """Return the first bytes (None: all) of the codes at places, uint8 (n, columns)."""
        columns = self.columns if columns is None else columns
        codes = np.empty((len(places), columns), dtype=np.uint8)
        for some in checks.chunks(codes):
            block, lane = np.divmod(places[some], BLOCK_ROWS)
            at = 0
            for part in self.parts:
                to = codes[some, at : at + part.shape[1]]
                to[:] = part[block, : to.shape[1], lane]
                at += part.shape[1]
        return codes

    def write_at(self, codes: Bytes, places: Ids) -> None:
        """Write codes uint8 (n, bytes) at places int64 (n,)."""
        for some in checks.chunks(codes):
            block, lane = np.divmod(places[some], BLOCK_ROWS)
            at = 0
            for part in self.parts:
                part[block, :, lane] = codes[some, at : at + part.shape[1]]
                at += part.shape[1]

    def write(self, codes: Bytes, row: int) -> None:
        """Write codes uint8 (n, bytes) into the rows from ``row`` on; those before it stay."""
        begun = min(-row % BLOCK_ROWS, len(codes))  # lanes left in the last block
        at = 0
        for part in self.parts:
            own = codes[:, at : at + part.shape[1]]
            lane, block = row % BLOCK_ROWS, row // BLOCK_ROWS
            if begun:
                part[block, :, lane : lane + begun] = own[:begun].T
            kernels.to_blocks(own[begun:], out=part[blocks_of(row) : blocks_of(row + len(codes))])
            at += part.shape[1]

    def room_for(self, rows: int) -> Blocks:
        """Return blocks that can be written, with room for so many rows: these, or a larger copy.

        Blocks mapped from a file are copied.
        """
        held, wanted = len(self), blocks_of(rows)
        if wanted <= held and all(part.flags.writeable for part in self.parts):
            return self
        count = max(wanted, held + held // 4)
        larger = Blocks.zeros(count, self.columns, self.leading.shape[1])
        for old, new in zip(self.parts, larger.parts, strict=True):
            new[:held] = old
        return larger

    def apart(self, leading: int) -> Blocks:
        """Return the same codes with so many leading bytes apart: these, or a copy."""
        if self.leading.shape[1] == leading:
            return self
        return Blocks.of(self.codes(BLOCK_ROWS * len(self)), leading)

    def padded(self, rows: int) -> Blocks:
        """Return the same with zeros in the lanes past the last row: these, or a copy."""
        if not self.has_behind(rows):
            return self
        copies = Blocks(*(part.copy() for part in self.parts))
        for part in copies.parts:
            part[-1, :, rows % BLOCK_ROWS :] = 0
        return copies

    def has_behind(self, rows: int) -> bool:
        """Whether a lane past the last row is not zero."""
        return rows % BLOCK_ROWS > 0 and any(
            p[-1, :, rows % BLOCK_ROWS :].any() for p in self.parts
        )

    def checksum(self, first: int, stop: int) -> int:
        """Return the CRC-32 of the bytes of some blocks: leading ones of all, then the others."""
        crc = 0
        for part in self.parts:
            crc = zlib.crc32(np.ascontiguousarray(part[first:stop]).data, crc)
        return crc


def blocks_of(rows: int) -> int:
    """Return the blocks that hold so many rows."""
    return -(-rows // BLOCK_ROWS)


def from_arrays(arrays: dict[str, npt.NDArray[Any]], rows: int, columns: int) -> Blocks:
    """Return the blocks of a file's sections "blocks" and "rest".

    Raises:
        ValueError: not uint8, or of a shape that does not fit the rows and the bytes of a code.
    """
    found = [arrays["blocks"]] + ([arrays["rest"]] if "rest" in arrays else [])
    widths = [part.shape[1] if part.ndim == 3 else 0 for part in found]
    for part, width in zip(found, widths, strict=True):
        if (
            part.shape != (blocks_of(rows), width, BLOCK_ROWS)
            or part.dtype != np.uint8
            or not width
        ):
            raise ValueError(f"blocks are {part.dtype} of shape {part.shape} for {rows} rows")
    if sum(widths) != columns:
        raise ValueError(f"blocks hold {sum(widths)} bytes a code; codes have {columns}")
    return Blocks(*found)


def coarse_code(code: Code) -> Code | None:
    """Return the prefix that a coarse-to-fine search scans first: about a quarter of the bytes."""
    prefixes = code.prefixes()
    within = [short for short in prefixes if 4 * short.stored_bytes <= code.stored_bytes]
    fitting = within or prefixes[:1]
    return fitting[-1] if fitting else None


def leading_bytes(code: Code) -> int:
    """Return how many bytes of a code an index keeps apart: of byte codes those scanned first.

    Codes that are not nested lie in one piece, as Hamming distances read them.
    """
    short = coarse_code(code) if code.nested else None
    return short.stored_bytes if short else code.stored_bytes
