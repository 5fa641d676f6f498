"""Codebooks of an additive quantizer, prepared for the choice of codewords."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import I8, I16, I32, U8
from qama.kernels.layout import CodebookLayout

_PANEL = 32  # codewords of a panel
_NIBBLE_PANEL = 32  # codewords of a panel of 4-bit entries
_OCTET = 8  # dims whose 4-bit entries lie together
_ZERO = 8  # how a 4-bit entry of 0 is stored


@dataclass(frozen=True)
class Codebooks:
    """What `qama.kernels.choose_codewords` chooses from; made by `qama.kernels.prepare_codebooks`.

    Attributes:
        codewords: int16 (w s, d): the w codewords of each of s codebooks.
        size: w, 16 or 256.
        panels: int32 (w s / 32, d / 2, 32): the same, as `panels` lays them out.
        twice: int16 (w s, w s), twice the products of codewords, halved ``shift`` times.
        squares: int32 (w s,), the codewords' squared norms, halved ``shift`` times.
        shift: How often products are halved, each time rounding down.
        limit: Halved products of rows and codewords are clamped to +-limit.
    """

    codewords: I16
    size: int
    panels: I32
    twice: I16
    squares: I32
    shift: int
    limit: int

    @cached_property
    def layout(self) -> CodebookLayout:
        """Which bits of a code choose from each codebook."""
        byte = CodebookLayout.uniform(1, self.size).codewords
        return CodebookLayout.uniform(len(self.codewords) // byte, self.size)


def panels(codewords: I16) -> I32:
    """Lay codewords out in panels of 32, whose 32-bit lanes multiply two dims at once.

    Args:
        codewords: int16 ``(w, d)``, d even.

    Returns:
        int32 ``(ceil(w / 32), d / 2, 32)``: for each dim pair (2 k, 2 k + 1) the entries of 32
        codewords side by side; codewords of zeros fill up the last panel.
    """
    filled = np.zeros((-(-len(codewords) // _PANEL) * _PANEL, codewords.shape[1]), np.int16)
    filled[: len(codewords)] = codewords
    dim_pairs = filled.view(np.int32).reshape(-1, _PANEL, codewords.shape[1] // 2)
    return np.ascontiguousarray(dim_pairs.swapaxes(1, 2))


def from_panels(laid_out: I32) -> I16:
    """Return the codewords (w, d) that `panels` laid out, with those that fill up."""
    codewords = np.ascontiguousarray(laid_out.swapaxes(1, 2)).view(np.int16)
    return codewords.reshape(-1, codewords.shape[2])


@dataclass(frozen=True, eq=False)
class NibbleCodewords:
    """Codewords of 4-bit entries times a step, laid out for products; made by `of`.

    Attributes:
        panels: uint8 (ceil(w / 32), ceil(d / 8), 32, 4): of each codeword and eight dims, four
            bytes whose low nibbles hold the first four entries, each plus 8, and whose high nibbles
            the other four. Zeros fill up the last panel and the last dims.
        steps: int16 (32 panels,): what the entries of each codeword are multiplied by.
        mean: int16 (d,): its product with a query is what the query's scores begin with.
        count: w.
        native: What the native module made of them, when first needed.
    """

    panels: U8
    steps: I16
    mean: I16
    count: int
    native: Any = field(default=None, init=False, repr=False)

    @property
    def dims(self) -> int:
        """Dims of a codeword."""
        return len(self.mean)

    @classmethod
    def of(cls, entries: I8, steps: I16, mean: I16) -> NibbleCodewords:
        """Lay out codewords.

        Args:
            entries: int8 (w, d), each from -8 to 7.
            steps: int16 (w,), above 0.
            mean: int16 (d,).

        Raises:
            ValueError: a mean of other dims.
        """
        w, d = entries.shape
        mean = _check.array("mean", mean, np.int16, (d,))
        panels, octets = -(-w // _NIBBLE_PANEL), -(-d // _OCTET)
        filled = np.zeros((_NIBBLE_PANEL * panels, _OCTET * octets), np.uint8)
        filled[:w, :d] = entries.view(np.uint8)
        filled += np.uint8(_ZERO)
        nibbles = filled.reshape(panels, _NIBBLE_PANEL, octets, 2, 4)
        laid_out = (nibbles[:, :, :, 0] | nibbles[:, :, :, 1] << 4).swapaxes(1, 2)
        steps = np.pad(steps, (0, len(filled) - w))
        return cls(np.ascontiguousarray(laid_out), steps, mean, w)

    def entries(self) -> I8:
        """Return the entries int8 (w, d)."""
        nibbles = np.stack([self.panels & 15, self.panels >> 4], axis=3).swapaxes(1, 2)
        entries = (nibbles - np.uint8(_ZERO)).view(np.int8).reshape(len(self.steps), -1)
        return entries[: self.count, : self.dims]
