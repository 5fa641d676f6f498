"""Collections, measures, intervals, baselines, the runner and its reports."""

from __future__ import annotations

import json
import math
import platform
import sys
import types

import numpy as np
import pytest
from rich.console import Console

from qama.errors import MissingExtraError
from qama.evaluation import provenance
from qama.evaluation.baselines import BASELINES
from qama.evaluation.beir import Collection, load_collection
from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.embed import embed
from qama.evaluation.judge import judge, tie_share
from qama.evaluation.records import Record
from qama.evaluation.report import plot, rich_table
from qama.evaluation.runner import evaluate, judged_queries
from qama.evaluation.study import macro
from qama.evaluation.topk import chunked_top_k, top_k
from qama.quantizers.vectors import unit

# --- a tiny collection ------------------------------------------------------------------------


def write_folder(folder, docs, queries, qrels, split="test"):
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", docs), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in qrels)]
    (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder


DOCS = [{"_id": f"d{i}", "title": f"T{i}" if i else "", "text": f"text {i}"} for i in range(5)]
QUERIES = [{"_id": f"q{i}", "text": f"question {i}"} for i in range(3)]
QRELS = [("q2", "d0", 1), ("q0", "d1", 2), ("q0", "d3", 1), ("q0", "d4", 0)]


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "tiny", DOCS, QUERIES, QRELS)


@pytest.fixture
def tiny(folder):
    return load_collection(folder)


def made_collection(n, m, seed=0):
    """Vectors and a collection whose relevant documents are each query's two true neighbours."""
    rng = np.random.default_rng(seed)
    docs = unit(rng.standard_normal((n, 64)))
    queries = unit(docs[:m] + 0.1 * rng.standard_normal((m, 64)))
    best = top_k(queries @ docs.T, 2).ids
    ids = tuple(f"q{i}" for i in range(m))
    doc_ids = tuple(f"d{i}" for i in range(n))
    qrels = {ids[i]: {doc_ids[best[i, 0]]: 2, doc_ids[best[i, 1]]: 1} for i in range(m)}
    rows = tuple(range(m))
    return docs, queries, Collection("made", doc_ids, doc_ids, ids, ids, rows, m, qrels)


def test_collection_keeps_file_order_and_judged_queries_only(tiny):
    assert tiny.name == "tiny"
    assert tiny.doc_ids == ("d0", "d1", "d2", "d3", "d4")
    assert tiny.doc_texts[:2] == ("text 0", "T1 text 1")
    assert tiny.query_ids == ("q0", "q2")
    assert tiny.query_texts == ("question 0", "question 2")
    assert tiny.query_rows == (0, 2)
    assert tiny.query_total == 3
    assert tiny.qrels == {"q2": {"d0": 1}, "q0": {"d1": 2, "d3": 1, "d4": 0}}


