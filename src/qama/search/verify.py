"""Whether a file is whole: checksums, structure, the chain of its log, a sample of its codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, codefile, container
from qama.checks import Bytes, Ids
from qama.codec import Codec
from qama.errors import FormatError
from qama.search import base, loading, log
from qama.search.base import CHUNK_BLOCKS, Base
from qama.search.snapshot import WORD, Snapshot

_SAMPLE = 1000  # vectors that are encoded again


@dataclass
class Findings:
    """What was looked at, and what is wrong.

    Attributes:
        passed: Sentences on what is as it should be.
        problems: Sentences on what is not.
    """

    passed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def note(self, problem: str | None, otherwise: str) -> None:
        """Keep a problem, or what is fine where there is none."""
        (self.passed if problem is None else self.problems).append(problem or otherwise)


def verify(
    path: Path, codec: Codec | None = None, vectors: npt.NDArray[Any] | None = None
) -> Findings:
    """Check every byte of a codec, index or code file, an index with its log.

    Args:
        path: The file.
        codec: For a file of codes, the codec that made it.
        vectors: Floats (n, d): the vectors of ids 0 to n - 1 (of a file of codes: of its rows). A
            sample of them is encoded and compared with what is stored.

    Raises:
        OSError: the file cannot be opened.
    """
    findings = Findings()
    try:
        kind = container.kind_of(path)
        checks.one_of(kind, "the kind of the file", ("codec", "index", "codes"))
        if kind == "codec":
            loaded = Codec.load(path)
            findings.passed.append(f"codec {loaded.fingerprint}: checksums and parts fit")
        elif kind == "codes":
            _verify_codes(path, codec, vectors, findings)
        else:
            _verify_index(path, vectors, findings)
    except (FormatError, ValueError) as error:
        findings.problems.append(str(error))
    return findings


def damaged_chunks(found: Base) -> Ids:
    """Return the numbers of the chunks of 1024 rows that their checksums do not prove.

    A file of version 1 has checksums of whole sections only.
    """
    stored = found.contents.arrays.get("chunks")
    if found.contents.version == 1 or stored is None:
        whole = not set(found.contents.damaged()) & {"blocks", "rest", "ids"}
        return np.arange(0 if whole else -(-len(found.blocks) // CHUNK_BLOCKS), dtype=np.int64)
    return np.flatnonzero(base.chunk_checksums(found.blocks, found.ids) != stored)


def _verify_index(path: Path, vectors: npt.NDArray[Any] | None, findings: Findings) -> None:
    found = base.read(path)
    for name in found.contents.damaged():
        findings.problems.append(f"{path}: section {name!r} is damaged (checksum differs)")
    lost = damaged_chunks(found)
    lines = ", ".join(_rows_of(chunk, found.rows) for chunk in lost[:10].tolist())
    more = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
    findings.note(
        f"{path}: rows {lines}{more} are not proven" if len(lost) else None,
        f"base {found.identity}: {found.rows} rows of codec {found.codec.fingerprint}",
    )
    if found.ids is not None and len(found.ids):
        unique = len(np.unique(found.ids)) == found.rows and found.ids.min() >= 0
        findings.note(None if unique else f"{path}: ids repeat or are negative", "ids are unique")
    behind = found.blocks.has_behind(found.rows)
    findings.note(
        f"{path}: bytes past the last row are not zero" if behind else None, "padding is zero"
    )
    if not findings.whole:
        return
    state = loading.load(path)
    findings.passed.append(_log_line(path, state.log))
    now = state.table.snapshot()
    now.factors(found.code)  # every code can be decoded
    findings.passed.append(f"{len(now)} vectors can be found")
    if vectors is not None:
        _compare(now, found, vectors, findings)


def _log_line(path: Path, record: log.Log | None) -> str:
    name = loading.log_path(path).name
    if record is None:
        return f"{name}: no changes since"
    torn = record.size - record.stop
    end = f"; {torn} bytes of an unfinished write at its end will be cut off" if torn else ""
    return f"{name}: {len(record.records)} records follow each other{end}"


def _compare(now: Snapshot, found: Base, vectors: npt.NDArray[Any], findings: Findings) -> None:
    A = checks.matrix(vectors, "the vectors", found.codec.dims_in)
    ids = now.live_ids()
    ids = ids[ids < len(A)]
    ids = ids[np.unique(np.linspace(0, max(len(ids) - 1, 0), min(_SAMPLE, len(ids))).astype(int))]
    stored = now.codes()[now.find(ids)]
    encoded = found.codec.encode(A[ids], compact=True, **found.code.request) if len(ids) else stored
    _note_differences(encoded, stored, findings)


def _verify_codes(
    path: Path, codec: Codec | None, vectors: npt.NDArray[Any] | None, findings: Findings
) -> None:
    if codec is None:
        raise ValueError(
            f"{path} holds codes of codec {codefile.codec_of(path)}; give that codec to verify them"
        )
    opened = codefile.read(path, codec)
    opened.contents.check_sections()
    findings.passed.append(f"{len(opened.codes)} codes of codec {codec.fingerprint}")
    if vectors is not None:
        A = checks.matrix(vectors, "the vectors", codec.dims_in)
        rows = np.arange(min(_SAMPLE, len(A), len(opened.codes)))
        encoded = codec.encode(A[rows], compact=opened.compact, **opened.code.request)
        _note_differences(encoded, opened.codes[rows], findings)


def _note_differences(encoded: Bytes, stored: Bytes, findings: Findings) -> None:
    different = int((encoded != stored).any(axis=1).sum())
    findings.note(
        f"{different} of {len(stored)} vectors encode to other codes" if different else None,
        f"{len(stored)} vectors encode to what is stored",
    )


def _rows_of(chunk: int, rows: int) -> str:
    first = chunk * CHUNK_BLOCKS * WORD
    return f"{first} to {min(first + CHUNK_BLOCKS * WORD, rows) - 1}"
