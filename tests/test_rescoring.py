"""Kept vectors and rescoring with them, against the definition and against the floats."""

from __future__ import annotations

import mmap
import shutil
from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from conftest import mixture

import qama
from qama import FormatError, Index, container, mapping
from qama.quantizers.kept import FORMS, Form
from qama.quantizers.vectors import unit
from qama.search.rows.kept import PIECE_ROWS, Kept
from qama.search.scan import rescoring
from qama.search.storage import base, log
from qama.search.storage.base import log_path
from qama.search.storage.repair import repair
from qama.search.storage.verify import verify

CODE = {"nbytes": 4}
LISTS = 13
KEEP = pytest.mark.parametrize("keep", FORMS)


@pytest.fixture(scope="module")
def vectors():
    return mixture(1500, 32, seed=3)


def made(codec, vectors, keep="float16", **options):
    index = Index(codec, **CODE, keep=keep, **options)
    for part in np.array_split(vectors, [400, 401, 470, 900, 901]):
        index.add(part)
    return index


def wanted(keep, vectors, queries, k, allowed=None):
    """Rows and cosines by the definition, of all vectors or of those allowed."""
    form = Form(keep, vectors.shape[1])
    cosines = form.cosines(queries, np.stack([form.packed(vectors)] * len(queries)))
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    order = rows[np.argsort(-cosines[:, rows], axis=1, kind="stable")[:, :k]]
    return order, np.take_along_axis(cosines, order, axis=1).astype(np.float32)


def check(found, expected):
    np.testing.assert_array_equal(found.ids, expected[0])
    np.testing.assert_array_equal(found.scores, expected[1])
    assert found.scores.dtype == np.float32


def alike(index, other, queries, **options):
    """Whether two indexes hold the same rows, and search alike by what they keep."""
    if index.ids.tolist() != other.ids.tolist() or index.keep != other.keep:
        return False
    some = [i.search(queries, 40, rescore=2000, **options) for i in (index, other)]
    same = all(np.array_equal(a, b) for a, b in zip(*some, strict=True))
    kept = [i._now.live_kept().at(np.arange(len(i))) for i in (index, other)]
    return same and np.array_equal(*kept)


# --- what is kept, and the cosine with it -----------------------------------------------------


def test_float16_keeps_the_unit_vector_rounded(vectors):
    form = Form("float16", 32)
    packed = form.packed(vectors)
    assert (form.width, packed.shape, packed.dtype) == (64, (1500, 64), np.uint8)
    np.testing.assert_array_equal(packed.view("<f2"), unit(vectors).astype(np.float16))
    np.testing.assert_array_equal(form.unpacked(packed), unit(vectors).astype(np.float16))


def test_int8_keeps_whole_numbers_of_which_the_largest_is_127(vectors):
    form = Form("int8", 32)
    packed = form.packed(vectors)
    assert (form.width, packed.shape) == (32, (1500, 32))
    U = unit(vectors).astype(np.float64)
    exact = 127 * U / np.abs(U).max(axis=1, keepdims=True)
    assert np.abs(form.unpacked(packed) - exact).max() <= 0.5 + 1e-4
    assert (np.abs(form.unpacked(packed)).max(axis=1) == 127).all()


@KEEP
def test_vectors_that_are_zero_tiny_or_huge(keep):
    X = np.zeros((4, 8), dtype=np.float32)
    X[1, 3], X[2], X[3, :2] = 1e-40, 1e30, (-1e-30, 1e-30)
    form = Form(keep, 8)
    V = form.unpacked(form.packed(X))
    assert np.isfinite(V).all()
    assert (V[0] == 0).all()
    cosines = form.cosines(np.eye(8, dtype=np.float32)[:1], form.packed(X)[None])[0]
    assert cosines[:2].tolist() == [0, 0]
    np.testing.assert_allclose(cosines[2:], [8**-0.5, -(0.5**0.5)], atol=1e-3)


