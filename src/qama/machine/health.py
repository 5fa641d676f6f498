"""Whether all is well: versions, kernels, threads, a self-test, files; with a remedy for each."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qama import checks, container, kernels
from qama.documents import Documents
from qama.documents.store import NAME as DATABASE
from qama.evaluation import provenance
from qama.machine import selftest
from qama.search.storage.verify import verify

FORCED = "QAMA_KERNEL"
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_OPTIONAL = ("torch", "faiss-cpu", "usearch", "pyarrow", "fastapi", "mcp", "sentence-transformers")
_MOST_FOUND = 50  # files that are looked at where none were named


@dataclass(frozen=True)
class Finding:
    """What was looked at.

    Attributes:
        subject: What it is about.
        state: "fine"; "warning": it works, and something is to be known; "problem": it does not.
        said: What was found.
        remedy: What to do; "" where nothing has to be done.
    """

    subject: str
    state: Literal["fine", "warning", "problem"]
    said: str
    remedy: str = ""


def examined(paths: Sequence[Path], seconds: float = 2.0) -> Iterator[Finding]:
    """Yield findings, one after the other.

    Args:
        paths: Files of qama and folders of documents to look at, or folders that hold some. None:
            those of the working directory.
        seconds: Of the self-test.
    """
    yield from _versions()
    yield from _kernels()
    yield _tested(seconds)
    yield _threads()
    yield from _files(paths)


# -- the installation ---------------------------------------------------------------------------


def _versions() -> Iterator[Finding]:
    python, version = platform.python_version(), importlib.metadata.version("qama")
    yield Finding("versions", "fine", f"qama {version}, Python {python} on {platform.platform()}")
    for need in importlib.metadata.requires("qama") or []:
        name, wanted, extra = _requirement(need)
        if not extra:
            yield _package(name, wanted)
    there = [f"{name} {v}" for name in _OPTIONAL if (v := _version(name)) is not None]
    yield Finding("versions", "fine", f"optional packages: {', '.join(there) or 'none'}")


def _requirement(text: str) -> tuple[str, str, bool]:
    """Return the name, the least version ("": any), and whether an extra needs it."""
    found = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*\(?(?:>=\s*([\w.]+))?", text)
    assert found is not None
    return found[1], found[2] or "", "extra ==" in text


def _package(name: str, wanted: str) -> Finding:
    held, needed = _version(name), f"{name} {wanted} or later"
    if held is None:
        return Finding(
            "versions", "problem", f"{name} is missing", f'pip install "{name}>={wanted}"'
        )
    if _parts(held) < _parts(wanted):
        remedy = f'pip install "{name}>={wanted}"'
        return Finding("versions", "problem", f"{name} is {held}; qama needs {needed}", remedy)
    return Finding("versions", "fine", f"{name} {held}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _kernels() -> Iterator[Finding]:
    forced = os.environ.get(FORCED, "")
    try:
        found = kernels.info()
    except ValueError as error:
        yield Finding("kernels", "problem", str(error), f"unset {FORCED}")
        return
    available: Any = found["available"]
    said = f"{provenance.cpu()}: path {found['path']}, of {', '.join(available)}"
    if available == ["numpy"]:
        remedy = (
            "reinstall qama where a C++17 compiler is found: pip install --force-reinstall qama"
        )
        yield Finding("kernels", "warning", f"{said}: searches are several times slower", remedy)
    elif forced and found["path"] != available[0]:
        yield Finding(
            "kernels", "warning", f"{said}; {FORCED}={forced} forces it", f"unset {FORCED}"
        )
    else:
        yield Finding("kernels", "fine", said)


def _tested(seconds: float) -> Finding:
    paths = tuple(path for path in kernels.native_paths() if path != "numpy")
    if not paths:
        return Finding("self-test", "fine", "no native kernels to be tested")
    count, wrong = selftest.compared(paths, seconds)
    if wrong is None:
        said = f"{count} results of {', '.join(paths)} equal those of NumPy"
        return Finding("self-test", "fine", said)
    remedy = f"set {FORCED}=numpy until qama is reinstalled, and report it with this output"
    return Finding("self-test", "problem", wrong, remedy)


def _threads() -> Finding:
    cores, usable = os.cpu_count() or 1, checks.threads(0)
    limits = [f"{name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name)]
    said = f"{usable} of {cores} cores can be used"
    if limits:
        said += f"; {', '.join(limits)} hold NumPy's products to fewer"
        return Finding("threads", "warning", said, "unset them, unless they are meant so")
    if usable < cores:
        remedy = "give the process or its container more, if that was not meant"
        return Finding("threads", "warning", said, remedy)
    return Finding("threads", "fine", said)


# -- files --------------------------------------------------------------------------------------


def _files(paths: Sequence[Path]) -> Iterator[Finding]:
    found = [file for path in paths or [Path()] for file in _found(path, named=bool(paths))]
    if not found:
        yield Finding("files", "fine", "no files of qama here; name some to have them looked at")
    for path in found[: len(found) if paths else _MOST_FOUND]:
        yield _documents(path) if path.is_dir() else _file(path)


def _found(path: Path, named: bool) -> list[Path]:
    """Return the files and folders of documents that a path is or holds; one named is one."""
    if not path.is_dir():
        return [path]
    if (path / DATABASE).exists():
        return [path]
    inside = [each.parent for each in path.glob(f"*/{DATABASE}")]
    held = sorted([*inside, *(each for each in path.glob("*.qama") if _is_ours(each))])
    return held if held or not named else [path]


def _is_ours(path: Path) -> bool:
    try:
        return bool(container.kind_of(path))
    except (OSError, ValueError):
        return True  # by its name it is meant to be one


def _file(path: Path) -> Finding:
    try:
        found = verify(path)
    except OSError as error:
        return Finding(str(path), "problem", f"it cannot be read: {error}", "check path and rights")
    except ValueError as error:
        return Finding(str(path), "problem", str(error), "name files of qama alone")
    if found.whole:
        return Finding(str(path), "fine", "; ".join(found.passed))
    remedy = "of an index: qama repair; else take it from a backup, or make it again"
    return Finding(str(path), "problem", "; ".join(found.problems), remedy)


def _documents(folder: Path) -> Finding:
    if not (folder / DATABASE).exists():
        remedy = "name a file of qama, a folder of documents, or a folder that holds some"
        return Finding(str(folder), "problem", "no files of qama are in it", remedy)
    remedy = "take the folder from a backup; Documents.rebuild derives the index anew"
    try:
        damage = _checked(folder / DATABASE)
        if damage:
            return Finding(str(folder), "problem", f"the database is damaged: {damage}", remedy)
        with Documents.open(folder) as documents:
            said = f"{len(documents)} documents of {documents.code.label}"
    except (OSError, ValueError, sqlite3.Error) as error:
        return Finding(str(folder), "problem", str(error), remedy)
    for file in sorted(folder.glob("*.qama")):
        found = verify(file)
        if not found.whole:
            problem = "; ".join(found.problems)
            lost = "a codec: take it from a backup" if file.stem.startswith("codec-") else (
                f"delete {file.name}: it is derived, and made anew"
            )  # fmt: skip
            return Finding(str(folder), "problem", problem, lost)
    return Finding(str(folder), "fine", f"{said}; database, codec and index are whole")


def _checked(database: Path) -> str:
    """Return what SQLite finds damaged, or ""."""
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        ((said,), *_) = connection.execute("PRAGMA quick_check(1)").fetchall()
    finally:
        connection.close()
    return "" if said == "ok" else str(said)