def test_collection_reads_a_split_without_header_and_skips_blank_lines(folder):
    (folder / "qrels" / "dev.tsv").write_text("q1\td2\t1\r\n\n")
    assert load_collection(folder, "dev").qrels == {"q1": {"d2": 1}}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", None, r"corpus\.jsonl is missing"),
        ("queries.jsonl", None, r"queries\.jsonl is missing"),
        ("qrels/test.tsv", None, r"test\.tsv is missing"),
        ("corpus.jsonl", "", r"corpus\.jsonl holds no record"),
        ("queries.jsonl", "\n\n", r"queries\.jsonl holds no record"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", r"test\.tsv holds no judgement"),
        ("corpus.jsonl", '{"_id": "d0", "text": "a"}\n{oops\n', r"line 2: not valid JSON"),
        ("corpus.jsonl", "[" * 100_000 + "\n", r"corpus\.jsonl, line 1: not valid JSON"),
        ("queries.jsonl", "1" * 5000 + "\n", r"queries\.jsonl, line 1: not valid JSON"),
        ("corpus.jsonl", "[1]\n", r"line 1: an object"),
        ("corpus.jsonl", '{"_id": 7, "text": "a"}\n', r"line 1: the field '_id'"),
        ("corpus.jsonl", '{"_id": "d0"}\n', r"line 1: the field 'text'"),
        ("corpus.jsonl", '{"_id": "a", "text": ""}\n' * 2, r"line 2: the id 'a' occurs twice"),
        ("corpus.jsonl", b"\xff\xfe\n", r"corpus\.jsonl is not UTF-8"),
        ("qrels/test.tsv", "q0\td9\t1\n", r"line 1: no document has the id 'd9'"),
        ("qrels/test.tsv", "q0\td0\t1\nq9\td0\t1\n", r"line 2: no query has the id 'q9'"),
        ("qrels/test.tsv", "q0\td0\n", r"line 1: 2 columns"),
        ("qrels/test.tsv", "q0\td0\thigh\n", r"line 1: the score 'high'"),
        ("qrels/test.tsv", "q0\td0\t1001\n", r"line 1: the score 1001 is beyond 1000"),
        ("qrels/test.tsv", f"q0\td0\t-{2**31}\n", r"line 1: the score -2147483648 is beyond 1000"),
        ("qrels/test.tsv", "q0\td0\t1\nq0\td0\t2\n", r"line 2: 'q0' and 'd0' are judged twice"),
    ],
)
def test_bad_folders_are_refused_with_file_line_and_reason(folder, file, content, message):
    path = folder / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        load_collection(folder)


# --- judging ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "q1\0", "\0", "\ud800", "a b"])
def test_names_of_queries_and_documents_may_be_any_text(folder, name):
    write_folder(
        folder, [{"_id": name, "text": "a"}, *DOCS], [{"_id": name, "text": "a"}, *QUERIES], []
    )
    lines = f"{name}\t{name}\t1\nq1\td1\t1\n".encode("utf-8", "surrogatepass")
    (folder / "qrels" / "test.tsv").write_bytes(lines)
    if name == "\ud800":
        with pytest.raises(ValueError, match="not UTF-8"):
            load_collection(folder)
        return
    found = judge(np.array([[0, 1], [0, 2]]), load_collection(folder))
    assert found.mrr.tolist() == [1, 0.5]


def test_the_highest_grade_can_be_judged(folder):
    (folder / "qrels" / "test.tsv").write_text("q0\td1\t1000\nq0\td2\t-1000\n")
    found = judge(np.array([[2, 1]]), load_collection(folder))
    assert found.ndcg10.tolist() == [pytest.approx(1 / math.log2(3))]


def test_measures_equal_hand_computed_values(tiny):
    # q0: grades d1: 2, d3: 1. Order d0, d3, d1: gains 0, 1, 2. q2: d0 is third.
    judged = judge(np.array([[0, 3, 1], [4, 3, 0]]), tiny, ks=(1, 2, 3))
    ideal = 2 + 1 / math.log2(3)
    assert judged.ndcg10 == pytest.approx([(1 / math.log2(3) + 2 / 2) / ideal, 1 / 2])
    assert judged.mrr == pytest.approx([1 / 2, 1 / 3])
    assert judged.recall[1] == pytest.approx([0, 0])
    assert judged.recall[2] == pytest.approx([0.5, 0])
    assert judged.recall[3] == pytest.approx([1, 1])


def test_the_given_order_decides_and_not_document_names():
    """Two documents swapped in rank swap their gain, whatever they are called."""
    for names in (("a", "z"), ("z", "a")):
        c = Collection("t", names, names, ("q",), ("q",), (0,), 1, {"q": {names[0]: 1}})
        assert judge(np.array([[0, 1]]), c).mrr == pytest.approx([1])
        assert judge(np.array([[1, 0]]), c).mrr == pytest.approx([1 / 2])


def test_distractors_and_missing_results_take_a_rank_but_earn_nothing(tiny):
    judged = judge(np.array([[17, 1, -1], [-1, -1, -1]]), tiny, ks=(2,))
    assert judged.mrr == pytest.approx([1 / 2, 0])
    assert judged.recall[2] == pytest.approx([0.5, 0])