@KEEP
def test_the_cosine_is_that_of_exact_sums(keep):
    """Against fractions: of the rounded query, and of what is kept."""
    X, Q = mixture(6, 50, seed=8), mixture(3, 50, seed=9)
    form = Form(keep, 50)
    found = form.cosines(Q, np.stack([form.packed(X)] * 3))
    U = unit(Q)
    for q, row in zip(U.tolist(), found, strict=True):
        whole = [Fraction(round(value * 2**28)) for value in q]
        for v, cosine in zip(form.unpacked(form.packed(X)).tolist(), row.tolist(), strict=True):
            entries = [Fraction(value) for value in v]
            dot = sum(a * b for a, b in zip(whole, entries, strict=True))
            squares = sum(a * a for a in whole) * sum(b * b for b in entries)
            root = Fraction(isqrt(int(squares * 2**200)), 2**100)
            assert abs(Fraction(cosine) - dot / root) < Fraction(1, 2**51)


@KEEP
def test_a_cosine_depends_on_no_order_of_dims(keep):
    """Sums that are exact do not: any kernel and any machine must find the same."""
    X, Q = mixture(200, 300, seed=8), mixture(3, 300, seed=9)
    form, dice = Form(keep, 300), np.random.default_rng(0)
    V = form.unpacked(form.packed(X))
    first = form.cosines(Q, np.stack([form.packed(X)] * 3))
    rounded = np.rint(unit(Q).astype(np.float64) * 2**28)
    products = [V[:, p] @ rounded[:, p].T for p in (dice.permutation(300) for _ in range(5))]
    for product in products:
        np.testing.assert_array_equal(product, products[0])
    lengths = np.sqrt(np.square(V).sum(axis=1)) * np.sqrt(np.square(rounded).sum(axis=1))[:, None]
    np.testing.assert_allclose(first, products[0].T / lengths, rtol=1e-15)


def test_some_rows_share_the_base_and_copy_the_tail():
    form, dice = Form("int8", 8), np.random.default_rng(0)
    V = dice.integers(0, 256, (3000, 8), dtype=np.uint8)
    kept = Kept.of(form, V[:1300]).appended(V[1300:1400]).appended(V[1400:2000])
    rows, held = np.arange(2000), V[:2000]
    for _ in range(4):
        some = np.sort(dice.choice(len(rows), len(rows) * 3 // 4, replace=False))
        kept, held = kept.taken(some), held[some]
        kept, held = kept.appended(V[2000:2070]), np.concatenate([held, V[2000:2070]])
        rows = np.arange(len(held))
        assert kept.base.base is V
        assert kept.count == len(held)
        mixed, few = dice.choice(len(rows), (7, 50)), np.sort(dice.choice(len(rows), 700, False))
        np.testing.assert_array_equal(kept.at(mixed), held[mixed])
        np.testing.assert_array_equal(np.concatenate([*kept.pieces()]), held)
        np.testing.assert_array_equal(np.concatenate([*kept.pieces(few)]), held[few])


@KEEP
def test_the_cosine_is_close_to_that_of_the_floats(keep, vectors, queries):
    form = Form(keep, 32)
    found = form.cosines(queries, np.stack([form.packed(vectors)] * len(queries)))
    exact = unit(queries).astype(np.float64) @ unit(vectors).astype(np.float64).T
    assert np.abs(found - exact).max() < {"float16": 5e-4, "int8": 6e-3}[keep]


def test_only_two_forms_there_are(codec):
    for keep in ("float32", np.float16, True, ""):
        with pytest.raises(ValueError, match=r"keep is .*; choose one of 'float16', 'int8'"):
            Index(codec, keep=keep)


# --- searching --------------------------------------------------------------------------------


@KEEP
@pytest.mark.parametrize("threads", [1, 2])
def test_all_candidates_are_all_vectors(bytes_codec, vectors, queries, keep, threads):
    index = made(bytes_codec, vectors, keep)
    found = index.search(queries, 30, rescore=1500, threads=threads)
    check(found, wanted(keep, vectors, queries, 30))


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ({"nbytes": 4}, {}), ({"nbytes": 16}, {"funnel": True}), ({"nbytes": 16}, {"funnel": 100}),
        ({"dims": 32, "level": "2"}, {"scorer": "hamming"}), ({"dims": 32, "level": "1"}, {}),
    ],
    ids=repr,
)  # fmt: skip
def test_the_best_by_codes_are_ordered(byte_codec, vectors, queries, cell, options):
    index = Index(byte_codec, **cell, keep="float16")
    index.add(vectors)
    candidates = index.search(queries, 50, **options)
    assert candidates.ids.shape == (len(queries), 50)
    found = index.search(queries, 10, rescore=50, **options)
    cosines = wanted("float16", vectors, queries, 1500)
    for query in range(len(queries)):
        own = np.isin(cosines[0][query], candidates.ids[query])
        assert found.ids[query].tolist() == cosines[0][query][own][:10].tolist()
        assert found.scores[query].tolist() == cosines[1][query][own][:10].tolist()


