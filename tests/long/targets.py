"""What reads files of strangers: whole ones of each kind, and everything that is done with them.

`corrupt.py` damages them at random, `fuzz.py` guided by coverage; `tests/test_fuzz.py` does again
what the fuzzing found worth keeping. A target may refuse a file with what users are told of, a
ValueError or an OSError; `use` says whether it did. Anything else is a finding.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from qama import Codec, FormatError, Index, codefile, container, sources
from qama.cli.inspecting import describe
from qama.evaluation import beir, judge
from qama.search.storage import log, names
from qama.search.storage.base import log_path
from qama.search.storage.lock import Lock
from qama.search.storage.repair import repair
from qama.search.storage.verify import verify

GOLDEN = Path(__file__).parent.parent / "golden"
CELLS = (
    {"dims": 16, "level": "2"}, {"dims": 16, "level": "1.5"}, {"dims": 16, "level": "hybrid"},
    {"nbytes": 11}, {"dims": 8, "level": "0.5"},
)  # fmt: skip
POOL = np.random.default_rng(3).standard_normal((400, 16)).astype(np.float32)
FOLDER = (  # a BEIR collection; the bytes of its three files are parted by a byte 30
    b'{"_id": "a", "title": "t", "text": "x"}\n{"_id": "b", "text": "y", "n": [1, {"k": null}]}\n',
    b'{"_id": "q", "text": "z"}\n\n{"_id": "r\\u00e9", "text": ""}\n',
    b"query-id\tcorpus-id\tscore\nq\ta\t1\nq\tb\t-2\n",
)
FOLDER_FILES = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
PARTED = b"\x1e"


def use(kind, path):
    """Use a damaged file in every way; returns whether it was refused."""
    try:
        TARGETS[kind](path)
    except (ValueError, OSError):
        return True
    return False


def sanitized():
    """Whether the address sanitizer watches this process."""
    return hasattr(ctypes.CDLL(None), "__asan_init")


@cache
def every_code():
    """A codec of every kind of code, of vectors of 16 dims."""
    return Codec.load(GOLDEN / "codec-all.qama")


# --- what is done with a file of each kind ----------------------------------------------------


def use_container(path):
    container.read(path, "test", 7).check_sections()


def use_codec(path):
    verify(path)
    describe(path)
    codec = Codec.load(path)
    X = np.resize(POOL, (9, codec.dims_in))
    codec.encode(X)
    for request in [{"dims": d, "level": v} for d in codec.dims[-1:] for v in codec.levels] + [
        {"nbytes": codec.byte_budgets[0]} for _ in codec.byte_budgets[:1]
    ]:
        codes = codec.encode(X, **request)
        codec.decode(codes, **request)
        codec.score(X, codes, **request)


def use_codes(path):
    codec = every_code()
    verify(path)
    verify(path, codec, POOL)
    describe(path)
    opened = codefile.read(path, codec)
    Index(codec, **opened.code.request).add_codes(opened.codes)


def use_index(path):
    """Verify, repair, open, search, change and compact it; a log lies beside it or not."""
    verify(path)
    with contextlib.suppress(FormatError):
        describe(path)
    repaired = path.with_name("repaired")
    repaired.unlink(missing_ok=True)
    try:
        repair(path, repaired)
        assert len(Index.open(repaired, verify=True)) >= 0
    except FormatError:
        assert not repaired.exists(), "a repaired index is not whole"
    with Index.open(path, mode="a") as index:
        X = np.resize(POOL, (9, index.codec.dims_in))
        for scorer in index.code.scorers:
            index.search(X[:3], 5, threads=1, scorer=scorer)
            index.range_search(X[:3], 0.5, threads=1, scorer=scorer)
        index.search(X[:3], 400, threads=1, filter=index.ids[::2])
        if index.nlist:
            index.search(X[:3], 400, nprobe=index.nlist, threads=1)
        if index.nlist and len(index):
            index.calibrate(X[:3])
        if index.keep:
            index.search(X[:3], 5, rescore=50, threads=1)
        if index.nlist is None and index.code.prefixes():
            index.search(X[:3], 5, threads=1, funnel=7)
        index.add(X[:3])
        index.upsert(index.ids[:2], X[:2])
        index.delete(index.ids[:2])
        index.search(X[:3], 5, threads=1)
        index.compact()


def use_log(path):
    """Read the bytes as a log, then beside the golden index that a log belongs to."""
    raw = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    log.salvage(raw, 6)
    base = path.with_name("base")
    shutil.copy(GOLDEN / "index-2.qama", base)
    shutil.copy(path, log_path(base, old=True))
    repair(base, path.with_name("repaired"))
    Index.open(base).search(POOL[:2], 100, threads=1)


def use_names(path):
    describe(path)
    names.read(path)


def use_vectors(path):
    """As `qama encode`, `qama index` and `qama fit` read them."""
    with contextlib.suppress(ValueError):  # fewer than a fit needs
        sources.load(path, 32, 0)
    every_code().encode(sources.open_vectors(path))


def use_ids(path):
    """As `qama index --ids` reads them."""
    ids = sources.read_ids(path)
    Index(every_code(), **CELLS[0]).add(POOL[: np.shape(ids)[0] if np.ndim(ids) else 1], ids)


def use_folder(path):
    """As `qama eval` reads a collection of JSON lines and its judgements."""
    folder = path.with_name("collection")
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    texts = [*path.read_bytes().split(PARTED), b"", b""]
    for name, text in zip(FOLDER_FILES, texts, strict=False):
        (folder / name).write_bytes(text)
    found = beir.load_collection(folder)
    judge.judge(np.zeros((len(found.query_ids), 1), dtype=np.int64), found)


def use_lock(path):
    """As a refused writer reads who holds the lock."""
    held = path.with_name("held")
    shutil.copy(path, Lock(held).path)
    Lock(held)._holder()


TARGETS = {
    "container": use_container, "codec": use_codec, "codes": use_codes, "index": use_index,
    "log": use_log, "partitions": use_index, "names": use_names, "npy": use_vectors,
    "parquet": use_vectors, "ids": use_ids, "ids-npy": use_ids, "folder": use_folder,
    "lock": use_lock,
}  # fmt: skip
SUFFIXES = {"npy": ".npy", "parquet": ".parquet", "ids-npy": ".npy"}


def place(kind, folder):
    """The path at which a file of a kind is read."""
    return folder / f"file{SUFFIXES.get(kind, '')}"


# --- whole files ------------------------------------------------------------------------------


def whole_files(folder):
    """Whole files by kind, the first of each small; an index may have a log: (bytes, log)."""
    made = {kind: [] for kind in TARGETS}
    for file in sorted(GOLDEN.glob("*.qama")):
        made[container.kind_of(file) if file.stem != "container" else "container"].append(
            (file.read_bytes(), b"")
        )
    made["log"].append(((GOLDEN / "index-2.qama.log").read_bytes(), b""))
    codec = every_code()
    for number, cell in enumerate(CELLS):
        made["index"].append(changed_index(folder / f"whole{number}", codec, cell, number > 0))
        index = Index(codec, **cell)
        codefile.write(folder / "codes", codec, index.code, codec.encode(POOL, **cell), False)
        made["codes"].append(((folder / "codes").read_bytes(), b""))
    for number, cell in enumerate((CELLS[0], CELLS[3])):
        made["index"].append(changed_index(folder / f"lists{number}", codec, cell, number > 0, 4))
    for number, keep in enumerate(("float16", "int8")):
        path, nlist = folder / f"kept{number}", 4 * number or None
        made["index"].append(changed_index(path, codec, CELLS[3], True, nlist, keep))
    for kind, texts in plain_files(folder).items():
        made[kind] += [(text, b"") for text in texts]
    return made


def changed_index(path, codec, cell, given, nlist=None, keep=None):
    """The bytes of an index and of a log of every kind of change."""
    index = Index(codec, **cell, nlist=nlist, keep=keep)
    index.add(POOL[:300], ids=range(1000, 1300) if given else None)
    if nlist:
        index.calibrate(POOL[300:310])
    index.save(path)
    with Index.open(path, mode="a") as opened:
        opened.add(POOL[300:330])
        opened.delete(opened.ids[5:80])
        opened.upsert(opened.ids[:3], POOL[330:333], durable=True)
        opened.add(POOL[340:341], ids=[2**40])
        return path.read_bytes(), log_path(path).read_bytes()


def plain_files(folder):
    """Whole files that are no files of qama, by kind."""
    made = {
        "ids": [b"3\n1\n2\n"], "folder": [PARTED.join(FOLDER)],
        "lock": [b'{"pid": 7, "host": "here"}'], "npy": [], "ids-npy": [], "parquet": [],
    }  # fmt: skip
    for array in (POOL[:20], POOL.astype(np.float64), np.asfortranarray(POOL[:20])):
        np.save(folder / "x.npy", array)
        made["npy"].append((folder / "x.npy").read_bytes())
    np.save(folder / "x.npy", np.arange(20))
    made["ids-npy"].append((folder / "x.npy").read_bytes())
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 16), pa.large_list(pa.float64())):
        table = pa.table({"vectors": pa.array(list(POOL[:20]), kind), "n": pa.array(range(20))})
        parquet.write_table(table, folder / "x.parquet")
        made["parquet"].append((folder / "x.parquet").read_bytes())
    return made
