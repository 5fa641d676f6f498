"""Whether a file is whole: checksums, structure, the chain of its log, a sample of its codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, codefile, container, files, mapping
from qama.checks import Bytes, Ids
from qama.codec import Code, Codec
from qama.errors import FormatError
from qama.search.rows.kept import PIECE_ROWS
from qama.search.rows.snapshot import BLOCK_ROWS, Snapshot
from qama.search.storage import base, loading, log, names
from qama.search.storage.base import CHUNK_BLOCKS, Base

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
    """Check every byte of a file of any kind, an index with its log.

    Args:
        path: The file: a codec, index, partitioned index, code file, names, or a log alone.
        codec: For a file of codes, the codec that made it; without it their checksum is checked.
        vectors: Floats (n, d): the vectors of ids 0 to n - 1 (of a file of codes: of its rows). A
            sample of them is encoded and compared with what is stored.

    Raises:
        ValueError: unfitting vectors, or another codec than the one that made the codes.
        OSError: the file cannot be opened.
    """
    findings = Findings()
    path = files.real(path)
    try:
        kind = "log" if files.read(path)[:8].tobytes() == log.MAGIC else container.kind_of(path)
        if kind not in _KINDS:
            raise FormatError(f"{path} is of kind {kind!r}, none of {', '.join(_KINDS)}")
        _KINDS[kind](path, findings, codec, vectors)
    except FormatError as error:
        findings.problems.append(str(error))
    return findings


def damaged_chunks(found: Base) -> Ids:
    """Return the numbers of the chunks of 1024 rows that their checksums do not prove.

    A file of version 1 has checksums of whole sections only.
    """
    stored = found.contents.arrays.get("chunks")
    if found.contents.version == 1 or stored is None:
        whole = not set(found.contents.damaged()) & {"blocks", "rest", "ids", "rows"}
        return np.arange(0 if whole else -(-len(found.blocks) // CHUNK_BLOCKS), dtype=np.int64)
    rows_at = None if found.lists is None else found.lists.rows_at
    return np.flatnonzero(base.chunk_checksums(found.blocks, found.ids, rows_at) != stored)


def damaged_vectors(found: Base) -> Ids:
    """Return the numbers of the pieces of 1024 rows whose kept vectors are not proven."""
    if found.kept is None:
        return np.zeros(0, dtype=np.int64)
    stored = found.contents.arrays["vector_chunks"]
    return np.flatnonzero(base.vector_checksums(found.kept.pieces()) != stored)


def _verify_codec(path: Path, findings: Findings, *_: object) -> None:
    loaded = Codec.load(path)
    findings.passed.append(f"codec {loaded.fingerprint}: checksums and parts fit")


def _verify_names(path: Path, findings: Findings, *_: object) -> None:
    findings.passed.append(f"{len(names.read(path))} names: checksums fit, none occurs twice")


def _verify_log(path: Path, findings: Findings, *_: object) -> None:
    _note_log(path, log.read(files.read(path), path), findings)


def _verify_index(
    path: Path, findings: Findings, _: object, vectors: npt.NDArray[Any] | None
) -> None:
    contents = base.contents(path, mapping.mapped(path))
    _note_damaged(contents, findings)
    found = base.parse(contents)
    lost = damaged_chunks(found)
    lines = ", ".join(_places_of(chunk, found) for chunk in lost[:10].tolist())
    more = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
    findings.note(
        f"{path}: {'rows' if found.lists is None else 'places'} {lines}{more} are not proven"
        if len(lost)
        else None,
        f"base {found.identity}: {found.rows} rows of codec {found.codec.fingerprint}",
    )
    _note_vectors(path, found, findings)
    if found.ids is not None:
        _note_ids(path, found.ids, findings)
    if found.lists is None:
        behind = found.blocks.has_behind(found.rows)
        findings.note(
            f"{path}: bytes past the last row are not zero" if behind else None, "padding is zero"
        )
    else:
        _note_lists(path, found, findings)
    if "factors" in found.contents.arrays:
        _note_norms(path, found, findings)
    if not findings.whole:
        return
    _, record, _ = loading.read(path)
    _note_log(found.log_path, record, findings)
    if not findings.whole:
        return
    now = loading.load(path).rows
    now.inverse_norms(found.code)  # every code can be decoded
    findings.passed.append(f"{len(now)} vectors can be found")
    if vectors is not None:
        _compare(now, vectors, found.codec, found.code, findings)


def _verify_codes(
    path: Path, findings: Findings, codec: Codec | None, vectors: npt.NDArray[Any] | None
) -> None:
    maker = codefile.codec_of(path)
    if codec is None:
        container.read(path, codefile.KIND, codefile.FORMAT).check_sections()
        findings.passed.append(
            f"codes of codec {maker}: the checksum fits; give that codec for more"
        )
        return
    if codec.fingerprint != maker:
        raise ValueError(f"{path} holds codes of codec {maker}, not of {codec.fingerprint}")
    opened = codefile.read(path, codec)
    opened.contents.check_sections()
    findings.passed.append(f"{len(opened.codes)} codes of codec {maker}")
    if vectors is not None:
        A = checks.matrix(vectors, "the vectors", codec.dims_in)
        rows = np.arange(min(_SAMPLE, len(A), len(opened.codes)))
        encoded = codec.encode(A[rows], compact=opened.compact, **opened.code.request)
        _note_differences(encoded, opened.codes[rows], findings)


_KINDS: dict[str, Callable[..., None]] = {
    "codec": _verify_codec,
    "index": _verify_index,
    "partitions": _verify_index,
    "codes": _verify_codes,
    "names": _verify_names,
    "log": _verify_log,
}


def _note_lists(path: Path, found: Base, findings: Findings) -> None:
    """Note whether every row has a place."""
    assert found.lists is not None
    live = found.snapshot().live_rows()
    findings.note(
        None if np.array_equal(live, np.arange(found.rows)) else f"{path}: rows without a place",
        f"{found.lists.nlist} lists hold every row",
    )


def _note_norms(path: Path, found: Base, findings: Findings) -> None:
    """Note whether every row has its own inverse norm index."""
    if not findings.whole:
        return
    now = found.snapshot()
    kept, made = now.inverse_norms(found.code), replace(now, cache={}).inverse_norms(found.code)
    places = now.places(now.live_rows())
    wrong = int((kept[places] != made[places]).sum())
    findings.note(
        f"{path}: inverse norms of {wrong} vectors do not follow from their codes"
        if wrong
        else None,
        "inverse norms follow from the codes",
    )


def _note_vectors(path: Path, found: Base, findings: Findings) -> None:
    """Note whether every kept vector is proven and finite."""
    if found.kept is None:
        return
    form, lost = found.kept.form, damaged_vectors(found)
    infinite = sum(
        int((~np.isfinite(form.unpacked(piece)).all(axis=1)).sum()) for piece in found.kept.pieces()
    )
    problem = f"{infinite} kept vectors are not finite" if infinite else None
    if len(lost):
        problem = f"kept vectors of {len(lost)} times {PIECE_ROWS} rows are not proven"
    findings.note(problem and f"{path}: {problem}", f"{found.rows} vectors are kept as {form.name}")


# -- what several kinds have ----------------------------------------------------------------


def _note_damaged(contents: container.Contents, findings: Findings) -> None:
    for name in contents.damaged():
        findings.problems.append(f"{contents.path}: section {name!r} is damaged (checksum differs)")


def _note_ids(path: Path, ids: Ids, findings: Findings) -> None:
    unique = len(np.unique(ids)) == len(ids) and ids.min(initial=0) >= 0
    findings.note(None if unique else f"{path}: ids repeat or are negative", "ids are unique")


def _note_log(path: Path, record: log.Log | None, findings: Findings) -> None:
    if record is None:
        findings.passed.append(f"{path.name}: no changes since")
        return
    torn = record.size - record.stop
    end = f"; {torn} bytes of an unfinished write at its end will be cut off" if torn else ""
    problem = record.damage
    if record.later:
        problem = problem or f"what follows record {len(record.records)} is not whole"
        problem += f", and {len(record.later)} whole records lie behind: `qama repair` keeps them"
    findings.note(
        None if problem is None else f"{path}: {problem}",
        f"{path.name}: {record.changes} changes follow each other{end}",
    )


def _compare(
    now: Snapshot, vectors: npt.NDArray[Any], codec: Codec, code: Code, findings: Findings
) -> None:
    """Encode the vectors of some ids, evenly drawn, and compare them with what is stored."""
    A = checks.matrix(vectors, "the vectors", codec.dims_in)
    ids, stored = now.live_ids(), now.live_codes()
    known = np.flatnonzero(ids < len(A))
    some = np.unique(np.linspace(0, max(len(known) - 1, 0), min(_SAMPLE, len(known))).astype(int))
    rows = known[some]
    encoded = (
        codec.encode(A[ids[rows]], compact=True, **code.request) if len(rows) else stored[rows]
    )
    _note_differences(encoded, stored[rows], findings)
    if now.kept is not None and len(rows):
        own = now.kept.at(now.find(ids[rows]))
        different = (now.kept.form.packed(checks.finite(A[ids[rows]], "X")) != own).any(axis=1)
        findings.note(
            f"{different.sum()} of {len(own)} kept vectors are other ones"
            if different.any()
            else None,
            f"{len(own)} kept vectors are those given",
        )


def _note_differences(encoded: Bytes, stored: Bytes, findings: Findings) -> None:
    different = int((encoded != stored).any(axis=1).sum())
    findings.note(
        f"{different} of {len(stored)} vectors encode to other codes" if different else None,
        f"{len(stored)} vectors encode to what is stored",
    )


def _places_of(chunk: int, found: Base) -> str:
    first = chunk * CHUNK_BLOCKS * BLOCK_ROWS
    return f"{first} to {min(first + CHUNK_BLOCKS * BLOCK_ROWS, found.extent) - 1}"