@KEEP
def test_lists_filters_and_exclusions(bytes_codec, vectors, queries, keep):
    index = made(bytes_codec, vectors, keep, nlist=LISTS)
    found = index.search(queries, 30, rescore=1500, nprobe=LISTS)
    check(found, wanted(keep, vectors, queries, 30))
    allowed = np.arange(1500) % 7 == 1
    options = {"rescore": 1500, "nprobe": 1}  # further lists are read until there are enough
    found = index.search(queries, 30, filter=allowed, **options)
    check(found, wanted(keep, vectors, queries, 30, allowed))
    found = index.search(queries, 30, exclude=np.flatnonzero(~allowed), **options)
    check(found, wanted(keep, vectors, queries, 30, allowed))


def test_rescoring_finds_more_of_the_floats_ten(bytes_codec, vectors, queries):
    index = made(bytes_codec, vectors)
    exact = unit(queries).astype(np.float64) @ unit(vectors).astype(np.float64).T
    ten = np.argsort(-exact, axis=1, kind="stable")[:, :10]

    def recall(rescore):
        found = index.search(queries, 10, rescore=rescore).ids
        return np.mean([len({*a} & {*b}) / 10 for a, b in zip(found, ten, strict=True)])

    shares = [recall(rescore) for rescore in (0, 20, 50, 200, 1500)]
    assert shares == sorted(shares)
    assert shares[0] < 0.7
    assert shares[-1] > 0.99


def test_neither_batches_nor_threads_change_a_score(bytes_codec, vectors, queries, monkeypatch):
    index = made(bytes_codec, vectors)
    found = index.search(queries, 20, rescore=60, threads=1)
    each = [index.search(q[None], 20, rescore=60, threads=1) for q in queries]
    np.testing.assert_array_equal(np.concatenate([one.ids for one in each]), found.ids)
    np.testing.assert_array_equal(np.concatenate([one.scores for one in each]), found.scores)
    for entries in (1, 100, 5000):
        monkeypatch.setattr(rescoring, "_BATCH_ENTRIES", entries)
        again = index.search(queries, 20, rescore=60, threads=2)
        np.testing.assert_array_equal(again.ids, found.ids)
        np.testing.assert_array_equal(again.scores, found.scores)


@pytest.mark.parametrize("nlist", [None, 5])
def test_ties_go_to_the_lower_row(bytes_codec, vectors, queries, nlist):
    twice = np.repeat(vectors[:40], 8, axis=0)[np.random.default_rng(0).permutation(320)]
    index = Index(bytes_codec, **CODE, keep="int8", nlist=nlist)
    index.add(twice)
    found = index.search(queries, 320, rescore=320, nprobe=nlist)
    check(found, wanted("int8", twice, queries, 320))
    equal = found.scores[:, 1:] == found.scores[:, :-1]
    assert equal.sum() >= 7 * 40 * len(queries)
    assert (np.diff(found.ids, axis=1)[equal] > 0).all()


