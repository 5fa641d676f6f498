"""How results look where they are printed: one line, an array as its dtype and shape."""

from __future__ import annotations

from typing import Any

import numpy as np


def one_line(name: str, **parts: Any) -> str:
    """Return ``name(part=float32 (3, 5), ...)``: a repr of a few parts, arrays among them."""
    shown = (f"{part}={_short(value)}" for part, value in parts.items())
    return f"{name}({', '.join(shown)})"


def _short(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)
