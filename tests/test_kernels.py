"""Every path equals the reference, and the reference equals definitions written in one line."""

import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qama import kernels
from qama.kernels import _dispatch, reference, reference_codebooks
from qama.kernels.layout import CodebookLayout

PATHS = list(_dispatch.native_paths())
ALL = [*PATHS, "numpy"]


def random_codes(rng, n, columns, kind="even"):
    codes = rng.integers(0, 256, (n, columns), dtype=np.uint8)
    if kind == "ties":  # few different rows
        return codes[rng.integers(0, min(n, 3), n)] if n else codes
    return codes & 1 if kind == "sparse" else codes


def random_mask(rng, n, kind):
    blocks = -(-n // 64)
    if kind == "none":
        return None
    word = rng.integers(0, 2**64, blocks, dtype=np.uint64)
    if kind == "sparse":
        for _ in range(4):
            word &= rng.integers(0, 2**64, blocks, dtype=np.uint64)
    return {"empty": word * 0, "full": ~(word * 0), "sparse": word, "half": word}[kind]


def random_tables(rng, m, columns, kind="normal", full=0):
    shape = m, 256 * full + 32 * (columns - full)
    if kind == "extreme":
        tables = rng.choice([-32768, -32767, 32767], shape)
    elif kind == "equal":
        tables = np.full(shape, 7)
    elif kind == "steep":  # the first columns weigh most
        tables = rng.normal(size=shape) * 8000 / (1 + np.arange(shape[1]) // 16)
    elif kind == "split":  # high nibbles are sums over their bit pairs, see bit_tables
        bytes_ = rng.normal(size=(m, 256 * full)) * 300
        tables = np.hstack([bytes_, bit_tables(rng, m, columns - full, bit_pairs=True)])
    else:
        tables = rng.normal(size=shape) * 300
    return np.clip(np.round(tables), -32768, 32767).astype(np.int16)


def random_inverse_norms(rng, n, kind):
    if kind == "none":
        return {}
    if kind == "steps":
        steps = (1.005 ** np.arange(-128, 128)).astype(np.float32)
        return {"inverse_norms": rng.integers(0, 256, n).astype(np.uint8), "steps": steps}
    low, high = {"near": (-0.1, 0.1), "tiny": (-100, -85), "huge": (60, 88)}[kind]
    return {"inverse_norms": np.exp(rng.uniform(low, high, n)).astype(np.float32)}


def hamming_topk(blocks, n, queries, k, *, threads=0, path=None, **scan):
    scan = kernels.HammingScan(kernels.StoredCodes(blocks, n), queries, **scan)
    return kernels.hamming_topk(scan, k, threads=threads, path=path)


def hamming_rows(blocks, rows, queries, *, n=None, threads=0, path=None, **scan):
    stored = kernels.StoredCodes(blocks, 64 * len(blocks) if n is None else n)
    scan = kernels.HammingScan(stored, queries, **scan)
    return kernels.hamming_rows(scan, rows, threads=threads, path=path)


def table_scan(
    blocks, n, tables, offsets, *, full=0, rest=None, inverse_norms=None, steps=None, scales=None,
    **allowed,
):  # fmt: skip
    if scales is None:
        scales = np.ones(len(tables), np.float32)
    stored = kernels.StoredCodes(blocks, n, rest, inverse_norms, steps)
    queries = kernels.QueryTables(tables, offsets, scales, full)
    return kernels.TableScan(stored, queries, **allowed)


def table_topk(blocks, n, tables, offsets, k, *, threads=0, path=None, **scan):
    scan = table_scan(blocks, n, tables, offsets, **scan)
    return kernels.table_topk(scan, k, threads=threads, path=path)


def table_rows(blocks, rows, tables, offsets, *, n=None, threads=0, path=None, **scan):
    if n is None:
        norms = scan.get("inverse_norms")
        n = 64 * len(blocks) if norms is None else len(norms)
    scan = table_scan(blocks, n, tables, offsets, **scan)
    return kernels.table_rows(scan, rows, threads=threads, path=path)


ANSWERS = {}


def of_reference(ask, *given, **options):
    """What the reference answers, who is asked once for what every path is asked."""
    question = pickle.dumps((ask.__name__, given, sorted(options.items())))
    key = hashlib.sha256(question).digest()
    if key not in ANSWERS:
        with np.errstate(over="ignore"):  # scores may become infinite
            ANSWERS[key] = ask(*given, path="numpy", **options)
    return ANSWERS[key]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def probes_of(products, held, blocks, ends, nprobe=1):
    """Probes of queries whose products with the centroids are int16 (m, nlist)."""
    centroids = kernels.CentroidUnits.of(np.eye(products.shape[1], dtype=np.int16))
    lists = kernels.InvertedLists(centroids, blocks, ends)
    return kernels.Probes(lists, products.astype(np.int16), held, nprobe)


# ------------------------------------------------------------------- known answers, by hand


@pytest.mark.parametrize("path", ALL)
def test_blocks_to_visit_by_hand(path):
    """Lists of blocks 0, 4 | none | 1, 2 | 3 hold 70, 0, 100 and 5 rows."""
    lists = np.array([70, 0, 100, 5]), np.array([0, 4, 1, 2, 3]), np.array([2, 2, 4, 5])
    products = np.array([[-2, -1, -2, 0], [0, -9, -9, -9]])

    def visit(nprobe, least):
        probes = probes_of(products, *lists, nprobe)
        visited, ends = kernels.blocks_to_visit(probes, least, path=path)
        return [part.tolist() for part in np.split(visited, ends[:-1])]

    assert visit(1, 0) == [[3], [0, 4]]
    assert visit(1, 5) == [[3], [0, 4]]
    assert visit(1, 6) == [[0, 3, 4], [0, 4]]  # the empty list does not help, then the lower one
    assert visit(3, 0) == [[0, 3, 4], [0, 1, 2, 4]]
    assert visit(2, 75) == [[0, 3, 4], [0, 1, 2, 4]]
    assert visit(1, 10**6) == visit(4, 0) == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("path", ALL)
def test_layout_by_hand(path):
    codes = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
    blocks = kernels.to_blocks(codes, path=path)
    assert blocks.shape == (1, 3, 64)
    assert blocks[0, :, :3].tolist() == [[1, 4, 0], [2, 5, 0], [3, 6, 0]]
    assert not blocks[0, :, 2:].any()
    assert kernels.from_blocks(blocks, 2, path=path).tolist() == codes.tolist()


@pytest.mark.parametrize("path", ALL)
def test_hamming_by_hand(path):
    blocks = kernels.to_blocks(np.array([[0b10000000], [0b11100000], [0b00000001]], np.uint8))
    query = np.array([[0b11000000]], np.uint8)
    found = hamming_topk(blocks, 3, query, 3, bits=8, path=path)
    assert [a.tolist() for a in found] == [[[0, 1, 2]], [[1, 1, 3]]]
    # the bits past the first three do not count: row 2 is 000 there
    found = hamming_topk(blocks, 3, query, 3, bits=3, path=path)
    assert [a.tolist() for a in found] == [[[0, 1, 2]], [[1, 1, 2]]]
    # as one bit pair: levels 2, 3, 0 against 3
    found = hamming_topk(blocks, 3, query, 2, bits=2, bit_pairs=1, path=path)
    assert [a.tolist() for a in found] == [[[1, 0]], [[0, 1]]]


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("place", range(4))
def test_all_sixteen_bit_pairs_differ_by_their_levels(path, place):
    levels = np.arange(4, dtype=np.uint8)[:, None] << (6 - 2 * place)
    blocks = kernels.to_blocks(levels)
    rows = np.tile(np.arange(4), (4, 1))
    expected = [[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]]
    for bits in {8, 2 * place + 2}:
        options = {"bits": bits, "bit_pairs": place + 1, "path": path}
        assert hamming_rows(blocks, rows, levels, **options).tolist() == expected
        found, distances = hamming_topk(blocks, 4, levels, 4, **options)
        assert np.take_along_axis(np.array(expected), found, 1).tolist() == distances.tolist()


@pytest.mark.parametrize("path", ALL)
def test_table_by_hand(path):
    blocks = kernels.to_blocks(np.array([[0x21], [0x12], [0xF0], [0x12]], np.uint8))
    tables = np.zeros((1, 32), np.int16)
    tables[0, [1, 2, 15]] = 10, 20, -5  # high nibbles
    tables[0, 16 + np.arange(3)] = 1, 2, 3  # low nibbles
    offsets = np.array([100], np.int32)
    rows, scores = table_topk(blocks, 4, tables, offsets, 4, path=path)
    assert rows.tolist() == [[0, 1, 3, 2]]
    assert scores.tolist() == [[122.0, 113.0, 113.0, 96.0]]
    norms = np.array([0.5, 1, 2, 1], np.float32)
    rows, scores = table_topk(blocks, 4, tables, offsets, 3, inverse_norms=norms, path=path)
    assert rows.tolist() == [[2, 1, 3]]
    assert scores.tolist() == [[192.0, 113.0, 113.0]]
    mask = np.array([0b0101], np.uint64)
    rows, scores = table_topk(blocks, 4, tables, offsets, 9, mask=mask, path=path)
    assert rows.tolist() == [[0, 2]]
    steps = np.arange(1, 257, dtype=np.float32)
    chosen = table_rows(
        blocks, np.array([[2, 0]]), tables, offsets, n=4,
        inverse_norms=np.arange(4, dtype=np.uint8), steps=steps, path=path,
    )  # fmt: skip
    assert chosen.tolist() == [[3 * 96.0, 122.0]]


@pytest.mark.parametrize("path", ALL)
def test_a_full_column_by_hand(path):
    codes = np.array([[0x21, 0x34], [0xFF, 0x34], [0x21, 0x43], [0x00, 0x43]], np.uint8)
    tables = np.zeros((1, 256 + 32), np.int16)
    tables[0, [0x21, 0xFF, 0x00]] = 1000, -2000, 30  # bytes
    tables[0, 256 + np.array([3, 4])] = 1, 2  # high nibbles
    tables[0, 272 + np.array([3, 4])] = 50, 70  # low nibbles
    given = kernels.to_blocks(codes), 4, tables, np.array([5], np.int32)
    rows, scores = table_topk(*given, 4, full=1, path=path)
    assert rows.tolist() == [[0, 2, 3, 1]]
    assert scores.tolist() == [[1076.0, 1057.0, 87.0, -1924.0]]
    two = np.concatenate([tables[:, :256], np.arange(256, dtype=np.int16)[None]], axis=1)
    chosen = table_rows(given[0], np.array([[1, 0]]), two, given[3], full=2, path=path)
    assert chosen.tolist() == [[-1995.0 + 0x34, 1005.0 + 0x34]]


# --------------------------------------------------- the reference against its definition


@pytest.mark.parametrize(
    ("bits", "bit_pairs"), [(40, 0), (37, 0), (40, 20), (39, 7), (17, 3), (8, 4)]
)
def test_reference_hamming_is_the_definition(bits, bit_pairs):
    rng = np.random.default_rng(bits + bit_pairs)
    codes, queries = random_codes(rng, 130, 6), random_codes(rng, 3, 5)
    one, two = (np.unpackbits(x, axis=1)[:, :bits].astype(int) for x in (codes, queries))
    level = [2 * x[:, : 2 * bit_pairs : 2] + x[:, 1 : 2 * bit_pairs : 2] for x in (one, two)]
    expected = np.abs(level[1][:, None] - level[0][None]).sum(2)
    expected = expected + (two[:, None, 2 * bit_pairs :] != one[None, :, 2 * bit_pairs :]).sum(2)
    order = np.argsort(expected, axis=1, kind="stable")[:, :50]
    found = hamming_topk(
        kernels.to_blocks(codes), 130, queries, 50, bits=bits, bit_pairs=bit_pairs, path="numpy"
    )
    np.testing.assert_array_equal(found[0], order)
    np.testing.assert_array_equal(found[1], np.take_along_axis(expected, order, 1))
    distances = kernels.hamming_distances(queries, codes, bits=bits, bit_pairs=bit_pairs)
    assert distances.dtype == np.int32
    np.testing.assert_array_equal(distances, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": np.zeros((2, 3))}, "codes is float64"),
        ({"queries": np.zeros((1, 4), np.uint8)}, "queries has 4 columns; only 3 are stored"),
        ({"bits": 25}, "bits is 25"),
        ({"bit_pairs": 13}, "24 bits hold at most 12 of them"),
    ],
)
def test_distances_refuse(changes, message):
    given = {"queries": np.zeros((1, 3), np.uint8), "codes": np.zeros((2, 3), np.uint8), "bits": 24}
    assert kernels.hamming_distances(**given).shape == (1, 2)
    with pytest.raises(ValueError, match=message):
        kernels.hamming_distances(**(given | changes))


def test_reference_table_is_the_definition():
    rng = np.random.default_rng(1)
    codes, tables = random_codes(rng, 200, 5, "ties"), random_tables(rng, 3, 4, "extreme")
    offsets = np.array([5, -7, 2**24 + 1], np.int32)
    norms = random_inverse_norms(rng, 200, "near")["inverse_norms"]
    nibbles = np.stack([codes >> 4, codes & 15], axis=2).reshape(200, 10)[:, :8]
    places = 16 * np.arange(8) + nibbles
    sums = tables[:, places].astype(np.int32).sum(2, dtype=np.int32)
    expected = (sums + offsets[:, None]).astype(np.float32) * norms
    order = np.argsort(-expected, axis=1, kind="stable")[:, :60]
    found = table_topk(
        kernels.to_blocks(codes), 200, tables, offsets, 60, inverse_norms=norms, path="numpy"
    )
    np.testing.assert_array_equal(found[0], order)
    np.testing.assert_array_equal(found[1], np.take_along_axis(expected, order, 1))


def test_reference_results_do_not_depend_on_its_chunks(monkeypatch):
    rng = np.random.default_rng(2)
    blocks, queries = kernels.to_blocks(random_codes(rng, 500, 3, "ties")), random_codes(rng, 4, 3)
    whole = hamming_topk(blocks, 500, queries, 77, bits=24, bit_pairs=5, path="numpy")
    monkeypatch.setattr(reference, "CHUNK_BYTES", 64)
    assert_same(hamming_topk(blocks, 500, queries, 77, bits=24, bit_pairs=5, path="numpy"), whole)


# ------------------------------------------------------------- every path equals the reference

WIDTHS = [1, 2, 3, 7, 8, 15, 16, 24, 30, 31, 32, 33, 47, 48, 61, 62, 63, 93, 96, 156, 257, 560]


def compare_hamming(
    path, rng, n, m, columns, bits, bit_pairs, k, mask, threads, kind="even", more=0
):
    blocks = kernels.to_blocks(random_codes(rng, n, columns + more, kind))
    queries = random_codes(rng, m, columns)
    options = {"bits": bits, "bit_pairs": bit_pairs, "mask": random_mask(rng, n, mask)}
    expected = of_reference(hamming_topk, blocks, n, queries, k, **options)
    found = hamming_topk(blocks, n, queries, k, threads=threads, path=path, **options)
    assert_same(found, expected)
    del options["mask"]
    chosen = hamming_rows(blocks, found[0], queries, threads=threads, path=path, **options)
    np.testing.assert_array_equal(chosen, found[1])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("columns", WIDTHS)
def test_hamming_widths(path, columns):
    rng = np.random.default_rng(columns)
    full = 8 * columns
    for bits, bit_pairs in [(full, 0), (full - 3, 0), (full, full // 2), (full - 1, full // 3)]:
        m = int(rng.integers(1, 20))
        compare_hamming(
            path, rng, 200, m, columns, bits, bit_pairs, 10, "none", 1, more=columns % 2
        )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("columns", [7, 24, 63])
def test_hamming_of_opposite_codes_does_not_overflow(path, columns):
    blocks = np.full((2, columns, 64), 255, np.uint8)
    queries = np.zeros((9, columns), np.uint8)
    for bit_pairs in (0, 4 * columns):
        options = {"bits": 8 * columns, "bit_pairs": bit_pairs, "path": path}
        rows, distances = hamming_topk(blocks, 128, queries, 70, **options)
        assert (rows == np.arange(70)).all()
        assert (distances == 8 * columns + bit_pairs).all()


@pytest.mark.parametrize("path", PATHS)
def test_hamming_of_one_to_seventy_words(path):
    rng = np.random.default_rng(7)
    for words in range(1, 71):
        n, bits = int(rng.integers(0, 301)), 64 * words - int(rng.integers(0, 64))
        bit_pairs = int(rng.integers(0, bits // 2 + 1))
        for k in {1, max(1, n)}:
            compare_hamming(path, rng, n, 2, 8 * words, bits, bit_pairs, k, "none", 1)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_hamming_of_anything(path, data):
    n, columns = data.draw(st.integers(0, 300)), data.draw(st.integers(1, 70))
    bits = data.draw(st.integers(1, 8 * columns))
    compare_hamming(
        path, np.random.default_rng(data.draw(st.integers(0, 99))), n,
        m=data.draw(st.integers(0, 40)), columns=columns, bits=bits,
        bit_pairs=data.draw(st.integers(0, bits // 2)), k=data.draw(st.integers(1, max(n, 1))),
        mask=data.draw(st.sampled_from(["none", "empty", "full", "sparse", "half"])),
        threads=data.draw(st.sampled_from([0, 1, 2, 5])),
        kind=data.draw(st.sampled_from(["even", "ties", "sparse"])),
        more=data.draw(st.integers(0, 3)),
    )  # fmt: skip


KINDS = "even", "normal", "near"


def compare_tables(path, rng, n, m, columns, k, mask, threads, kinds=KINDS, full=0):
    codes, tables, norms = kinds
    blocks = kernels.to_blocks(random_codes(rng, n, columns, codes))
    offsets = rng.integers(-(2**20), 2**20, m).astype(np.int32)
    given = blocks, n, random_tables(rng, m, columns, tables, full), offsets
    norms = random_inverse_norms(rng, n, norms)
    options = {"mask": random_mask(rng, n, mask), "full": full, **norms}
    expected = of_reference(table_topk, *given, k, **options)
    found = table_topk(*given, k, threads=threads, path=path, **options)
    assert_same(found, expected)
    chosen = table_rows(
        blocks, found[0], given[2], offsets, full=full, threads=threads, path=path, **norms
    )
    np.testing.assert_array_equal(chosen, found[1])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("columns", WIDTHS)
def test_table_widths(path, columns):
    rng = np.random.default_rng(columns)
    for tables in ("normal", "steep", "extreme", "split"):
        for full in {0, int(rng.integers(0, min(columns, 40) + 1))}:
            m = int(rng.integers(1, 14))
            kinds = "even", tables, "steps"
            compare_tables(path, rng, 400, m, columns, 5, "none", 1, kinds, full)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("columns", [1, 2, 3, 6, 7, 12])
def test_tables_of_every_number_of_full_columns(path, columns):
    rng = np.random.default_rng(columns)
    for full in range(columns + 1):
        for tables in ("extreme", "equal", "split"):
            m = int(rng.integers(1, 10))
            kinds = "ties" if full % 2 else "even", tables, "steps"
            compare_tables(path, rng, 200, m, columns, 300, "half", 2, kinds, full)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("m", [1, 9, 70])
def test_each_byte_finds_its_entry_of_a_full_column(path, m):
    codes = np.arange(256, dtype=np.uint8)[:, None].repeat(2, axis=1)
    rng = np.random.default_rng(9)
    tables = np.stack([rng.permutation(512) for _ in range(m)]).astype(np.int16)
    rows, scores = table_topk(
        kernels.to_blocks(codes), 256, tables, np.zeros(m, np.int32), 256, full=2, path=path
    )
    sums = tables[:, :256] + tables[:, 256:]
    np.testing.assert_array_equal(rows, np.argsort(-sums, axis=1, kind="stable"))
    np.testing.assert_array_equal(scores, np.take_along_axis(sums, rows, axis=1))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("m", [16, 63, 64, 65, 130])
def test_tables_of_many_queries(path, m):
    rng = np.random.default_rng(m)
    for columns, full in [(1, 0), (1, 1), (5, 3), (13, 0), (17, 10), (31, 15), (48, 23)]:
        for tables, norms in [("normal", "steps"), ("extreme", "huge"), ("split", "tiny")]:
            mask = str(rng.choice(["none", "sparse", "half"]))
            kinds = "ties" if columns == 5 else "even", tables, norms
            compare_tables(path, rng, 700, m, columns, 9, mask, 2, kinds, full)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("k", [1, 1000, 1001])
def test_many_rows_of_many_queries(path, k):
    compare_tables(path, np.random.default_rng(k), 17_000, 64, 3, k, "half", 1, full=2)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_tables_of_anything(path, data):
    n, columns = data.draw(st.integers(0, 300)), data.draw(st.integers(1, 70))
    compare_tables(
        path, np.random.default_rng(data.draw(st.integers(0, 99))), n,
        m=data.draw(st.integers(0, 20) | st.integers(60, 70)), columns=columns,
        full=data.draw(st.integers(0, columns)), k=data.draw(st.integers(1, max(n, 1))),
        mask=data.draw(st.sampled_from(["none", "empty", "full", "sparse", "half"])),
        threads=data.draw(st.sampled_from([0, 1, 2, 5])),
        kinds=(
            data.draw(st.sampled_from(["even", "ties", "sparse"])),
            data.draw(st.sampled_from(["normal", "steep", "extreme", "equal", "split"])),
            data.draw(st.sampled_from(["none", "near", "steps", "tiny", "huge"])),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("threads", [1, 2, 5, 1000])
def test_many_rows_and_threads(path, threads):
    rng = np.random.default_rng(threads)
    compare_hamming(path, rng, 9_001, 11, 9, 71, 13, 100, "half", threads, "ties")
    compare_hamming(path, rng, 9_001, 3, 12, 96, 0, 10, "none", threads)
    compare_tables(path, rng, 9_001, 11, 6, 100, "sparse", threads)
    compare_tables(path, rng, 9_001, 3, 6, 10, "none", threads, ("even", "extreme", "steps"))
    compare_tables(path, rng, 9_001, 7, 9, 30, "sparse", threads, ("ties", "split", "near"), 4)


@pytest.mark.parametrize("path", PATHS)
def test_more_queries_than_a_batch(path):
    rng = np.random.default_rng(3)
    compare_hamming(path, rng, 100, 600, 3, 24, 0, 20, "none", 2)
    compare_tables(path, rng, 100, 600, 3, 20, "none", 2, full=1)


@pytest.mark.parametrize("path", PATHS)
def test_codes_too_wide_for_sixteen_bits(path):
    rng = np.random.default_rng(4)
    columns = 8_200
    compare_hamming(path, rng, 5, 2, columns, 8 * columns, 4 * columns, 3, "none", 1)
    compare_tables(path, rng, 5, 2, 16_400, 3, "none", 1)
    compare_tables(path, rng, 5, 2, 16_390, 3, "none", 1, full=16)
    compare_tables(path, rng, 130, 2, 600, 3, "none", 1, ("even", "extreme", "near"), 599)
    compare_tables(path, rng, 130, 2, 5_000, 3, "none", 1, ("even", "extreme", "near"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("columns", [1, 7, 8, 9, 48, 70])
def test_blocks_and_back(path, columns):
    rng = np.random.default_rng(columns)
    for n in (0, 1, 7, 8, 63, 64, 65, 200):
        codes = random_codes(rng, n, columns)
        blocks = kernels.to_blocks(codes, path=path)
        np.testing.assert_array_equal(blocks, kernels.to_blocks(codes, path="numpy"))
        for some in {n, n // 2}:
            np.testing.assert_array_equal(
                kernels.from_blocks(blocks[: -(-some // 64)], some, path=path), codes[:some]
            )


# --------------------------------------------------------------------------- choosing codewords


def random_choice(rng, n, books, d=10, kind="normal", codebook_size=16):
    """Draw rows, and codebooks made ready."""
    size = 2**15 if kind == "extreme" else 40 if kind == "coarse" else 2000
    rows = np.clip(rng.normal(size=(n, d)) * size, -(2**15), 2**15 - 1).astype(np.int16)
    codewords = rng.normal(size=(codebook_size * books, d)) * size / np.sqrt(books)
    codewords = np.clip(codewords, -(2**15), 2**15 - 1).astype(np.int16)
    codewords *= kind != "zero codewords"
    reach = np.linalg.norm(rows.astype(float), axis=1).max(initial=0) / 2  # some are clamped
    ready = kernels.prepare_codebooks(codewords, reach, codebook_size)
    return rows * np.int16(kind != "zero rows"), ready


def compare_choice(path, rows, codebooks, threads=1, **options):
    expected = of_reference(kernels.choose_codewords, rows, codebooks, **options)
    found = kernels.choose_codewords(rows, codebooks, path=path, threads=threads, **options)
    assert_same(found, expected)
    assert found[0].shape == (len(rows), codebooks.layout.nbytes)
    return found


@pytest.mark.parametrize("path", ALL)
def test_choice_by_hand(path):
    codewords = np.zeros((32, 2), np.int16)
    codewords[:, 0] = [8 * k for k in range(16)] + list(range(16))
    rows = np.array([[77, 0], [-5, 3], [400, -2], [20, 0]], np.int16)
    codes, residuals = kernels.choose_codewords(
        rows, kernels.prepare_codebooks(codewords, 500), beam=2, sweeps=2, path=path
    )
    assert codes.tolist() == [
        [0x95],
        [0x00],
        [0xFF],
        [0x24],
    ]  # ties by the lower codeword: 24, not 1C
    assert residuals.tolist() == [[0, 0], [-5, 3], [265, -2], [0, 0]]


def choice_by_definition(row, codebooks, beam, sweeps):
    """Search as documented, computing every cost anew with Python's integers."""
    W, r, limit, shift = (
        codebooks.codewords.astype(object),
        row.astype(object),
        codebooks.limit,
        codebooks.shift,
    )
    gram = W @ W.T

    def cost(chosen):
        at = [codebooks.size * t + codeword for t, codeword in enumerate(chosen)]
        products = [min(max((int(W[j] @ r) + 2**31) % 2**32 - 2**31 >> shift, -limit), limit)
                    for j in at]  # fmt: skip
        alone = sum((int(gram[j, j]) >> shift) - 2 * p for j, p in zip(at, products, strict=True))
        return alone + sum(2 * int(gram[i, j]) >> shift for i in at for j in at if i < j)

    prefixes = [()]
    every = range(codebooks.size)
    for _ in range(len(codebooks.layout.bits)):
        longer = [(*p, codeword) for p in prefixes for codeword in every]
        prefixes = sorted(longer, key=cost)[:beam]
    chosen = list(prefixes[0])
    for _ in range(sweeps):
        for t in range(len(chosen)):
            chosen[t] = min(every, key=lambda w, t=t: cost([*chosen[:t], w, *chosen[t + 1 :]]))
    return chosen


@pytest.mark.parametrize("kind", ["normal", "coarse", "extreme"])
@pytest.mark.parametrize(
    ("size", "books", "beam", "sweeps"),
    [(16, 2, 1, 0), (16, 4, 3, 2), (16, 6, 2, 1), (256, 1, 3, 1), (256, 3, 2, 2)],
)
def test_reference_choice_is_the_definition(kind, size, books, beam, sweeps):
    rows, codebooks = random_choice(np.random.default_rng(books), 4, books, 4, kind, size)
    codes, residuals = kernels.choose_codewords(
        rows, codebooks, beam=beam, sweeps=sweeps, path="numpy"
    )
    for row, code, left in zip(rows, codes, residuals, strict=True):
        expected = choice_by_definition(row, codebooks, beam, sweeps)
        read = list(code) if size == 256 else [int(n, 16) for n in code.tobytes().hex()]
        assert read == expected
        chosen = codebooks.codewords[size * np.arange(books) + expected].astype(int)
        assert left.tolist() == np.clip(row - chosen.sum(0), -(2**15), 2**15 - 1).tolist()


def test_reference_choice_does_not_depend_on_its_chunks(monkeypatch):
    rows, codebooks = random_choice(np.random.default_rng(1), 20, 6)
    whole = kernels.choose_codewords(rows, codebooks, beam=3, sweeps=2, path="numpy")
    monkeypatch.setattr(reference_codebooks, "CHUNK_BYTES", 4 * 3 * 96 * 3)
    again = kernels.choose_codewords(rows, codebooks, beam=3, sweeps=2, path="numpy")
    assert_same(again, whole)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("size", "books", "d"),
    [
        *[(16, 2, 2), (16, 2, 384), (16, 4, 6), (16, 22, 50), (16, 32, 64), (16, 64, 8)],
        *[(256, 1, 2), (256, 1, 50), (256, 3, 8), (256, 11, 6)],
    ],
)
def test_choice_widths(path, size, books, d):
    rng = np.random.default_rng(books)
    for kind in ("normal", "coarse", "extreme", "zero codewords", "zero rows"):
        for beam, sweeps in [(1, 0), (1, 3), (2, 1), (4, 4), (16, 2)]:
            n = int(rng.integers(1, 9)) if size == 16 else 3
            rows, codebooks = random_choice(rng, n, books, d, kind, size)
            compare_choice(path, rows, codebooks, beam=beam, sweeps=sweeps)


@pytest.mark.parametrize("path", ALL)
def test_products_by_hand(path):
    codewords = np.array([[1, 2], [-3, 4], [2**15 - 1, -(2**15)]], np.int16)
    rows = np.array([[1, 0], [0, -1], [-(2**15), -(2**15)]], np.int16)
    products = kernels.multiply(rows, kernels.panels(codewords), path=path)
    assert products[:, :3].tolist() == [
        [1, -3, 32767], [-2, -4, 32768], [-98304, -32768, 2**15]
    ]  # fmt: skip
    assert products.shape == (3, 32)
    assert not products[:, 3:].any()


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("reach", [1000, 2**15])
@pytest.mark.parametrize(
    ("n", "width", "d"),
    [(0, 5, 4), (1, 300, 2), (17, 64, 384), (70, 1, 10), (65, 40, 66), (64, 33, 190)],
)
def test_products(path, n, width, d, reach):
    rng = np.random.default_rng(width)
    rows = rng.integers(-reach, reach, (n, d)).astype(np.int16)
    codewords = rng.integers(-reach, reach, (width, d)).astype(np.int16)
    products = kernels.multiply(rows, kernels.panels(codewords), threads=2, path=path)
    exact = rows.astype(int) @ codewords.astype(int).T
    assert (products[:, :width] == exact.astype(np.int32)).all()  # modulo 2^32


def test_tables_of_nibbles_by_hand():
    """One full byte of three codewords that are not zero, and queries that need 8 bits or more."""
    entries = np.zeros((256, 2), np.int8)
    entries[:3] = [[1, -8], [7, 0], [-1, 3]]
    steps = np.ones(256, np.int16)
    steps[:3] = [1, 10, 2]
    codewords = kernels.NibbleCodewords.of(entries, steps, np.array([3, 5], np.int16))
    queries = np.array([[1, 0], [0, -1], [1000, -24]], np.int16)  # 125 and -3, times 8
    for path in ALL:
        ready = kernels.nibble_tables(
            kernels.NibbleQueries(queries, codewords, CodebookLayout(1, 1)), path=path
        )
        units = ready.scales * 2.0**28
        products = ready.tables[:, :3] * units[:, None]
        assert products.tolist() == [[1, 70, -2], [8, 0, -6], [8 * 149, 8 * 8750, 8 * -268]]
        assert (ready.offsets * units).tolist() == [3, -5, 2880]
        assert not ready.tables[:, 3:].any()
        assert np.abs(ready.tables).max(axis=1).min() >= 2**14  # as fine as int16 allows


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("nbytes", "full", "d", "n"), [(1, 0, 1, 0), (1, 1, 9, 1), (5, 2, 384, 37), (48, 23, 20, 17)]
)
def test_tables_of_nibbles_equal_the_reference(path, nbytes, full, d, n):
    rng, layout = np.random.default_rng(nbytes), CodebookLayout(nbytes, full)
    for most in (1, 127, 128, 2**14):
        queries = nibble_queries(rng, n, d, layout, most)
        found = kernels.nibble_tables(queries, threads=2, path=path)
        compare_ready(found, kernels.nibble_tables(queries, path="numpy"))


def nibble_queries(rng, n, d, layout, most):
    entries = rng.integers(-8, 8, (layout.terms + 5, d)).astype(np.int8)
    steps = rng.integers(1, 2048, len(entries)).astype(np.int16)
    mean = rng.integers(-(2**15), 2**15, d).astype(np.int16)
    codewords = kernels.NibbleCodewords.of(entries, steps, mean)
    np.testing.assert_array_equal(codewords.entries(), entries)
    queries = rng.integers(-most, most + 1, (n, d)).astype(np.int16)
    queries[rng.random(n) < 0.2] = 0
    return kernels.NibbleQueries(queries, codewords, layout)


def compare_ready(found, wanted):
    assert found.full == wanted.full
    pairs = [(getattr(one, name) for one in (found, wanted)) for name in PARTS_OF_TABLES]
    for one, other in pairs:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


PARTS_OF_TABLES = ("tables", "offsets", "scales")


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(("nbytes", "full", "n"), [(1, 1, 1), (5, 2, 9), (48, 23, 70)])
@pytest.mark.parametrize("apart", [False, True])
def test_a_scan_makes_the_tables_that_it_is_not_given(path, nbytes, full, n, apart):
    """One call from queries to rows equals two, for all blocks and for each query's own."""
    rng, layout, rows = np.random.default_rng(nbytes), CodebookLayout(nbytes, full), 500
    blocks = kernels.to_blocks(random_codes(rng, rows, nbytes, "ties"))
    norms = random_inverse_norms(rng, rows, "steps")
    stored = kernels.StoredCodes(blocks, rows, None, **norms)
    if apart and nbytes > 1:
        split = [np.ascontiguousarray(part) for part in np.split(blocks, [nbytes // 2], axis=1)]
        stored = kernels.StoredCodes(split[0], rows, split[1], **norms)
    queries = nibble_queries(rng, n, 20, layout, 2**14)
    tables = kernels.nibble_tables(queries, path="numpy")
    own = {"visited": np.tile(np.array([0, 3, 7]), n), "ends": np.arange(3, 3 * n + 1, 3)}
    for allowed in ({}, {"mask": random_mask(rng, rows, "half")}, own):
        wanted = kernels.table_topk(kernels.TableScan(stored, tables, **allowed), 7, path="numpy")
        scan = kernels.TableScan(stored, queries, **allowed)
        assert_same(kernels.table_topk(scan, 7, threads=2, path=path), wanted)
        chosen = rng.integers(0, rows, (n, 3))
        np.testing.assert_array_equal(
            kernels.table_rows(scan, chosen, path=path),
            kernels.table_rows(kernels.TableScan(stored, tables), chosen, path="numpy"),
        )


@pytest.mark.parametrize("path", ALL)
def test_scores_are_times_the_scale_of_their_query(path):
    rng, n = np.random.default_rng(0), 200
    blocks = kernels.to_blocks(random_codes(rng, n, 3))
    tables, offsets = random_tables(rng, 4, 3), np.zeros(4, np.int32)
    scales = np.array([1, 2**-28, 0.5, 4], np.float32)
    plain = table_topk(blocks, n, tables, offsets, 9, path="numpy")
    rows, scores = table_topk(blocks, n, tables, offsets, 9, scales=scales, path=path)
    np.testing.assert_array_equal(rows, plain[0])
    np.testing.assert_array_equal(scores, plain[1] * scales[:, None])
    found = table_rows(blocks, rows, tables, offsets, n=n, scales=scales, path=path)
    np.testing.assert_array_equal(found, scores)


@pytest.mark.parametrize("path", ALL)
def test_tables_are_rounded_half_to_even(path):
    terms = np.zeros((3, 24), np.int32)
    terms[0, 8:14] = [65532, 3, 5, 7, -3, -5]  # halved; high nibbles are zero
    terms[1, :8] = [0, 100, 0, -100, 0, 1, 2, 3]
    ready = kernels.round_tables(terms, np.array([7, -6, 0]), CodebookLayout(1), path=path)
    tables = ready.tables
    assert tables[0, 16:22].tolist() == [32766, 2, 2, 4, -2, -2]
    assert tables[1, :16].tolist() == [256 * (a + b) for a in (0, 100, 0, -100) for b in range(4)]
    assert not tables[2].any()
    assert ready.scales.tolist() == [2.0**-27, 2.0**-36, 1]
    assert ready.offsets.tolist() == [4, -6 * 256, 0]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("nbytes", "full"), [(1, 0), (1, 1), (5, 2), (48, 23)])
def test_rounded_tables_equal_the_reference(path, nbytes, full):
    rng, layout = np.random.default_rng(nbytes), CodebookLayout(nbytes, full)
    for bits in (1, 14, 16, 31):
        terms = rng.integers(-(2**bits), 2**bits, (40, layout.terms + 3)).astype(np.int32)
        terms[rng.random(40) < 0.2] = 0
        offsets = rng.integers(-(2**49), 2**49, 40) >> rng.integers(0, 56, 40)
        found = kernels.round_tables(terms, offsets, layout, threads=2, path=path)
        compare_ready(found, kernels.round_tables(terms, offsets, layout, path="numpy"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("m", "nlist"), [(0, 3), (1, 1), (5, 40), (70, 200)])
def test_blocks_to_visit_equal_the_reference(path, m, nlist):
    rng = np.random.default_rng(nlist)
    owners = rng.integers(0, nlist, 3 * nlist)
    blocks, ends = np.argsort(owners, kind="stable"), np.bincount(owners, minlength=nlist).cumsum()
    held = rng.integers(0, 64, nlist)
    products = rng.integers(-nlist, nlist, (m, nlist))  # with ties
    for nprobe in {1, min(3, nlist), nlist}:
        probes = probes_of(products, held, blocks, ends, nprobe)
        for least in (0, 90, 10**6):
            found, wanted = (
                kernels.blocks_to_visit(probes, least, threads=2, path=which)
                for which in (path, "numpy")
            )
            assert_same(found, wanted)


def centroids_and_queries(kind, nlist, dims, m):
    """int16 (nlist, dims) and (m, dims): as searches have them, and as none has them."""
    rng = np.random.default_rng(nlist + dims)
    if kind == "any":  # products wrap
        return [rng.integers(-(2**15), 2**15, (n, dims)).astype(np.int16) for n in (nlist, m)]
    if kind == "small":  # rounding takes nothing, or all
        return [rng.integers(-1, 2, (n, dims)).astype(np.int16) for n in (nlist, m)]
    C = rng.standard_normal((nlist, dims)).astype(np.float32)
    Q = C[rng.integers(0, nlist, m)] + rng.standard_normal((m, dims)).astype(np.float32)
    if kind == "same":  # all are ties
        C[:] = C[0]
    if kind == "spiked":  # a few entries are far beyond those of 4 bits
        C[:, :1] *= 40
        Q[:, -1:] *= 40
    if kind == "twice":
        C[nlist // 2 :] = C[: nlist - nlist // 2]
    if kind == "zero":
        C[::2], Q[::2] = 0, 0
    return [kernels.whole_units(rows) for rows in (C, Q)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["units", "twice", "same", "spiked", "zero", "small", "any"])
@pytest.mark.parametrize(("nlist", "dims"), [(1, 3), (33, 7), (700, 64), (1100, 257)])
def test_nearest_lists_equal_the_reference(path, kind, nlist, dims):
    """One block of 10 rows for each list: blocks are lists."""
    centroids, queries = centroids_and_queries(kind, nlist, dims, 21)
    each = kernels.CentroidUnits.of(centroids)
    lists = kernels.InvertedLists(each, np.arange(nlist), np.arange(1, nlist + 1))
    for nprobe in {1, min(5, nlist), max(1, nlist // 32), nlist // 32 + 1, nlist // 2 + 1, nlist}:
        for some, least in ((queries[:1], 0), (queries, 0), (queries, 10 * nlist // 3)):
            probes = kernels.Probes(lists, some, np.full(nlist, 10), nprobe)
            found = kernels.blocks_to_visit(probes, least, threads=2, path=path)
            assert_same(found, kernels.blocks_to_visit(probes, least, path="numpy"))


@pytest.mark.parametrize("kind", ["units", "spiked", "zero", "small", "any"])
def test_rough_centroids_say_how_far_they_are_off(kind):
    units, _ = centroids_and_queries(kind, 50, 33, 1)
    made = kernels.CentroidUnits.of(units)
    entries, steps = made.rough.entries().astype(float), made.rough.steps[:50, None]
    assert len(made) == 50
    others = units - made.rough.mean.astype(float)
    for bound, rows in ((made.lengths, entries * steps), (made.left, others - entries * steps)):
        lengths = np.linalg.norm(rows, axis=1)
        assert bound.dtype == np.float32
        assert (bound >= lengths).all()
        np.testing.assert_allclose(bound, lengths, rtol=2e-4)
    if kind == "units":
        assert (made.left < 0.2 * made.lengths).all()


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (np.zeros((2, 4), np.int32), "units is int32"),
        (np.zeros((0, 4), np.int16), r"units.shape\[0\] is 0"),
        (np.zeros((2, 0), np.int16), r"units.shape\[1\] is 0"),
    ],
)
def test_unfitting_centroids_are_refused(units, message):
    with pytest.raises(ValueError, match=message):
        kernels.CentroidUnits.of(units)


@pytest.mark.parametrize("path", ALL)
def test_a_scan_with_probes_is_that_of_the_blocks_to_visit(path):
    rng, m, n, nlist = np.random.default_rng(0), 6, 64 * 40 + 7, 9
    owners = rng.integers(0, nlist, 41)
    lists = np.argsort(owners, kind="stable"), np.bincount(owners, minlength=nlist).cumsum()
    mask = random_mask(rng, n, "sparse")
    mask[-1] &= np.uint64(2**7 - 1)
    held = np.bincount(owners, np.bitwise_count(mask), minlength=nlist).astype(np.int64)
    layout = CodebookLayout(13, 5)
    codes = kernels.to_blocks(random_codes(rng, n, 13))
    stored = kernels.StoredCodes(codes, n, None, **random_inverse_norms(rng, n, "steps"))
    nibbles = nibble_queries(rng, m, 20, layout, 2**14)
    tables = kernels.nibble_tables(nibbles)
    encoded = random_codes(rng, m, 13)
    kinds = [
        (kernels.table_topk, lambda **allowed: kernels.TableScan(stored, nibbles, **allowed)),
        (kernels.table_topk, lambda **allowed: kernels.TableScan(stored, tables, **allowed)),
        (kernels.hamming_topk, lambda **a: kernels.HammingScan(stored, encoded, 100, 9, **a)),
    ]
    for nprobe in (1, 4, nlist):
        probes = probes_of(rng.integers(-9, 9, (m, nlist)), held, *lists, nprobe)
        for k in (1, 30, 10**6):
            kept = min(k, held.sum())
            visited, ends = kernels.blocks_to_visit(probes, kept, path="numpy")
            for topk, scan in kinds:
                found = topk(scan(mask=mask, probes=probes), k, threads=2, path=path)
                rows, values = topk(scan(mask=mask, visited=visited, ends=ends), kept, path="numpy")
                assert found[0].shape == (m, kept)
                assert_same(found, (rows, values))


PROBES = {"queries": np.zeros((2, 4), np.int16), "held": np.zeros(3, np.int64), "nprobe": 1}
LISTS = {
    "centroids": kernels.CentroidUnits.of(np.zeros((3, 4), np.int16)), "blocks": np.arange(2),
    "ends": np.array([1, 1, 2]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ends": np.zeros(3, np.int32)}, "ends is int32"),
        ({"ends": np.zeros(2, np.int64)}, r"ends is int64 of shape \(2,\)"),
        ({"ends": np.array([1, 0, 2])}, "ends must ascend from 0 to the 2 blocks"),
        ({"ends": np.array([1, 2, 3])}, "ends must ascend"),
        ({"blocks": np.zeros(2, np.int32)}, "blocks is int32"),
        ({"queries": np.zeros((2, 6), np.int16)}, r"queries is int16 of shape \(2, 6\)"),
        ({"held": np.zeros(4, np.int64)}, r"held is int64 of shape \(4,\)"),
        ({"nprobe": 0}, "nprobe is 0"),
        ({"nprobe": 4}, "nprobe is 4; there are 3 lists"),
    ],
)
def test_unfitting_lists_are_refused(changes, message):
    given = LISTS | PROBES
    kernels.Probes(kernels.InvertedLists(**LISTS), **PROBES)
    given |= changes
    with pytest.raises(ValueError, match=message):
        kernels.Probes(
            kernels.InvertedLists(**{name: given[name] for name in LISTS}),
            **{name: given[name] for name in PROBES},
        )


def test_probes_that_do_not_fit_a_scan_are_refused():
    probes = kernels.Probes(kernels.InvertedLists(**LISTS), **PROBES)
    stored, one = (
        kernels.StoredCodes(np.zeros((2, 1, 64), np.uint8), 128),
        np.zeros((1, 1), np.uint8),
    )
    with pytest.raises(ValueError, match="probes are of 2 queries, not of 1"):
        kernels.HammingScan(stored, one, 8, probes=probes)
    with pytest.raises(ValueError, match="probes and visited are given"):
        kernels.HammingScan(stored, one, 8, visited=np.array([0]), probes=probes)
    with pytest.raises(ValueError, match="least is -1"):
        kernels.blocks_to_visit(probes, -1)


@pytest.mark.skipif(not PATHS, reason="no native module")
@pytest.mark.parametrize(
    "changes",
    [
        {"units": np.zeros((0, 4), np.int16)}, {"units": np.zeros((4, 4), np.int16)},
        {"units": np.zeros((3, 5), np.int16)}, {"lengths": np.zeros(2, np.float32)},
        {"lengths": np.full(3, np.inf, np.float32)}, {"left": np.full(3, np.nan, np.float32)},
        {"left": np.full(3, -1, np.float32)}, {"left": np.zeros(4, np.float32)},
        {"ends": np.zeros(0, np.int64)}, {"ends": np.zeros(4, np.int64)},
        {"ends": np.array([1, 0, 2])}, {"ends": np.array([1, 2, 3])},
        {"ends": np.array([-1, 1, 2])},
        {"queries": np.zeros((2, 6), np.int16)}, {"held": np.zeros(4, np.int64)}, {"nprobe": 0},
        {"nprobe": 4}, {"blocks": np.array([0, 7])}, {"held": np.full(3, 10**4)},
        {"queries": np.zeros((3, 4), np.int16)},
    ],
    ids=str,
)  # fmt: skip
def test_the_native_module_reads_no_lists_that_would_lead_it_out_of_bounds(changes):
    from qama.kernels import _native

    stored = _native.StoredCodes(np.zeros((2, 1, 64), np.uint8), 128, None, None, None)

    def search(given):
        centroids = _native.CentroidUnits(given["units"], rough, given["lengths"], given["left"])
        lists = _native.InvertedLists(centroids, given["blocks"], given["ends"])
        probes = _native.Probes(lists, *(given[name] for name in PROBES))
        out = np.zeros((2, 100), np.int64), np.zeros((2, 100), np.int32)
        queries = np.zeros((2, 1), np.uint8)
        _native.hamming_topk("portable", stored, None, None, None, probes, queries, 8, 0, 1, *out)

    made = LISTS["centroids"]
    rough = _native.NibbleCodewords(made.rough.mean, made.rough.panels, made.rough.steps)
    given = LISTS | PROBES | {"held": np.array([64, 0, 64])}
    given |= {"units": made.units, "lengths": made.lengths, "left": made.left}
    search(given)
    with pytest.raises(ValueError, match=r"do(es)? not fit|must ascend"):
        search(given | changes)


@pytest.mark.parametrize("path", PATHS)
def test_whole_units_equal_the_reference(path):
    rng = np.random.default_rng(0)
    for dims in (1, 2, 7, 8, 9, 64, 127, 128, 129, 257, 384, 1000, 1537):
        X = rng.standard_normal((9, dims)).astype(np.float32)
        X *= 10.0 ** rng.integers(-9, 9, (9, 1))
        X[0, 1:] = 0
        wanted = kernels.whole_units(X, path="numpy")
        np.testing.assert_array_equal(wanted, kernels.whole(kernels.unit(X)))
        assert_same([kernels.whole_units(X, path=path)], [wanted])


@pytest.mark.parametrize("path", ALL)
def test_whole_units_by_hand(path):
    def units(*rows):
        return kernels.whole_units(np.array(rows, np.float32), path=path).tolist()

    assert units([3, -4]) == [[9830, -13107]]  # .6 and .8 of 2^14
    assert units([0, 0], [0, 1e-30], [3e30, 4e30]) == [[0, 0], [0, 16384], [9830, 13107]]
    with pytest.raises(ValueError, match="X is float64"):
        kernels.whole_units(np.ones((1, 2)), path=path)


def test_unfitting_queries_are_refused():
    entries, steps, mean = (
        np.zeros((24, 20), np.int8),
        np.ones(24, np.int16),
        np.zeros(20, np.int16),
    )
    codewords, queries = (
        kernels.NibbleCodewords.of(entries, steps, mean),
        np.zeros((1, 20), np.int16),
    )
    with pytest.raises(ValueError, match="queries is int16 of shape"):
        kernels.NibbleQueries(queries[:, :16], codewords, CodebookLayout(1))
    with pytest.raises(ValueError, match="mean is int16 of shape"):
        kernels.NibbleCodewords.of(entries, steps, mean[:3])
    with pytest.raises(ValueError, match="needs 48 terms; there are 24"):
        kernels.NibbleQueries(queries, codewords, CodebookLayout(2))
    with pytest.raises(ValueError, match="terms has 255 columns"):
        kernels.round_tables(
            np.zeros((1, 255), np.int32), np.zeros(1, np.int64), CodebookLayout(1, 1)
        )


def chosen_codewords(codes, full):
    """Say of each code which codewords it chooses: int (n, codewords), 1 or 0."""
    chosen = [codes[:, byte, None] == np.arange(256) for byte in range(full)]
    for byte in range(full, codes.shape[1]):
        chosen += [part[:, None] == np.arange(16) for part in np.divmod(codes[:, byte], 16)]
    return np.hstack(chosen).astype(int)


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("full", [0, 1, 3])
def test_codeword_sums(path, full):
    rng = np.random.default_rng(full)
    codes = rng.integers(0, 256, (90, 3)).astype(np.uint8)
    rows = rng.integers(-(2**15), 2**15, (90, 6)).astype(np.int16)
    sums = kernels.codeword_sums(codes, rows, full=full, threads=2, path=path)
    assert (sums == chosen_codewords(codes, full).T @ rows.astype(int)).all()


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("full", [0, 1, 3])
@pytest.mark.parametrize("n", [0, 1, 900])
def test_pairs_are_counted_and_taken_out(path, full, n):
    codes = np.random.default_rng(full).integers(0, 256, (n, 3)).astype(np.uint8)
    chosen = chosen_codewords(codes, full)
    counts = np.zeros((chosen.shape[1], chosen.shape[1]), np.int32)
    kernels.count_pairs(codes, counts, full=full, threads=2, path=path)
    assert (counts == chosen.T @ chosen).all()
    kernels.count_pairs(codes[: n // 2], counts, full=full, times=-1, path=path)
    left = chosen[n // 2 :]
    assert (counts == left.T @ left).all()


@pytest.mark.parametrize("full", [-1, 4, 0.5])
def test_more_full_bytes_than_there_are_cannot_be_summed(full):
    with pytest.raises(ValueError, match=f"full is {full}"):
        kernels.codeword_sums(np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.int16), full=full)
    with pytest.raises(ValueError, match=f"full is {full}"):
        kernels.count_pairs(np.zeros((2, 3), np.uint8), np.zeros((96, 96), np.int32), full=full)
    with pytest.raises(ValueError, match="counts"):
        kernels.count_pairs(np.zeros((2, 3), np.uint8), np.zeros((9, 9), np.int32))


def test_counts_that_would_be_changed_in_a_copy_are_refused():
    codes, counts = np.zeros((2, 1), np.uint8), np.zeros((32, 64), np.int32)[:, ::2]
    with pytest.raises(ValueError, match="counts is not C-contiguous"):
        kernels.count_pairs(codes, counts)
    counts = np.zeros((32, 32), np.int32)
    counts.flags.writeable = False
    with pytest.raises(ValueError, match="counts cannot be written"):
        kernels.count_pairs(codes, counts)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_choice_of_anything(path, data):
    rows, codebooks = random_choice(
        np.random.default_rng(data.draw(st.integers(0, 99))), data.draw(st.integers(0, 200)),
        2 * data.draw(st.integers(1, 12)), 2 * data.draw(st.integers(1, 40)),
        data.draw(st.sampled_from(["normal", "coarse", "extreme", "zero codewords", "zero rows"])),
    )  # fmt: skip
    compare_choice(
        path, rows, codebooks, threads=data.draw(st.sampled_from([0, 1, 3])),
        beam=data.draw(st.integers(1, 16)), sweeps=data.draw(st.integers(0, 4)),
    )  # fmt: skip


@pytest.mark.parametrize("path", ALL)
def test_a_choice_depends_on_its_row_alone(path):
    rows, codebooks = random_choice(np.random.default_rng(5), 70, 10)
    options = {"beam": 4, "sweeps": 3, "path": path}
    whole = kernels.choose_codewords(rows, codebooks, threads=3, **options)
    for i in (0, 1, 33, 69):
        one = kernels.choose_codewords(rows[i : i + 1], codebooks, **options)
        assert_same([part[0] for part in one], [part[i] for part in whole])


@pytest.mark.parametrize("path", ALL)
def test_choices_of_two_codewords_against_all_256(path):
    every = np.arange(256)
    for seed in range(5):
        rows, codebooks = random_choice(np.random.default_rng(seed), 20, 2)
        W = codebooks.codewords.astype(int)
        decoded = (W[every >> 4] + W[16 + (every & 15)])[None]
        costs = np.square(rows[:, None].astype(int) - decoded).sum(axis=2)
        at = np.arange(len(rows))

        def chosen(beam, sweeps, rows=rows, codebooks=codebooks):
            options = {"beam": beam, "sweeps": sweeps, "path": path}
            return kernels.choose_codewords(rows, codebooks, **options)[0][:, 0]

        slack = 2 ** (codebooks.shift + 3)  # products are rounded
        greedy, swept, wide = chosen(1, 0), chosen(1, 9), chosen(16, 0)
        assert (costs[at, swept] <= costs[at, greedy] + slack).all()
        for change in (
            *range(1, 16),
            *range(16, 256, 16),
        ):  # no single codeword improves on descent
            assert (costs[at, swept] <= costs[at, swept ^ change] + slack).all()
        assert (costs[at, wide] <= costs.min(axis=1) + slack).all()  # 16 prefixes are all there are


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(
    ("n", "columns", "full", "d"),
    [(0, 1, 0, 2), (1, 3, 0, 7), (300, 12, 11, 40), (9, 2, 2, 5), (5, 48, 1, 384)],
)
def test_squared_norms(path, n, columns, full, d):
    rng = np.random.default_rng(columns)
    codes = random_codes(rng, n, columns)
    codewords = rng.integers(-(2**15), 2**15, (256 * full + 32 * (columns - full), d)).astype(
        np.int16
    )
    start = rng.integers(-(2**15), 2**15, d).astype(np.int16)
    found = kernels.squared_norms(codes, codewords, start, full=full, path=path)
    assert found.dtype == np.int64
    first = 256 * full + 16 * np.arange(2 * (columns - full))
    for code, norm in zip(codes[:9], found[:9], strict=True):
        nibbles = [int(x, 16) for x in code[full:].tobytes().hex()]
        at = np.concatenate([256 * np.arange(full) + code[:full], first + nibbles]).astype(int)
        chosen = codewords[at].astype(object)
        assert norm == ((start.astype(object) + chosen.sum(axis=0)) ** 2).sum()
    expected = of_reference(kernels.squared_norms, codes, codewords, start, full=full)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": np.zeros((2, 3), np.int8)}, "codes is int8"),
        ({"codes": np.zeros((2, 0), np.uint8)}, "codes.shape"),
        ({"codewords": np.zeros((64, 4), np.int16)}, r"codewords is int16 of shape \(64, 4\)"),
        ({"start": np.zeros(3, np.int16)}, r"start is int16 of shape \(3,\)"),
        ({"full": 4}, "full is 4; codes have 3 columns"),
        ({"full": 1}, r"codewords is int16 of shape \(96, 4\)"),
        (
            {"codes": np.zeros((1, 257), np.uint8), "codewords": np.zeros((8224, 4), np.int16)},
            "257 col",
        ),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_squared_norms_refuse(changes, message):
    arguments = {
        "codes": np.zeros((2, 3), np.uint8), "codewords": np.zeros((96, 4), np.int16),
        "start": np.zeros(4, np.int16),
    }  # fmt: skip
    kernels.squared_norms(**arguments)
    with pytest.raises(ValueError, match=message):
        kernels.squared_norms(**(arguments | changes))


# ---------------------------------------------------------------------------------- the seam


def hamming_arguments(**changes):
    arguments = {
        "blocks": np.zeros((2, 3, 64), np.uint8), "n": 100, "queries": np.zeros((1, 3), np.uint8),
        "k": 5, "bits": 24,
    }  # fmt: skip
    return arguments | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": np.zeros((2, 3, 64))}, "blocks is float64"),
        ({"blocks": np.zeros((2, 64, 3), np.uint8).swapaxes(1, 2)}, "blocks must be a C-contig"),
        ({"blocks": np.zeros((2, 3, 32), np.uint8)}, r"blocks is uint8 of shape \(2, 3, 32\)"),
        ({"n": 129}, "129 rows fill 3 blocks"),
        ({"n": -1}, "n is -1"),
        ({"queries": [[0, 0, 0]]}, "queries is a list"),
        ({"queries": np.zeros((1, 4), np.uint8)}, "queries has 4 columns; only 3 are stored"),
        ({"k": 0}, "k is 0; an integer of at least 1"),
        ({"k": 2.5}, "k is 2.5"),
        ({"bits": 25}, "bits is 25; the 3 columns of queries hold 24"),
        ({"bits": 0}, "bits is 0"),
        ({"bit_pairs": 13}, "24 bits hold at most 12 of them"),
        ({"mask": np.zeros(3, np.uint64)}, r"mask is uint64 of shape \(3,\)"),
        ({"mask": np.zeros(2, bool)}, "mask is bool"),
        ({"threads": -1}, "threads is -1"),
        ({"path": "sse9"}, "path is 'sse9'; one of amx, avx512"),
    ],
)
def test_hamming_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        hamming_topk(**hamming_arguments(**changes))


def table_arguments(**changes):
    arguments = {
        "blocks": np.zeros((2, 3, 64), np.uint8), "n": 100, "k": 5,
        "tables": np.zeros((1, 96), np.int16), "offsets": np.zeros(1, np.int32),
    }  # fmt: skip
    return arguments | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tables": np.zeros((1, 6, 16), np.int16)}, r"tables is int16 of shape \(1, 6, 16\)"),
        ({"tables": np.zeros((1, 80), np.int16)}, "tables has 80 entries per query; 256 for"),
        ({"tables": np.zeros((1, 128), np.int16)}, "for codes of 4 columns; 3 are stored"),
        ({"tables": np.zeros((1, 0), np.int16)}, "tables has 0 entries"),
        ({"full": 1}, "tables has 96 entries per query; 256 for each of full=1 columns, then 32"),
        ({"full": 1, "tables": np.zeros((1, 280), np.int16)}, "tables has 280 entries"),
        ({"full": 2, "tables": np.zeros((1, 480), np.int16)}, "tables has 480 entries"),
        ({"full": 4, "tables": np.zeros((1, 1024), np.int16)}, "for codes of 4 columns; 3"),
        ({"full": 13, "tables": np.zeros((1, 2976), np.int16)}, "full=13"),
        ({"full": -1}, "full is -1; an integer of at least 0"),
        ({"full": 0.5}, "full is 0.5"),
        ({"tables": np.zeros((1, 96))}, "tables is float64"),
        ({"offsets": np.zeros(2, np.int32)}, "offsets is int32 of shape"),
        ({"offsets": np.array([2**31 - 9], np.int32)}, "sums could leave int32"),
        ({"inverse_norms": np.ones(99, np.float32)}, "inverse_norms is float32 of shape"),
        ({"inverse_norms": np.ones(100, np.uint8)}, "inverse_norms is uint8"),
        ({"steps": np.ones(256, np.float32)}, "inverse_norms is None but steps are given"),
        (
            {"inverse_norms": np.ones(100, np.uint8), "steps": np.ones(9, np.float32)},
            r"steps is float32 of shape \(9,\)",
        ),
    ],
)
def test_tables_refuse(changes, message):
    with pytest.raises(ValueError, match=message):
        table_topk(**table_arguments(**changes))


NATIVE_STORED = {
    "blocks": np.zeros((2, 3, 64), np.uint8), "n": 100, "rest": None, "inverse_norms": None,
    "steps": None,
}  # fmt: skip


@pytest.mark.skipif(not PATHS, reason="no native module")
@pytest.mark.parametrize(
    "changes",
    [
        {"n": 200}, {"n": -1}, {"blocks": np.zeros((1, 3, 64), np.uint8)},
        {"rest": np.zeros((1, 3, 64), np.uint8)}, {"inverse_norms": np.ones(99, np.float32)},
        {"inverse_norms": np.ones(100, np.uint8)}, {"steps": np.ones(256, np.float32)},
        {"inverse_norms": np.ones(99, np.uint8), "steps": np.ones(256, np.float32)},
        {"inverse_norms": np.ones(100, np.uint8), "steps": np.ones(255, np.float32)},
    ],
    ids=str,
)  # fmt: skip
def test_the_native_module_holds_no_codes_that_would_lead_it_out_of_bounds(changes):
    from qama.kernels import _native

    _native.StoredCodes(**NATIVE_STORED)
    with pytest.raises(ValueError, match=r"do(es)? not fit"):
        _native.StoredCodes(**(NATIVE_STORED | changes))


@pytest.mark.skipif(not PATHS, reason="no native module")
@pytest.mark.parametrize(
    "changes",
    [
        {"tables": np.zeros((1, 128), np.int16)}, {"tables": np.zeros((1, 80), np.int16)},
        {"full": 1}, {"full": -1}, {"full": 2**30}, {"offsets": np.zeros(2, np.int32)},
        {"scales": np.ones(2, np.float32)}, {"mask": np.zeros(1, np.uint64)},
        {"visited": np.array([2])}, {"visited": np.array([1, 0])},
        {"visited": np.array([0]), "ends": np.array([2])},
        {"visited": np.array([0, 1, 0]), "ends": np.array([1, 3])},
        {"rows_out": np.zeros((2, 5), np.int64)}, {"scores_out": np.zeros((1, 4), np.float32)},
    ],
    ids=str,
)  # fmt: skip
def test_the_native_module_reads_no_scan_that_would_lead_it_out_of_bounds(changes):
    from qama.kernels import _native

    arguments = {
        "path": "portable", "stored": _native.StoredCodes(**NATIVE_STORED), "mask": None,
        "visited": None, "ends": None, "probes": None, "tables": np.zeros((1, 96), np.int16),
        "offsets": np.zeros(1, np.int32), "scales": np.ones(1, np.float32), "full": 0, "threads": 1,
        "rows_out": np.zeros((1, 5), np.int64), "scores_out": np.zeros((1, 5), np.float32),
    }  # fmt: skip
    _native.table_topk(**arguments)
    with pytest.raises(ValueError, match=r"do(es)? not fit|must ascend"):
        _native.table_topk(**(arguments | changes))


@pytest.mark.skipif(not PATHS, reason="no native module")
@pytest.mark.parametrize(
    "changes",
    [
        {"queries": np.zeros((1, 6), np.int16)}, {"bytes": 4}, {"bytes": 0}, {"full": 2},
        {"full": -1}, {"bytes": 2**30}, {"bytes": 2}, {"full": 1}, {"mask": np.zeros(1, np.uint64)},
        {"rows_out": np.zeros((2, 5), np.int64)},
    ],
    ids=str,
)  # fmt: skip
def test_the_native_module_makes_no_tables_that_would_lead_it_out_of_bounds(changes):
    from qama.kernels import _native

    laid_out = kernels.NibbleCodewords.of(
        np.zeros((24, 5), np.int8), np.ones(24, np.int16), np.zeros(5, np.int16)
    )
    parts = laid_out.mean, laid_out.panels, laid_out.steps
    for wrong in ((parts[0][:0], *parts[1:]), (*parts[:2], parts[2][:9])):
        with pytest.raises(ValueError, match="do not fit"):
            _native.NibbleCodewords(*wrong)
    arguments = {
        "path": "portable", "stored": _native.StoredCodes(**NATIVE_STORED), "mask": None,
        "visited": None, "ends": None, "probes": None, "queries": np.zeros((1, 5), np.int16),
        "codewords": _native.NibbleCodewords(*parts), "bytes": 1, "full": 0, "threads": 1,
        "rows_out": np.zeros((1, 5), np.int64), "scores_out": np.zeros((1, 5), np.float32),
    }  # fmt: skip
    _native.nibble_topk(**arguments)
    with pytest.raises(ValueError, match=r"do(es)? not fit"):
        _native.nibble_topk(**(arguments | changes))


@pytest.mark.parametrize("rows", [[[100]], [[-1]]])
def test_rows_that_do_not_exist_are_refused(rows):
    arguments = hamming_arguments(rows=np.array(rows))
    del arguments["k"]
    with pytest.raises(ValueError, match="rows 0 to 99 exist"):
        hamming_rows(**arguments)
    arguments = table_arguments(rows=np.array(rows))
    del arguments["k"]
    with pytest.raises(ValueError, match="rows 0 to 99 exist"):
        table_rows(**arguments)


def choice_arguments(**changes):
    arguments = {
        "rows": np.zeros((3, 8), np.int16), "beam": 2, "sweeps": 1,
        "codebooks": kernels.prepare_codebooks(np.zeros((32, 8), np.int16), 1.0),
    }  # fmt: skip
    return arguments | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": np.zeros((3, 8))}, "rows is float64"),
        ({"rows": np.zeros((3, 6), np.int16)}, r"rows is int16 of shape \(3, 6\)"),
        ({"beam": 0}, "beam is 0"),
        ({"beam": 17}, "beam is 17; at most 16"),
        ({"sweeps": -1}, "sweeps is -1"),
        ({"sweeps": 1.5}, "sweeps is 1.5"),
        ({"threads": -1}, "threads is -1"),
        ({"path": "sse9"}, "path is 'sse9'"),
    ],
)
def test_choice_refuses(changes, message):
    kernels.choose_codewords(**choice_arguments())
    with pytest.raises(ValueError, match=message):
        kernels.choose_codewords(**choice_arguments(**changes))


@pytest.mark.parametrize(
    ("codewords", "message"),
    [
        (np.zeros((32, 8), np.int32), "codewords is int32"),
        (np.zeros((16, 8), np.int16), "codewords has 16 rows; 32 for each byte"),
        (np.zeros((40, 8), np.int16), "codewords has 40 rows"),
        (np.zeros((0, 8), np.int16), "codewords has 0 rows"),
        (np.zeros((16 * 66, 8), np.int16), "at most 64"),
        (np.zeros((32, 7), np.int16), "codewords has 7 columns"),
    ],
)
def test_unfitting_codewords_are_refused(codewords, message):
    with pytest.raises(ValueError, match=message):
        kernels.prepare_codebooks(codewords, 1.0)


@pytest.mark.parametrize(("rows", "size"), [(32, 256), (300, 256), (256 * 65, 256), (32, 8)])
def test_unfitting_codebooks_are_refused(rows, size):
    with pytest.raises(ValueError, match=r"256 for each byte|can hold 16 or 256"):
        kernels.prepare_codebooks(np.zeros((rows, 2), np.int16), 1.0, size)


@pytest.mark.parametrize("size", [16, 256])
def test_codewords_are_halved_just_enough(size):
    codewords = np.full((256, 4), 2**14, np.int16)  # norms of 2^15, so twice their product is 2^31
    made = kernels.prepare_codebooks(codewords, 2.0**15, size)
    assert made.shift == 17  # 2^14 fits 16 bits, 2^15 does not
    assert made.limit >= 2**30 >> made.shift
    assert (made.twice == 2 * 2**30 >> made.shift).all()
    assert (made.squares == 2**30 >> made.shift).all()


def run_with(path, code):
    environment = os.environ | {"QAMA_KERNEL": path}
    return subprocess.run(
        [sys.executable, "-c", "from qama import kernels\n" + code],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_environment_forces_a_path():
    for path in ALL:
        run = run_with(path, "print(kernels.info()['path'], kernels.info()['native'])")
        assert run.stdout.split() == [path, str(path != "numpy")]


def test_an_unknown_path_is_refused():
    run = run_with("foo", "kernels.info()")
    assert "ValueError: QAMA_KERNEL is 'foo'; one of amx, avx512, avx2" in run.stderr


def test_a_path_that_the_machine_lacks_is_refused():
    lacking = next(path for path in _dispatch.PATHS if path not in ALL)
    run = run_with(lacking, "kernels.info()")
    assert f"QAMA_KERNEL is '{lacking}', which cannot run here; available: " in run.stderr


def test_without_the_native_module_numpy_searches_and_says_so_once():
    code = """
import sys, warnings
sys.modules["qama.kernels._native"] = None
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    print(kernels.info(), kernels.info()["path"], len(seen), seen[0].message)
"""
    run = run_with("", code)
    assert "'native': False" in run.stdout
    assert "numpy 1 qama searches with NumPy" in run.stdout


def test_info_lists_what_runs():
    info = kernels.info()
    assert info["path"] in info["available"]
    assert info["available"] == ALL


# --------------------------------------------------------------------------- chosen blocks only


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("kind", ["none", "sparse", "full"])
@pytest.mark.parametrize("threads", [1, 3])
def test_visited_blocks_are_a_mask(path, kind, threads):
    rng = np.random.default_rng(len(kind))
    n, columns = 64 * 150 + 7, 13
    blocks = kernels.to_blocks(random_codes(rng, n, columns))
    queries, tables = random_codes(rng, 5, columns), random_tables(rng, 5, columns, full=5)
    offsets, norms = np.arange(5, dtype=np.int32), random_inverse_norms(rng, n, "steps")
    norms["full"] = 5
    mask = random_mask(rng, n, kind)
    for visited in ([], [150], [0, 3, 4, 5, 90, 149], np.arange(151)):
        visited = np.array(visited, dtype=np.int64)
        words = np.zeros(151, np.uint64)
        words[visited] = ~np.uint64(0) if mask is None else mask[visited]
        options = {"threads": threads, "path": path}
        assert_same(
            hamming_topk(
                blocks, n, queries, 40, bits=100, bit_pairs=9, mask=mask, visited=visited, **options
            ),
            of_reference(hamming_topk, blocks, n, queries, 40, bits=100, bit_pairs=9, mask=words),
        )
        assert_same(
            table_topk(
                blocks, n, tables, offsets, 40, mask=mask, visited=visited, **norms, **options
            ),
            of_reference(table_topk, blocks, n, tables, offsets, 40, mask=words, **norms),
        )


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("kind", ["none", "sparse", "full"])
def test_each_query_scans_blocks_of_its_own(path, kind):
    rng = np.random.default_rng(len(kind))
    n, columns = 64 * 40 + 7, 13
    blocks = kernels.to_blocks(random_codes(rng, n, columns))
    queries, tables = random_codes(rng, 4, columns), random_tables(rng, 4, columns, full=5)
    offsets, norms = np.arange(4, dtype=np.int32), random_inverse_norms(rng, n, "steps")
    norms["full"], mask = 5, random_mask(rng, n, kind)
    own = [[40], [0, 3, 4, 5, 39, 40], list(range(41)), [7, 40]]
    visited, ends = np.concatenate(own), np.cumsum([len(some) for some in own])
    least = min(counted(mask, n, some) for some in own)
    for k in (1, 5, 400):
        options = {"threads": 2, "path": path, "mask": mask}
        several = [
            hamming_topk(blocks, n, queries, k, bits=100, visited=visited, ends=ends, **options),
            table_topk(
                blocks, n, tables, offsets, k, visited=visited, ends=ends, **norms, **options
            ),
        ]
        for i, some in enumerate(own):
            one, alone = slice(i, i + 1), {"visited": np.array(some), **options}
            each = [
                hamming_topk(blocks, n, queries[one], k, bits=100, **alone),
                table_topk(blocks, n, tables[one], offsets[one], k, **norms, **alone),
            ]
            for (rows, values), (rows_alone, values_alone) in zip(several, each, strict=True):
                assert rows.shape == values.shape == (4, min(k, least))
                np.testing.assert_array_equal(rows[i], rows_alone[0, : min(k, least)])
                np.testing.assert_array_equal(values[i], values_alone[0, : min(k, least)])


def counted(mask, n, blocks):
    rows = (64 * np.array(blocks)[:, None] + np.arange(64)).reshape(-1)
    rows = rows[rows < n]
    if mask is None:
        return len(rows)
    return int((mask[rows // 64] >> (rows % 64).astype(np.uint64) & np.uint64(1)).sum())


def test_no_queries_scan_no_blocks_of_their_own():
    blocks, none = np.zeros((2, 1, 64), np.uint8), np.zeros(0, np.int64)
    for path in ALL:
        rows, _ = hamming_topk(
            blocks, 128, np.zeros((0, 1), np.uint8), 3, bits=8, visited=none, ends=none, path=path
        )
        assert rows.shape == (0, 3)


@pytest.mark.parametrize(
    ("visited", "ends", "message"),
    [
        (None, [1, 2], "visited is None but ends are given"),
        ([0, 1], [2], r"ends is int64 of shape \(1,\)"),
        ([0, 1], [1, 1], "ends must ascend from 0 to the 2 blocks of visited"),
        ([0, 1], [-1, 2], "ends must ascend"),
        ([0, 1, 0], [3, 3], "visited does not ascend"),
        ([0, 1, 0], [1, 3], "visited does not ascend"),
    ],
)
def test_unfitting_blocks_of_queries_are_refused(visited, ends, message):
    blocks, visited = np.zeros((2, 1, 64), np.uint8), visited and np.array(visited)
    arguments = {"bits": 8, "visited": visited, "ends": np.array(ends)}
    with pytest.raises(ValueError, match=message):
        hamming_topk(blocks, 128, np.zeros((2, 1), np.uint8), 1, **arguments)


@pytest.mark.parametrize(
    ("visited", "message"),
    [
        (np.array([0, 2]), "visited reaches from 0 to 2; blocks 0 to 1 exist"),
        (np.array([-1, 0]), "visited reaches from -1"),
        (np.array([1, 0]), "visited (does not ascend|reaches)"),
        (np.array([0, 0]), "visited does not ascend"),
        (np.array([0], np.int32), "visited is int32"),
    ],
)
def test_unfitting_visited_blocks_are_refused(visited, message):
    blocks = np.zeros((2, 1, 64), np.uint8)
    with pytest.raises(ValueError, match=message):
        hamming_topk(blocks, 128, np.zeros((1, 1), np.uint8), 1, bits=8, visited=visited)


# --------------------------------------------------- tables of weighted bits, and arbitrary ones


def bit_tables(rng, m, columns, scale=300, bit_pairs=False):
    """Tables whose nibbles are sums over their bits, or over their two bit pairs."""
    if bit_pairs:
        quarters = np.round(np.clip(rng.normal(size=(m, 2 * columns, 2, 4)), -4, 4) * scale)
        tables = quarters[:, :, 0, :, None] + quarters[:, :, 1, None, :]
        return tables.reshape(m, 32 * columns).astype(np.int16)
    weights = np.round(np.clip(rng.normal(size=(m, 2 * columns, 4)), -2, 2) * scale)
    patterns = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1)[:, 4:]
    return (weights @ patterns.T).reshape(m, 32 * columns).astype(np.int16)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("bit_pairs", [False, True])
def test_tables_of_weighted_bits(path, columns, bit_pairs):
    rng = np.random.default_rng(columns)
    n = 64 * 40 + 5
    blocks = kernels.to_blocks(random_codes(rng, n, columns + 1))
    for scale in (1, 300, 4000):
        for kind in ("none", "steps", "near", "tiny", "huge"):
            m = int(rng.integers(1, 11))
            tables = bit_tables(rng, m, columns, scale, bit_pairs)
            offsets = rng.integers(-(2**20), 2**20, m).astype(np.int32)
            options = random_inverse_norms(rng, n, kind)
            assert_same(
                table_topk(blocks, n, tables, offsets, 20, path=path, **options),
                of_reference(table_topk, blocks, n, tables, offsets, 20, **options),
            )


@pytest.mark.parametrize("path", PATHS)
def test_one_table_that_does_not_split_changes_nothing(path):
    rng = np.random.default_rng(7)
    n = 64 * 60
    blocks, offsets = kernels.to_blocks(random_codes(rng, n, 24)), np.zeros(9, np.int32)
    tables = bit_tables(rng, 9, 24)
    tables[4, 32 * 11 + 9] += 1
    assert_same(
        table_topk(blocks, n, tables, offsets, 30, path=path),
        table_topk(blocks, n, tables, offsets, 30, path="numpy"),
    )


@pytest.mark.parametrize("path", PATHS)
def test_steps_in_any_order_are_a_norm_each(path):
    rng = np.random.default_rng(8)
    n = 64 * 30 + 1
    blocks, tables = kernels.to_blocks(random_codes(rng, n, 9)), bit_tables(rng, 3, 9)
    options = random_inverse_norms(rng, n, "steps")
    options["steps"] = rng.permutation(options["steps"])
    for offset in (-(2**24), 0, 2**24):
        offsets = np.full(3, offset, np.int32)
        assert_same(
            table_topk(blocks, n, tables, offsets, 30, path=path, **options),
            table_topk(blocks, n, tables, offsets, 30, path="numpy", **options),
        )


# --------------------------------------------------------------------- leading columns apart


@pytest.mark.parametrize("full", [0, 5, 23])
@pytest.mark.parametrize("split", [1, 5, 12, 24, 29])
@pytest.mark.parametrize("path", ALL)
def test_columns_may_lie_apart(path, split, full):
    """Rows and scores are those of one array; a prefix of the columns needs no second one."""
    rng = np.random.default_rng(split)
    codes, m = random_codes(rng, 700, 30), 70
    leading, rest = (kernels.to_blocks(np.ascontiguousarray(c)) for c in
                     (codes[:, :split], codes[:, split:]))  # fmt: skip
    whole = kernels.to_blocks(codes)
    tables = random_tables(rng, m, 30, "split", full)
    offsets = rng.integers(-1000, 1000, m).astype(np.int32)
    norms, mask = random_inverse_norms(rng, 700, "steps"), random_mask(rng, 700, "sparse")
    for queries in (1, 3, m):
        some = tables[:queries], offsets[:queries]
        expected = of_reference(table_topk, whole, 700, *some, 9, full=full, mask=mask, **norms)
        found = table_topk(
            leading, 700, *some, 9, full=full, rest=rest, mask=mask, path=path, **norms
        )
        assert_same(found, expected)
        scores = table_rows(leading, found[0], *some, full=full, rest=rest, path=path, **norms)
        np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (np.zeros((2, 3, 64), np.uint8), "rest has 2 blocks; blocks has 1"),
        (np.zeros((1, 3, 32), np.uint8), "rest is uint8 of shape"),
        (np.zeros((1, 3, 64), np.int8), "rest is int8"),
        (np.zeros((1, 6, 64), np.uint8)[:, ::2], "rest must be a C-contiguous"),
        (np.zeros((1, 2, 64), np.uint8), "for codes of 5 columns; 4 are stored"),
    ],
)
def test_unfitting_rests_are_refused(rest, message):
    tables, offsets = np.zeros((1, 5 * 32), np.int16), np.zeros(1, np.int32)
    blocks = np.zeros((1, 2, 64), np.uint8)
    with pytest.raises(ValueError, match=message):
        table_topk(blocks, 40, tables, offsets, 1, rest=rest)
    with pytest.raises(ValueError, match=message):
        table_rows(blocks, np.zeros((1, 1), np.int64), tables, offsets, rest=rest)


@pytest.mark.parametrize("path", ALL)
def test_blocks_begin_where_a_cache_line_does(path):
    for columns in (1, 12, 48):
        assert kernels.zero_blocks(3, columns).ctypes.data % 64 == 0
        codes = random_codes(np.random.default_rng(0), 500, columns)
        assert kernels.to_blocks(codes, path=path).ctypes.data % 64 == 0


# --------------------------------------------------------------------- many rows of each query


@pytest.mark.parametrize("order", ["any", "rising", "falling", "best first", "all equal"])
@pytest.mark.parametrize("path", ALL)
def test_many_results_do_not_depend_on_what_a_sample_of_the_blocks_says(path, order):
    """From k = 100 on a scan begins with a bar from some blocks, like the others or not."""
    rng = np.random.default_rng(3)
    n, k, m = 40_000, 130, 3
    codes = random_codes(rng, n, 3)
    if order == "all equal":
        codes[:] = 7
    if order in ("rising", "falling"):
        codes = codes[np.lexsort(codes.T[::-1])][:: 1 if order == "rising" else -1].copy()
    if order == "best first":  # fewer than k
        codes &= 127
        codes[:20] = 255
    blocks = kernels.to_blocks(codes)
    tables = (np.arange(m)[:, None] + np.tile(np.arange(16), 6)).astype(np.int16) * 300
    offsets = np.zeros(m, np.int32)
    expected = of_reference(table_topk, blocks, n, tables, offsets, k)
    for threads in (1, 3):
        found = table_topk(blocks, n, tables, offsets, k, threads=threads, path=path)
        assert_same(found, expected)
    queries = np.full((m, 3), 255, np.uint8)
    expected = of_reference(hamming_topk, blocks, n, queries, k, bits=24)
    assert_same(hamming_topk(blocks, n, queries, k, bits=24, path=path), expected)


@pytest.mark.parametrize("path", ALL)
def test_some_columns_of_longer_rows_become_blocks(path):
    codes = random_codes(np.random.default_rng(0), 200, 30)
    for some in (codes[:, 4:21], codes[:, 7:8], codes[::2, 3:9], codes[:, ::3], codes[:, ::-1]):
        expected = kernels.to_blocks(np.ascontiguousarray(some), path="numpy")
        np.testing.assert_array_equal(kernels.to_blocks(some, path=path), expected)
