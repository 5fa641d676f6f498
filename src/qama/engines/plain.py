"""Plain arrays: .npy, and safetensors with the label in the metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import files
from qama.checks import Bytes
from qama.engines.codefiles import CodesFile
from qama.engines.label import Label
from qama.engines.table import Rows, client


class Npy(CodesFile):
    """Codes as NAME.npy, ids as NAME.ids.npy; nothing there says which codec made them."""

    engine = "npy"

    def _write(self, rows: Rows, label: Label) -> None:
        path = Path(self.place)
        _save(path.with_name(f"{path.stem}.ids.npy"), rows.ids)
        _save(path, rows.codes)

    def _read(self, data: Bytes) -> tuple[str | bytes | None, Rows]:
        raise ValueError("a .npy file does not say which codec made it; numpy.load reads it")


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    with files.replacing(path) as file:
        np.save(file, array)


class Safetensors(CodesFile):
    """Tensors "codes" and "ids", the label in the metadata."""

    engine = "safetensors"
    extra = "safetensors"

    def __init__(self, place: str, table: str = "") -> None:
        super().__init__(place)
        self._safetensors = client(type(self), "safetensors.numpy")

    def _write(self, rows: Rows, label: Label) -> None:
        tensors = {"codes": rows.codes, "ids": rows.ids}
        self.replace(self._safetensors.save(tensors, {"qama": label.to_json()}))

    def _read(self, data: Bytes) -> tuple[str | bytes | None, Rows]:
        packed = data.tobytes()
        tensors = self._safetensors.load(packed)
        header = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
        text = header.get("__metadata__", {}).get("qama")
        return text, Rows(tensors["ids"], tensors["codes"])
