"""Elasticsearch, OpenSearch and Vespa: files for their bulk doors, with the mapping beside.

Nothing here speaks to a server: the mapping makes the index, the other file fills it.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from qama import checks, files
from qama.checks import Bytes
from qama.engines.codefiles import CodesFile
from qama.engines.label import Label
from qama.engines.table import Rows


class Bulk(CodesFile):
    """One JSON value a line in PATH, and what describes the field beside it.

    Attributes:
        beside: What the name of the second file ends in.
    """

    any_code = False
    beside: ClassVar[str] = ".mapping.json"

    def __init__(self, place: str, table: str) -> None:
        super().__init__(place)
        self.table = table

    def _write(self, rows: Rows, label: Label) -> None:
        path = Path(self.place)
        with files.replacing(path.with_name(path.name + self.beside)) as file:
            file.write(self._description(label).encode())
        with files.replacing(path) as file:
            for some in checks.chunks(rows.ids):
                pairs = zip(rows.ids[some].tolist(), rows.codes[some], strict=True)
                lines = [line for key, code in pairs for line in self._lines(key, code)]
                file.write("".join(json.dumps(line) + "\n" for line in lines).encode())

    def _read(self, data: Bytes) -> tuple[str | bytes | None, Rows]:
        raise ValueError("it is for a server to read")

    @abstractmethod
    def _description(self, label: Label) -> str:
        """Return what describes the field, with the label in it."""

    @abstractmethod
    def _lines(self, key: int, code: Bytes) -> Iterator[dict[str, Any]]:
        """Return the lines of one row."""


class Elasticsearch(Bulk):
    """Lines for _bulk, and the body that makes the index: dense_vector of element_type bit."""

    engine = "elasticsearch"

    def _description(self, label: Label) -> str:
        code = {
            "type": "dense_vector",
            "element_type": "bit",
            "dims": label.bits,
            "index": True,
            "similarity": "l2_norm",  # of bits: the Hamming distance
        }
        return _mapping({"code": code}, label)

    def _lines(self, key: int, code: Bytes) -> Iterator[dict[str, Any]]:
        yield {"index": {"_index": self.table, "_id": str(key)}}
        yield {"id": key, "code": code.tobytes().hex()}


class OpenSearch(Bulk):
    """Lines for _bulk, and the body that makes the index: knn_vector of data_type binary."""

    engine = "opensearch"

    def _description(self, label: Label) -> str:
        method = {"name": "hnsw", "engine": "faiss", "space_type": "hamming"}
        code = {
            "type": "knn_vector",
            "dimension": label.bits,
            "data_type": "binary",
            "method": method,
        }
        return _mapping({"code": code}, label, settings={"index": {"knn": True}})

    def _lines(self, key: int, code: Bytes) -> Iterator[dict[str, Any]]:
        yield {"index": {"_index": self.table, "_id": str(key)}}
        yield {"id": key, "code": code.view(np.int8).tolist()}


class Vespa(Bulk):
    """Lines for `vespa feed`, and a schema: tensor<int8> with the metric hamming."""

    engine = "vespa"
    beside = ".sd"

    def _description(self, label: Label) -> str:
        kind = f"tensor<int8>(x[{label.nbytes}])"
        return f"""# qama {label.to_json()}
schema {self.table} {{
    document {self.table} {{
        field id type long {{
            indexing: attribute | summary
        }}
        field code type {kind} {{
            indexing: attribute | index | summary
            attribute {{
                distance-metric: hamming
            }}
        }}
    }}
    rank-profile hamming {{
        inputs {{
            query(q) {kind}
        }}
        first-phase {{
            expression: closeness(field, code)
        }}
    }}
}}
"""

    def _lines(self, key: int, code: Bytes) -> Iterator[dict[str, Any]]:
        fields = {"id": key, "code": {"values": code.view(np.int8).tolist()}}
        yield {"put": f"id:{self.table}:{self.table}::{key}", "fields": fields}


def _mapping(properties: dict[str, Any], label: Label, **more: Any) -> str:
    meta = {"qama": label.to_json()}
    properties = {"id": {"type": "long"}, **properties}
    return json.dumps({**more, "mappings": {"_meta": meta, "properties": properties}}, indent=2)
