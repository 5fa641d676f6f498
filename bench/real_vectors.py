"""Vectors of a million passages of text that Debian packages ship: documentation of programs and
languages, manual pages, dictionaries.

    pip install wordllama
    python bench/real_vectors.py                  a million passages, some ten minutes

Packages are downloaded and unpacked below the cache (`QAMA_CACHE`, by default ~/.cache/qama-bench),
as are the vectors: neither belongs into a repository. Each passage is there once; one in a hundred
is a query and not a row.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import html
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CACHE = Path(os.environ.get("QAMA_CACHE", "~/.cache/qama-bench")).expanduser()
PACKAGES = (
    "linux-doc-6.1", "python3.11-doc", "libboost1.81-doc", "openjdk-17-doc", "rust-doc",
    "wordnet-base", "dict-gcide", "manpages", "manpages-dev", "postgresql-doc-15",
    "qtbase5-doc-html", "libstdc++-12-doc", "groovy-doc", "python-pandas-doc", "debian-handbook",
    "octave-doc", "python-scipy-doc", "debian-reference-en", "git-doc", "r-doc-html", "doc-debian",
)  # fmt: skip
SHORTEST, LONGEST = 60, 400  # characters of a passage
BATCH, QUERY_SHARE = 4096, 100
_BLOCKS = re.compile(r"(?is)<(script|style|pre|head|nav)\b.*?</\1\s*>")
_BREAKS = re.compile(
    r"(?i)</?(p|div|li|ul|ol|dd|dt|dl|td|th|tr|table|h[1-6]|br|hr|section)\b[^>]*>"
)
_TAGS = re.compile(r"(?s)<[^>]*>")
_ROFF = re.compile(r"(?m)^[.'].*$|\\f[A-Z]|\\[&|^]")
_SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z])")


def unpacked(folder: Path) -> Iterator[Path]:
    """Yield the folder of each package, downloaded and unpacked where it is not there."""
    for name in PACKAGES:
        to = folder / name
        if not to.exists():
            folder.mkdir(parents=True, exist_ok=True)
            if subprocess.run(["apt-get", "download", name], cwd=folder, check=False).returncode:
                print(f"skipped: {name} cannot be downloaded")
                continue
            (deb,) = folder.glob(f"{name}_*.deb")
            subprocess.run(["dpkg-deb", "-x", deb, to], check=True)
            deb.unlink()
        yield to


def paragraphs(file: Path) -> Iterable[str]:
    """Return the paragraphs of a file of text, HTML, dictionary or manual page; of others none."""
    data = file.read_bytes()
    if file.suffix in (".gz", ".dz"):
        data = gzip.decompress(data)
    if b"\0" in data[:4096]:
        return []
    text = data.decode("utf-8", errors="ignore")
    if re.search(r"\.html?(\.gz)?$", file.name):
        text = html.unescape(_TAGS.sub(" ", _BREAKS.sub("\n\n", _BLOCKS.sub(" ", text))))
    elif re.search(r"\.[1-9](\.gz)?$", file.name):
        text = _ROFF.sub("\n", text)
    elif file.name.startswith("data."):  # WordNet: the gloss is behind the bar
        return [line.rpartition("| ")[2] for line in text.splitlines() if not line.startswith(" ")]
    elif not re.search(r"\.(txt|rst|dict|README)(\.gz|\.dz)?$", file.name):
        return []
    return re.split(r"\n\s*\n", text)


def passages(folders: Iterable[Path]) -> Iterator[str]:
    """Yield passages of whole sentences, each once."""
    seen: set[bytes] = set()
    for folder in folders:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            for paragraph in paragraphs(file):
                for passage in _cut(" ".join(paragraph.split())):
                    known = hashlib.blake2b(passage.encode(), digest_size=8).digest()
                    if known not in seen:
                        seen.add(known)
                        yield passage


def _cut(paragraph: str) -> Iterator[str]:
    """Yield sentences, joined until they are long enough; mostly letters alone."""
    held = ""
    for sentence in _SENTENCE.split(paragraph):
        held = f"{held} {sentence}".strip()[:LONGEST]
        if len(held) >= SHORTEST:
            if sum(letter.isalpha() for letter in held) > 0.7 * len(held):
                yield held
            held = ""


def embedded(texts: Iterable[str], model: Any, wanted: int) -> npt.NDArray[np.float16]:
    """Return unit vectors of so many texts; those that the model has no word of are left out."""
    parts: list[npt.NDArray[np.float16]] = []
    held: list[str] = []
    count = 0
    for text in texts:
        held.append(text)
        if len(held) < BATCH:
            continue
        with np.errstate(invalid="ignore"):
            V = np.nan_to_num(np.asarray(model.embed(held, norm=True), np.float32))
        parts.append(V[np.linalg.norm(V, axis=1) > 0.5].astype(np.float16))
        held, count = [], count + len(parts[-1])
        print(f"\r{count:,} vectors", end="", flush=True)
        if count >= wanted:
            break
    print()
    return np.concatenate(parts)[:wanted]


def vectors(wanted: int = 10**9) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Return the rows (at most so many) and the queries that this program made, float16.

    Raises:
        SystemExit: it made none.
    """
    rows, queries = CACHE / "rows.npy", CACHE / "queries.npy"
    if not rows.exists():
        raise SystemExit(f"skipped: there is no {rows}; make it by python bench/real_vectors.py")
    return np.load(rows, mmap_mode="r")[:wanted], np.load(queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_030_000)
    given = parser.parse_args()
    try:
        import wordllama
    except ImportError:
        raise SystemExit("skipped: needs pip install wordllama") from None
    folder = Path(wordllama.__file__).parent  # where the package carries what its loader looks for
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    texts = passages(unpacked(CACHE / "packages"))
    V = embedded(texts, model, given.rows * QUERY_SHARE // (QUERY_SHARE - 1) + 1)
    V = np.unique(V, axis=0)  # passages of the same words
    V = V[np.random.default_rng(0).permutation(len(V))]
    queries = len(V) // QUERY_SHARE
    np.save(CACHE / "queries.npy", V[:queries])
    np.save(CACHE / "rows.npy", V[queries:])
    print(f"{len(V) - queries:,} rows and {queries:,} queries of {V.shape[1]} dims in {CACHE}")


if __name__ == "__main__":
    main()
