"""Files of every version, kept for ever: they open and answer as recorded.

index-1: version 1, of the first release; a row was deleted before it was saved. index-2: version 2
with a log of a delete, an upsert and an add. index-3: version 2, its codec, codec-2, with full
bytes. index-4: version 3, whose leading bytes are apart; a row was deleted. index-5: version 4,
with a log of version 2, which says what was synced. index-6: version 6, vectors kept as float16,
with a log of a delete, an upsert and an add; index-7: as int8, with inverted lists. index-8:
version 7, its codec, codec-4, with codewords of 4-bit entries, with such a log. index-9: version 8,
its codec, codec-5, of vectors projected to axes, with such a log. index-10: version 9, its codec,
codec-6, of vectors that share a mean, whose inverse norms lie close, with such a log. codes-1:
version 1.
documents-1: a folder of documents of version 1, its index 4 changes behind.
The vectors were drawn by `default_rng(11)`, the queries by `default_rng(12)`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from qama import Codec, Documents, Index, codefile, container
from qama.search.storage import names
from qama.search.storage.verify import verify

GOLDEN = Path(__file__).parent / "golden"
ANSWERS = json.loads((GOLDEN / "answers.json").read_text())


def opened(tmp_path, name, mode="r"):
    for file in GOLDEN.glob(f"{name}.qama*"):
        shutil.copy(file, tmp_path)
    return Index.open(tmp_path / f"{name}.qama", mode, verify=True)


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("index-1", 8), ("index-2", 16), ("index-3", 8), ("index-4", 16), ("index-5", 16),
        ("index-6", 8), ("index-7", 8), ("index-8", 16), ("index-9", 16),
        ("index-10", 16),
    ],
)  # fmt: skip
def test_an_index_of_every_version_answers_as_recorded(tmp_path, name, dims):
    index, answers = opened(tmp_path, name), ANSWERS[name]
    queries = np.random.default_rng(12).standard_normal((3, dims)).astype(np.float32)
    assert index.codec.fingerprint == answers["codec"]
    assert len(index) == answers["length"]
    assert index.ids.tolist() == answers["ids"]
    found = index.search(queries, 5)
    assert found.ids.tolist() == answers["found"]
    assert found.scores.tolist() == answers["scores"]
    if index.keep:
        found, rescored = index.search(queries, 5, rescore=20), answers["rescored"]
        assert found.ids.tolist() == rescored["found"]
        assert found.scores.tolist() == rescored["scores"]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("index-1", 70), ("index-2", 901), ("index-3", 70), ("index-4", 70), ("index-5", 904),
        ("index-6", 904), ("index-7", 904), ("index-8", 903), ("index-9", 903),
        ("index-10", 903),
    ],
)  # fmt: skip
def test_an_index_of_every_version_can_be_changed(tmp_path, name, first):
    with opened(tmp_path, name, "a") as index:
        X = np.eye(index.codec.dims_in, dtype=np.float32)
        assert index.add(X[:2]).tolist() == [first, first + 1]
        index.compact()
    again = Index.open(tmp_path / f"{name}.qama")
    assert again.ids.tolist() == [*ANSWERS[name]["ids"], first, first + 1]
    assert verify(tmp_path / f"{name}.qama").whole


def test_codes_are_read_and_follow_from_the_vectors():
    codec = Codec.load(GOLDEN / "codec-all.qama")
    opened = codefile.read(GOLDEN / "codes-1.qama", codec)
    assert opened.codes.tolist() == ANSWERS["codes-1"]["codes"]
    assert (opened.code.label, opened.compact) == ("8 dims at level 1.5", False)
    X = np.random.default_rng(11).standard_normal((90, 16)).astype(np.float32)
    np.testing.assert_array_equal(codec.encode(X[:20], dims=8, level="1.5"), opened.codes)


def test_a_codec_of_byte_codes_alone_answers_as_recorded():
    codec, answers = Codec.load(GOLDEN / "codec-3.qama"), ANSWERS["codec-3"]
    X, Q = (np.random.default_rng(n).standard_normal((20, 9)).astype(np.float32) for n in (11, 12))
    assert codec.fingerprint == answers["codec"]
    assert codec.encode(X).tolist() == answers["codes"]
    assert codec.score(Q[:3], codec.encode(X)).tolist() == answers["scores"]


@pytest.mark.parametrize("name", ["codec-4", "codec-5", "codec-6"])
def test_a_codec_of_4_bit_codewords_answers_as_recorded(name):
    codec, answers = Codec.load(GOLDEN / f"{name}.qama"), ANSWERS[name]
    X, Q = (np.random.default_rng(n).standard_normal((20, 16)).astype(np.float32) for n in (11, 12))
    assert codec.fingerprint == answers["codec"]
    assert codec.encode(X).tolist() == answers["codes"]
    assert codec.score(Q[:3], codec.encode(X)).tolist() == answers["scores"]


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_file_of_partitions_answers_as_recorded(tmp_path, mode):
    """Of its kind are no new ones: the first compaction makes an index of it."""
    index = opened(tmp_path, "partitions-1", mode)
    answers = ANSWERS["partitions-1"]
    queries = np.random.default_rng(12).standard_normal((3, 8)).astype(np.float32)
    assert (index.codec.fingerprint, len(index)) == (answers["codec"], answers["length"])

    def check():
        for lists, name in ((3, "all"), (1, "one")):
            found = index.search(queries, 5, nprobe=lists)
            assert found.ids.tolist() == answers[name]["found"]
            assert found.scores.tolist() == answers[name]["scores"]
        found = index.search(queries, 5)  # a recall of 95 %
        assert found.ids.tolist() == answers["all"]["found"]

    check()
    if mode == "a":
        path = tmp_path / "partitions-1.qama"
        for change in ("add", "compact"):
            if change == "add":
                assert index.add(queries[:2]).tolist() == [2**40 + 1, 2**40 + 2]
                index.delete([2**40 + 1, 2**40 + 2])
            else:
                index.compact()
            index.flush()
            assert verify(path).problems == []
            assert Index.open(path).ids.tolist() == index.ids.tolist()
            check()
        assert container.kind_of(path) == "index"


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("index", [True, False], ids=["with its index", "without"])
def test_documents_answer_as_recorded(tmp_path, mode, index):
    shutil.copytree(GOLDEN / "documents-1", tmp_path / "docs")
    answers = ANSWERS["documents-1"]
    for path in (tmp_path / "docs").glob("index-*"):
        path.unlink() if not index else None
    Q = np.random.default_rng(12).standard_normal((3, 9)).astype(np.float32)
    with Documents.open(tmp_path / "docs", mode) as docs:
        assert docs.ids() == answers["ids"]
        for repeat in range(2):
            assert [docs.search(q, 5).ids for q in Q] == answers["hits"]
            assert [docs.search(q, 5).scores for q in Q] == answers["scores"]
            where = {"n": {"$gte": 20}, "at.place": "é"}
            assert docs.search(Q[0], 5, where=where).ids == answers["filtered"]
            assert docs.search(text="even", k=3).ids == answers["words"]
            if mode == "a" and not repeat:
                docs.add(["more"], Q[:1], ["even"])
                docs.delete(["more"])
                docs.rebuild()


def test_names_are_as_recorded():
    assert names.read(GOLDEN / "names-1.qama") == ANSWERS["names-1"]


@pytest.mark.parametrize("name", ["codec", *sorted(file.stem for file in GOLDEN.glob("*-*.qama"))])
def test_the_golden_files_are_whole(name):
    assert verify(GOLDEN / f"{name}.qama").problems == []