def test_how_many_are_rescored(bytes_codec, vectors, queries):
    index = made(bytes_codec, vectors)
    lifted, same = (index.search(queries, 20, rescore=n) for n in (3, 20))
    np.testing.assert_array_equal(lifted.ids, same.ids)
    assert (np.sort(same.ids) == np.sort(index.search(queries, 20).ids)).all()
    plain = Index(bytes_codec, **CODE)
    plain.add(vectors)
    np.testing.assert_array_equal(
        index.search(queries, 20, rescore=0).scores, plain.search(queries, 20).scores
    )
    assert index.search(queries, 5000, rescore=9).ids.shape == (len(queries), 1500)
    assert index.search(queries[:0], 7, rescore=9).ids.shape == (0, 7)
    empty = Index(bytes_codec, **CODE, keep="int8")
    assert empty.search(queries, 7, rescore=9).ids.shape == (len(queries), 0)


def test_what_cannot_be_rescored_is_refused(bytes_codec, vectors, queries):
    plain = Index(bytes_codec, **CODE)
    plain.add(vectors[:50])
    with pytest.raises(ValueError, match=r'rescore needs the vectors .*keep="float16"'):
        plain.search(queries, rescore=50)
    index = made(bytes_codec, vectors)
    for rescore in (-1, 2.5, True, None, "50"):
        with pytest.raises(ValueError, match=r"rescore is .*; give a whole number >= 0"):
            index.search(queries, rescore=rescore)
    with pytest.raises(ValueError, match=r"Q\[0, 3\] is nan"):
        index.search(np.where(np.arange(32) == 3, np.nan, queries), rescore=50)
    with pytest.raises(ValueError, match=r"X\[1, 3\] is inf"):
        index.add(np.where(np.arange(64).reshape(2, 32) == 35, np.inf, vectors[:2]))
    assert len(index) == 1500


def test_many_indexes_are_rescored_as_one(bytes_codec, vectors, queries):
    parts = [Index(bytes_codec, nbytes=n, keep="float16") for n in (4, 8)]
    for part, X, ids in zip(parts, (vectors[:700], vectors[700:]), (range(700), range(700, 1500)),
                            strict=True):  # fmt: skip
        part.add(X, ids)
    found = qama.search_many(parts, queries, 30, rescore=1500)
    check(found, wanted("float16", vectors, queries, 30))


# --- changing ---------------------------------------------------------------------------------


@KEEP
def test_codes_need_the_vectors_that_they_are_of(bytes_codec, vectors, queries, keep):
    codes = bytes_codec.encode(vectors, **CODE)
    index, plain = Index(bytes_codec, **CODE, keep=keep), Index(bytes_codec, **CODE)
    with pytest.raises(ValueError, match=f"keeps vectors as {keep}: give those .* as vectors"):
        index.add_codes(codes)
    with pytest.raises(ValueError, match="vectors has 1499 rows for 1500 codes"):
        index.add_codes(codes, vectors=vectors[:-1])
    with pytest.raises(ValueError, match="vectors has 31 columns"):
        index.add_codes(codes, vectors=vectors[:, :31])
    with pytest.raises(ValueError, match=r"vectors\[7, 0\] is nan"):
        index.add_codes(codes, vectors=np.where(np.arange(1500)[:, None] == 7, np.nan, vectors))
    with pytest.raises(ValueError, match="this index keeps no vectors: leave vectors out"):
        plain.add_codes(codes, vectors=vectors)
    assert (len(index), len(plain)) == (0, 0)
    index.add_codes(codes, vectors=vectors)
    assert alike(index, made(bytes_codec, vectors, keep), queries)