@pytest.mark.parametrize(
    ("rows", "ks", "message"),
    [
        (np.zeros((3, 1), np.int64), (10,), "rows has 3 queries; the collection has 2"),
        (np.zeros((2, 1)), (10,), "integer matrix"),
        (np.zeros(2, np.int64), (10,), "integer matrix"),
        (np.array([[1, 1], [0, 1]]), (10,), "twice"),
        (np.array([[1], [0]]), (0,), "at least 1"),
        (np.array([[1], [0]]), (), "cut-offs"),
    ],
)
def test_bad_rows_are_refused(tiny, rows, ks, message):
    with pytest.raises(ValueError, match=message):
        judge(rows, tiny, ks)


def test_a_missing_judge_names_the_command(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytrec_eval", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qama\[eval\]"'):
        judge(np.array([[0], [0]]), tiny)


def test_tie_share_counts_cuts_inside_a_tie():
    scores = np.array([[3, 2, 1], [3, 2, 2], [3, 3, 2], [1, 1, 1]], np.float32)
    assert tie_share(scores) == 0.5
    with pytest.raises(ValueError, match="scores"):
        tie_share(scores[:, :1])
    with pytest.raises(ValueError, match="scores"):
        tie_share(scores[:0])


# --- top k ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 40, 50])
def test_top_k_equals_a_stable_sort(k):
    scores = np.random.default_rng(k).integers(0, 6, (9, 40)).astype(np.float32)
    found = top_k(scores, k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert (found.ids == expected).all()
    assert (found.scores == np.take_along_axis(scores, expected, 1)).all()


def test_chunked_top_k_equals_one_chunk(monkeypatch):
    scores = np.random.default_rng(0).standard_normal((7, 30)).astype(np.float32)
    monkeypatch.setattr("qama.evaluation.topk._CELLS", 64)
    found = chunked_top_k(lambda part: scores[part], 7, 30, 5)
    assert (found.ids == top_k(scores, 5).ids).all()


def test_top_k_refuses_nothing_to_select():
    with pytest.raises(ValueError, match="k must be at least 1"):
        top_k(np.zeros((1, 2), np.float32), 0)
    with pytest.raises(ValueError, match="no column"):
        top_k(np.zeros((1, 0), np.float32), 1)


# --- bootstrap --------------------------------------------------------------------------------


def test_interval_of_a_constant_difference_has_no_width():
    b = np.random.default_rng(0).random(40)
    found = paired_bootstrap(b + 0.25, b)
    assert (found.low, found.estimate, found.high) == pytest.approx((0.25, 0.25, 0.25))
    ratio = paired_bootstrap(0.9 * b, b, "ratio")
    assert (ratio.low, ratio.estimate, ratio.high) == pytest.approx((0.9, 0.9, 0.9))


def test_interval_matches_the_normal_theory_and_shrinks_with_more_queries():
    rng = np.random.default_rng(1)
    widths = []
    for m in (100, 1600):
        a, b = rng.standard_normal(m), np.zeros(m)
        found = paired_bootstrap(a, b, samples=4000)
        assert found.low < found.estimate < found.high
        assert found.high - found.low == pytest.approx(3.92 * a.std() / m**0.5, rel=0.1)
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 3


def test_interval_is_paired_seeded_and_antisymmetric(monkeypatch):
    rng = np.random.default_rng(2)
    b = rng.random(200)
    a = b + 0.01 * rng.standard_normal(200)
    one = paired_bootstrap(a, b)
    assert one.high - one.low < 0.01  # unpaired, b alone would give 0.08
    assert one == paired_bootstrap(a, b)
    assert one != paired_bootstrap(a, b, seed=1)
    other = paired_bootstrap(b, a)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    monkeypatch.setattr("qama.evaluation.bootstrap._CELLS", 1000)
    assert paired_bootstrap(a, b) == one  # chunks do not change the draw


def test_ratio_to_a_zero_mean_is_nan():
    found = paired_bootstrap([1.0, 2.0], [0.0, 0.0], "ratio")
    assert all(math.isnan(x) for x in (found.estimate, found.low, found.high))


@pytest.mark.parametrize(
    ("values", "reference", "options", "message"),
    [
        ([1.0], [1.0, 2.0], {}, "values has 1 queries and reference has 2"),
        ([], [], {}, "not empty"),
        ([float("nan")], [1.0], {}, "values holds NaN"),
        ([1.0], [float("inf")], {}, "reference holds NaN or infinity"),
        ([1.0], [1.0], {"samples": 0}, "samples"),
        ([1.0], [1.0], {"confidence": 1.0}, "confidence"),
        ([1.0], [1.0], {"statistic": "median"}, "statistic"),
    ],
)
def test_bad_series_are_refused(values, reference, options, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(values, reference, **options)


# --- baselines --------------------------------------------------------------------------------


def test_unit_keeps_zero_rows():
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [pytest.approx([0.6, 0.8]), [0, 0]]


def test_baselines_store_the_bytes_they_say():
    sizes = {(b.name, b.level): (b.stored_bytes(384), b.compact_bytes(384)) for b in BASELINES}
    assert sizes == {
        ("float32", "float32"): (1536, 1536),
        ("float16", "float16"): (768, 768),
        ("int8", "int8"): (384, 384),
        ("fixed thresholds", "2"): (144, 96),
        ("fixed thresholds", "1.5"): (96, 96),
        ("fixed thresholds", "1"): (48, 48),
        ("sign", "1"): (48, 48),
    }
    assert BASELINES[-1].stored_bytes(13) == 2


@pytest.mark.parametrize("base", BASELINES, ids=lambda b: f"{b.name} {b.level}")
def test_a_document_finds_itself_first(base):
    docs = unit(np.random.default_rng(0).standard_normal((50, 37)))
    assert base.search(docs, docs[:10], 3).ids[:, 0].tolist() == list(range(10))


@pytest.mark.parametrize(("level", "states"), [("1", 2), ("1.5", 3), ("2", 4)])
def test_fixed_thresholds_rank_by_the_distance_of_level_indices(level, states):
    rng = np.random.default_rng(3)
    docs, queries = unit(rng.standard_normal((60, 21))), unit(rng.standard_normal((5, 21)))
    base = next(b for b in BASELINES if (b.name, b.level) == ("fixed thresholds", level))
    cuts = np.quantile(docs, np.arange(1, states) / states, axis=0).astype(np.float32)
    a, b = ((X[None] > cuts[:, None]).sum(0) for X in (queries, docs))
    distance = np.abs(a[:, None] - b[None]).sum(-1)
    assert (base.search(docs, queries, 60).ids == np.argsort(distance, 1, kind="stable")).all()


def test_int8_survives_constant_dims():
    docs = np.ones((4, 3), np.float32)
    docs[2, 0] = 2
    int8 = next(b for b in BASELINES if b.name == "int8")
    assert int8.search(docs, docs[2:3], 4).ids.tolist() == [[2, 0, 1, 3]]


# --- runner -----------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3])
def test_queries_are_taken_by_row_or_as_judged(tiny, m):
    queries = np.arange(3 * 2, dtype=np.float32).reshape(3, 2)
    asked = queries if m == 3 else queries[[0, 2]]
    assert (judged_queries(asked, tiny) == queries[[0, 2]]).all()
    with pytest.raises(ValueError, match=r"1 rows; queries\.jsonl of tiny has 3 lines, of which 2"):
        judged_queries(queries[:1], tiny)


def test_baselines_alone_need_no_codec():
    docs, queries, collection = made_collection(300, 40)
    seen = []
    records = evaluate(None, docs, queries, collection, samples=100, progress=seen.append)
    assert seen == records
    assert [r.method for r in records] == [b.name for b in BASELINES]
    first = records[0]
    assert (first.ndcg10, first.retention, first.mrr, first.recall10) == (1, 1, 1, 1)
    assert first.tied == 0
    by_name = {(r.method, r.level): r for r in records}
    assert by_name["int8", "int8"].retention > 0.98
    two, one = by_name["fixed thresholds", "2"], by_name["fixed thresholds", "1"]
    assert two.retention > one.retention > 0.4
    assert one.low < one.retention < one.high
    assert one.tied > 0
    assert one.ms > 0
    assert json.loads(json.dumps(first.to_json()))["bytes_stored"] == 256


def test_distractors_beyond_the_collection_are_searched():
    docs, queries, collection = made_collection(100, 20)
    wide = np.concatenate([docs, queries])  # each query now has a perfect, unjudged match
    records = evaluate(None, wide, queries, collection, baselines=False, samples=10)
    assert len(records) == 1
    assert records[0].mrr == pytest.approx(1 / 2)


def test_a_small_collection_has_fewer_than_ten_results(tiny):
    docs = np.eye(5, dtype=np.float32)
    records = evaluate(None, docs, docs[:2], tiny, samples=10)
    assert records[0].tied == 0


def test_bad_vectors_are_refused(tiny):
    docs = np.eye(5, dtype=np.float32)
    with pytest.raises(ValueError, match=r"docs has 4 rows; tiny has 5 documents"):
        evaluate(None, docs[:4], docs[:2], tiny)
    with pytest.raises(ValueError, match="queries"):
        evaluate(None, docs, docs[:2, :4], tiny)
    with pytest.raises(ValueError, match="queries"):
        evaluate(None, docs, np.full((2, 5), np.nan, np.float32), tiny)


@pytest.mark.filterwarnings("ignore:qama searches with NumPy")
def test_a_codec_is_judged_on_its_grid():
    """Bytes and order of the rows; the scorer is Hamming, the fit is untrained."""
    pytest.importorskip("torch")
    import qama

    docs, queries, collection = made_collection(200, 30)
    codec = qama.fit(docs, preset="paper", steps=0, expansion=2, threads=1)
    options = {"scorers": ["hamming"], "baselines": False, "samples": 50, "threads": 1}
    records = evaluate(codec, docs, queries, collection, dims=[64, 32], budgets=(), **options)
    assert [(r.method, r.dims, r.level) for r in records[:3]] == [
        ("float32", 64, "float32"),
        ("float prefix", 64, "float32"),
        ("float prefix", 32, "float32"),
    ]
    sizes = {(r.dims, r.level): (r.bytes_stored, r.bytes_compact) for r in records[3:]}
    assert sizes[64, "2"] == (24, 16)
    assert sizes[32, "1"] == (4, 4)
    assert set(sizes) == {(n, level) for n in (64, 32) for level in codec.levels}
    quality = {(r.dims, r.level): r.ndcg10 for r in records[3:]}
    assert quality[64, "2"] > quality[64, "0.5"] > 0.2
    with pytest.raises(ValueError, match="dims"):
        evaluate(codec, docs, queries, collection, dims=[63], **options)


def test_byte_codes_and_the_scorers_that_a_code_has_are_judged(byte_codec, rows):
    ids = tuple(f"q{i}" for i in range(20))
    collection = Collection(
        name="self", doc_ids=tuple(f"d{i}" for i in range(300)), doc_texts=("",) * 300,
        query_ids=ids, query_texts=("",) * 20, query_rows=tuple(range(20)), query_total=20,
        qrels={key: {f"d{i}": 1} for i, key in enumerate(ids)},
    )  # fmt: skip
    records = evaluate(
        byte_codec, rows, rows[:20], collection, dims=[32], levels=["2"], budgets=[1, 16],
        scorers=("hamming", "another"), baselines=False, samples=20, threads=1,
    )  # fmt: skip
    assert [(r.method, r.level, r.scorer, r.bytes_stored, r.bytes_compact) for r in records] == [
        ("float32", "float32", "cosine", 128, 128), ("float prefix", "float32", "cosine", 128, 128),
        ("qama", "2", "hamming", 12, 8),
        ("qama", "bytes", "asymmetric", 1, 1), ("qama", "bytes", "asymmetric", 16, 16),
    ]  # fmt: skip
    assert records[0].mrr == 1
    assert records[3].ndcg10 < records[4].ndcg10
    with pytest.raises(ValueError, match="nbytes"):
        evaluate(byte_codec, rows, rows[:20], collection, budgets=[999])


# --- embedding --------------------------------------------------------------------------------


class Counter:
    """Embeds a text as its length and a one."""

    def encode(self, texts, **options):
        assert options["normalize_embeddings"]
        return [[len(text), 1] for text in texts]


def test_embed_takes_any_encoder_and_refuses_no_text():
    vectors = embed(["a", "bcd"], Counter())
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[1, 1], [3, 1]]
    with pytest.raises(ValueError, match="texts is empty"):
        embed([], Counter())


def test_embed_without_sentence_transformers_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match="pip install sentence-transformers"):
        embed(["a"], "some/model")


def test_a_model_that_is_not_there_is_named(monkeypatch):
    def load(name):
        raise OSError("no such repository")

    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = load
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    with pytest.raises(ValueError, match=r"'some/model' is neither a folder nor .* no such repos"):
        embed(["a"], "some/model")
    module.SentenceTransformer = lambda name: Counter()
    assert embed(["abc"], "some/model").tolist() == [[3, 1]]


# --- reports ----------------------------------------------------------------------------------


def record(**changes):
    fields = {
        "method": "qama", "dims": 384, "level": "2", "scorer": "hamming", "bytes_stored": 144,
        "bytes_compact": 96, "ndcg10": 0.5, "recall10": 0.6, "recall100": 0.7, "mrr": 0.8,
        "retention": 0.976, "low": 0.95, "high": 1.01, "tied": 0.25, "ms": 0.123,
    }  # fmt: skip
    return Record(**(fields | changes))


def test_the_table_shows_every_cell():
    records = [record(), record(method="sign", level="1", bytes_stored=48, bytes_compact=48)]
    console = Console(width=250)
    with console.capture() as capture:
        console.print(rich_table(records, "title"))
    rows = [line.split("│")[1:-1] for line in capture.get().splitlines() if " 0.5000 " in line]
    shown = [[cell.strip() for cell in row] for row in rows]
    assert shown[0] == ["qama", "384", "2", "hamming", "144", "96", "0.5000", "0.6000", "0.7000",
                        "0.8000", "97.6", "95.0 to 101.0", "25", "0.12"]  # fmt: skip
    assert shown[1][:6] == ["sign", "384", "1", "hamming", "48", "48"]
    assert "title" in capture.get()


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot_writes_a_picture(tmp_path, ending):
    path = tmp_path / f"plot.{ending}"
    fixed = record(method="fixed thresholds")
    records = [record(), record(level="1", bytes_compact=48), record(method="sign"), fixed]
    plot(records, path, "title")
    assert path.stat().st_size > 1000


def test_plot_needs_records(tmp_path):
    with pytest.raises(ValueError, match="records is empty"):
        plot([], tmp_path / "plot.png")


def test_plot_needs_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qama\[eval\]"'):
        plot([record()], tmp_path / "plot.png")


def test_the_mean_of_collections_is_that_of_the_records_that_they_share():
    first = [record(ndcg10=0.2, retention=0.9, low=0.87, high=0.94), record(level="1"),
             record(method="sign")]  # fmt: skip
    second = [record(method="sign"), record(ndcg10=0.4, retention=0.7, low=0.66, high=0.73)]
    means = macro({"a": first, "b": second})
    assert [(r.method, r.level) for r in means] == [("qama", "2"), ("sign", "2")]
    assert means[0].ndcg10 == pytest.approx(0.3)
    assert means[0].retention == pytest.approx(0.8)
    assert means[0].low == pytest.approx(0.8 - 0.05 / 2)  # 3 and 4 hundredths, in squares
    assert means[0].high == pytest.approx(0.8 + 0.05 / 2)
    assert (means[0].dims, means[0].bytes_compact) == (384, 96)


def test_a_processor_without_a_name_is_its_architecture(monkeypatch):
    class Missing:
        def __init__(self, path):
            pass

        def read_text(self, encoding):
            raise FileNotFoundError

    class Nameless(Missing):
        def read_text(self, encoding):
            return "processor : 0\n"

    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    for path in (Missing, Nameless):
        monkeypatch.setattr(provenance, "Path", path)
        assert provenance.cpu() == "riscv64"