@KEEP
@pytest.mark.parametrize("nlist", [None, LISTS])
def test_every_change_in_memory_and_in_files(bytes_codec, vectors, queries, tmp_path, keep, nlist):
    """The same changes of an index in memory and in a file, opened again after each."""
    index = Index(bytes_codec, **CODE, keep=keep, nlist=nlist)
    index.add(vectors[:500])
    index.save(tmp_path / "index")
    model = dict(enumerate(vectors[:500]))
    opened, reader = (Index.open(tmp_path / "index", mode) for mode in "ar")

    def both(change, after):
        model.update(after)
        for one in (index, opened):
            change(one)
        for other in (opened, reader, Index.open(tmp_path / "index", verify=True)):
            if other is reader:
                reader.refresh()
            assert other.ids.tolist() == list(model)
            rows, scores = wanted(keep, np.stack([*model.values()]), queries, 20)
            lists = other.nlist
            found = other.search(queries, 20, rescore=2000, nprobe=lists)
            check(found, (np.array(list(model))[rows], scores))
        assert alike(index, opened, queries, nprobe=index.nlist)
        assert verify(tmp_path / "index").problems == []

    def dropped(ids):
        for key in ids:
            model.pop(key)

    both(lambda i: i.add(vectors[500:600]), dict(enumerate(vectors[500:600], 500)))
    gone = [*range(3, 90), 550]
    dropped(gone)
    both(lambda i: i.delete(gone), {})
    ids = [100, 520, 9000]
    dropped(ids[:2])
    both(lambda i: i.upsert(ids, vectors[700:703]), dict(zip(ids, vectors[700:703], strict=True)))
    some = range(9001, 9031)
    both(lambda i: i.add_from(iter(np.array_split(vectors[800:830], 3))),
         dict(zip(some, vectors[800:830], strict=True)))  # fmt: skip
    dropped([9001])
    both(lambda i: i.delete(9001), {})
    both(lambda i: i.compact(), {})
    dropped([9002])
    both(lambda i: i.delete(9002), {})
    both(lambda i: i.partition(7), {})
    both(lambda i: i.add(vectors[900:910], durable=i is opened),
         dict(enumerate(vectors[900:910], 9031)))  # fmt: skip
    both(lambda i: i.compact(), {})
    merged = Index.merge([index, opened], renumber=True)
    assert (merged.keep, len(merged)) == (keep, 2 * len(index))
    np.testing.assert_array_equal(
        merged._now.kept.at(np.arange(len(index))), index._now.live_kept().at(np.arange(len(index)))
    )
    opened.close()


@KEEP
@pytest.mark.parametrize("nlist", [None, LISTS])
def test_a_log_has_code_vector_and_list_of_a_row_in_one_entry(
    bytes_codec, vectors, tmp_path, keep, nlist
):
    made(bytes_codec, vectors, keep, nlist=nlist).save(tmp_path / "index")
    with Index.open(tmp_path / "index", "a") as opened:
        opened.add(vectors[:3])
        places = opened._now.places(np.arange(1500, 1503))
        lists = None if nlist is None else opened._now.lists.owners[places // 64]
    path = log_path(tmp_path / "index")
    (record, sync) = log.read(np.fromfile(path, dtype=np.uint8), path).records
    assert (record.kind, sync.kind) == ("add", "sync")
    wanted = [bytes_codec.encode(vectors[:3], **CODE), Form(keep, 32).packed(vectors[:3])]
    if nlist is not None:
        wanted.append(lists.astype("<u4")[:, None].view(np.uint8))
    np.testing.assert_array_equal(record.entries, np.concatenate(wanted, axis=1))


def test_only_indexes_that_keep_the_same_are_merged(bytes_codec, vectors):
    parts = [made(bytes_codec, vectors[:950], keep) for keep in ("int8", None)]
    with pytest.raises(ValueError, match=r"indexes\[1\] has keep=None, indexes\[0\] keep='int8'"):
        Index.merge(parts)


def test_a_file_that_keeps_others_is_no_later_state(bytes_codec, vectors, tmp_path):
    made(bytes_codec, vectors, "int8").save(tmp_path / "index")
    reader = Index.open(tmp_path / "index")
    for keep, said in ((None, "keep=None"), ("float16", "keep='float16'")):
        made(bytes_codec, vectors, keep).save(tmp_path / "index")
        with pytest.raises(FormatError, match=f"was replaced by .* {said}; open it again"):
            reader.refresh()
    assert reader.keep == "int8"


@KEEP
def test_a_saved_index_is_what_it_was(bytes_codec, vectors, queries, tmp_path, keep):
    index = made(bytes_codec, vectors, keep)
    index.delete(range(100, 1300, 3))
    index.save(tmp_path / "a")
    again = Index.open(tmp_path / "a")
    assert (again.keep, again.kept_size) == (keep, 64 if keep == "float16" else 32)
    assert f"4 B and {again.kept_size} B kept as {keep} each" in repr(again)
    assert alike(index, again, queries)
    again.save(tmp_path / "b")
    index.compact()
    index.save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_file_is_mapped_and_not_loaded(bytes_codec, vectors, queries, tmp_path):
    made(bytes_codec, vectors).save(tmp_path / "index")
    with Index.open(tmp_path / "index", "a") as index:
        held = index._now.kept.base
        index.add(vectors[:70])
        index.delete([3, 1501])
        assert index._now.kept.base is held
    again = Index.open(tmp_path / "index")
    kept = again._now.kept
    assert not kept.base.flags.owndata
    assert (len(kept.base), kept.count, len(kept.tail)) == (1500, 1570, 70)


@pytest.mark.skipif(not hasattr(mmap, "MADV_RANDOM"), reason="no advice on this system")
def test_the_system_is_told_how_a_file_is_read(bytes_codec, vectors, tmp_path, monkeypatch):
    """Nothing ahead for searches; whole pieces where all is read, as compacting does."""
    told = []

    class Map(mapping._Map):
        def madvise(self, advice, start, length):
            told.append((advice, start, length))
            super().madvise(advice, start, length)

    monkeypatch.setattr(mapping, "_Map", Map)
    made(bytes_codec, vectors).save(tmp_path / "index")
    index = Index.open(tmp_path / "index")
    section = 1500 * 64
    ((advice, start, length),) = told
    assert (advice, start % mmap.PAGESIZE) == (mmap.MADV_RANDOM, 0)
    assert section <= length < section + mmap.PAGESIZE
    told.clear()
    first = start
    near = np.sort(index.search(vectors[:1], 50).ids[0])
    assert told == []
    index.search(vectors[:1], 10, rescore=50)
    assert [advice for advice, _, _ in told] == [mmap.MADV_WILLNEED] * 50
    begins, ends = (np.array([(s, s + n) for _, s, n in told]) - first).T
    offset = (np.array(ends) - 64 - near * 64)[0]  # of the section in its first page
    assert (begins <= near * 64 + offset).all()
    assert (ends == near * 64 + offset + 64).all()
    told.clear()
    index.save(tmp_path / "copy")
    wanted = [advice for advice, _, _ in told if advice == mmap.MADV_WILLNEED]
    assert len(wanted) == 3 * 2  # checksums of pieces, of the section, and writing


def test_candidates_alone_are_read(bytes_codec, vectors, queries, tmp_path):
    """A vector that is damaged is seen where its row is a candidate, and nowhere else."""
    index = made(bytes_codec, vectors)
    index.save(tmp_path / "index")
    found = index.search(queries[:1], 10, rescore=50)
    near = set(index.search(queries[:1], 50).ids[0].tolist())
    far = np.setdiff1d(np.arange(1500), [*near])
    broken = damaged(tmp_path, rows=far)
    again = Index.open(broken).search(queries[:1], 10, rescore=50)
    np.testing.assert_array_equal(again.scores, found.scores)
    broken = damaged(tmp_path, rows=[*near])
    assert (Index.open(broken).search(queries[:1], 10, rescore=50).scores != found.scores).any()


def damaged(folder, rows, name="vectors"):
    """A copy of the index in a folder with bytes of the vectors of rows changed."""
    contents = container.read(folder / "index", base.KIND, base.FORMAT)
    raw = bytearray((folder / "index").read_bytes())
    section, whole = contents.arrays[name], np.frombuffer((folder / "index").read_bytes(), np.uint8)
    start = raw.find(section.tobytes())
    width = section[0].nbytes
    for row in rows:
        raw[start + row * width] ^= 0x55
    assert len(whole) == len(raw)
    (folder / "damaged").write_bytes(raw)
    return folder / "damaged"


# --- files that are not whole -----------------------------------------------------------------


def rewritten(path, other, meta=(), arrays=(), drop=()):
    """Write an index file again with other values, its checksums right."""
    whole = container.read(path, base.KIND, base.FORMAT)
    kept = {n: a for n, a in {**whole.arrays, **dict(arrays)}.items() if n not in drop}
    held = {n: v for n, v in {**whole.meta, **dict(meta)}.items() if n not in drop}
    container.write(other, base.KIND, base.KEPT, held, kept)


@pytest.mark.parametrize("nlist", [None, LISTS])
def test_parts_that_do_not_fit_are_refused(bytes_codec, vectors, tmp_path, nlist):
    made(bytes_codec, vectors, nlist=nlist).save(tmp_path / "index")
    short, wrong = np.zeros((1499, 64), np.uint8), np.zeros((1500, 64), np.int32)
    for change in (
        {"meta": {"keep": "float32"}}, {"meta": {"keep": None}}, {"meta": {"keep": "int8"}},
        {"meta": {"keep": ["int8"]}}, {"drop": ["keep"]}, {"drop": ["vectors"]},
        {"drop": ["vector_chunks"]}, {"arrays": {"vectors": short}}, {"arrays": {"vectors": wrong}},
        {"arrays": {"vector_chunks": np.zeros(1, np.uint64)}},
        {"arrays": {"vector_chunks": np.zeros(2, np.int64)}},
    ):  # fmt: skip
        rewritten(tmp_path / "index", tmp_path / "x", **change)
        with pytest.raises(FormatError, match="the index is inconsistent"):
            Index.open(tmp_path / "x")
    if nlist:
        rewritten(tmp_path / "index", tmp_path / "x", drop=["owners"])
        with pytest.raises(FormatError, match="the index is inconsistent"):
            Index.open(tmp_path / "x")


def test_vectors_that_are_not_finite_are_told_and_change_an_answer_at_most(
    bytes_codec, vectors, queries, tmp_path
):
    made(bytes_codec, vectors).save(tmp_path / "index")
    bad = np.array(container.read(tmp_path / "index", base.KIND, base.FORMAT).arrays["vectors"])
    bad[:700].view("<f2")[:] = np.array([np.nan, np.inf, -np.inf, 65504] * 8, np.float16)
    sums = base.vector_checksums(Kept.of(Form("float16", 32), bad).pieces())
    arrays = {"vectors": bad, "vector_chunks": sums}
    rewritten(tmp_path / "index", tmp_path / "x", arrays=arrays)
    (problem,) = verify(tmp_path / "x").problems
    assert "700 kept vectors are not finite" in problem
    assert Index.open(tmp_path / "x").search(queries, 10, rescore=1500).ids.min() >= 700


@pytest.mark.parametrize("nlist", [None, LISTS])
@KEEP
def test_what_is_proven_is_kept(bytes_codec, vectors, queries, tmp_path, nlist, keep):
    """Rows whose codes or vectors are damaged are lost together; the log is made again."""
    index = made(bytes_codec, vectors, keep, nlist=nlist)
    index.save(tmp_path / "index")
    with Index.open(tmp_path / "index", "a") as opened:
        opened.upsert([2, 1200, 7000], vectors[:3])
    damaged(tmp_path, rows=[5, 9])
    shutil.copy(log_path(tmp_path / "index"), log_path(tmp_path / "damaged"))
    problems = verify(tmp_path / "damaged").problems
    assert any("section 'vectors' is damaged" in problem for problem in problems)
    assert any(f"kept vectors of 1 times {PIECE_ROWS} rows" in problem for problem in problems)
    salvage = repair(tmp_path / "damaged", tmp_path / "out")
    assert (salvage.rows, salvage.lost_rows) == (1500 - PIECE_ROWS, PIECE_ROWS)
    assert (salvage.records, salvage.lost_records) == (1, 0)
    assert f"{PIECE_ROWS} rows with proven codes lost their vectors" in salvage.notes
    again = Index.open(tmp_path / "out", verify=True)
    assert (again.keep, again.nlist) == (keep, nlist)
    kept = dict(zip(range(PIECE_ROWS, 1500), vectors[PIECE_ROWS:], strict=True))
    kept.pop(1200)
    kept |= dict(zip((2, 1200, 7000), vectors[:3], strict=True))
    assert again.ids.tolist() == list(kept)
    rows, scores = wanted(keep, np.stack([*kept.values()]), queries, 20)
    found = again.search(queries, 20, rescore=2000, nprobe=nlist)
    check(found, (np.array(list(kept))[rows], scores))
    assert verify(tmp_path / "out").whole


def test_nothing_is_proven_without_checksums(bytes_codec, vectors, tmp_path):
    made(bytes_codec, vectors).save(tmp_path / "index")
    damaged(tmp_path, rows=[5])
    (tmp_path / "damaged").replace(tmp_path / "index")
    damaged(tmp_path, rows=[0], name="vector_chunks")
    assert repair(tmp_path / "damaged", tmp_path / "out").lost_rows == 1500


def test_lists_that_are_lost_leave_codes_and_vectors(bytes_codec, vectors, queries, tmp_path):
    made(bytes_codec, vectors, nlist=LISTS).save(tmp_path / "index")
    with Index.open(tmp_path / "index", "a") as opened:
        opened.add(vectors[:3])
    damaged(tmp_path, rows=[0], name="owners")
    shutil.copy(log_path(tmp_path / "index"), log_path(tmp_path / "damaged"))
    repair(tmp_path / "damaged", tmp_path / "out")
    again = Index.open(tmp_path / "out")
    assert (again.nlist, len(again)) == (None, 1503)
    X = np.concatenate([vectors, vectors[:3]])
    check(again.search(queries, 20, rescore=2000), wanted("float16", X, queries, 20))


def test_other_vectors_than_those_kept_are_told(bytes_codec, vectors, tmp_path):
    index = Index(bytes_codec, **CODE, keep="float16")
    index.add_codes(bytes_codec.encode(vectors, **CODE), vectors=-vectors)
    index.save(tmp_path / "index")
    assert verify(tmp_path / "index").whole
    (problem,) = verify(tmp_path / "index", vectors=vectors).problems
    assert problem == "1000 of 1000 kept vectors are other ones"
    made(bytes_codec, vectors).save(tmp_path / "index")
    assert "1000 kept vectors are those given" in verify(tmp_path / "index", None, vectors).passed


def test_a_file_that_is_cut_in_place_is_told(bytes_codec, vectors, queries, tmp_path):
    """Also where changes moved the codes to memory, and vectors alone are still mapped."""
    made(bytes_codec, vectors).save(tmp_path / "index")
    index = Index.open(tmp_path / "index", "a")
    index.add(vectors[:3])
    with (tmp_path / "index").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(OSError, match="was changed in place while it was open"):
        index.search(queries, rescore=50)
