"""What notebooks, frames and plots get: escaped, short, and the same numbers."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from test_terminal import HOSTILE

import qama
from qama import shown
from qama.documents.hits import Hits
from qama.evaluation.quantisability import quantisability
from qama.search.many import ManyResult

EVIL = "<script>alert('x')</script>&\x1b[31m\u202e"


class Parsed(HTMLParser):
    """The tags of a page and the texts of its cells."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.cells, self.open = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("td", "th", "strong"):
            self.cells.append("")
            self.open = tag

    def handle_endtag(self, tag):
        if tag == self.open:
            self.open = None

    def handle_data(self, data):
        if self.open:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def codec(rows):
    return qama.fit(rows, max_bytes=16, threads=1, model=EVIL)


@pytest.fixture
def index(codec, rows):
    index = qama.Index(codec, nbytes=8, keep="float16")
    index.add(rows)
    return index


def cells(value):
    parsed = Parsed(value._repr_html_())
    assert set(parsed.tags) <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    return parsed.cells


@pytest.mark.parametrize(("raw", "told"), HOSTILE.values(), ids=HOSTILE)
def test_no_character_acts_on_a_page(raw, told):
    evil = f"<b>{raw}"
    facts = Parsed(shown.facts_html(evil, {evil: evil}))
    table = Parsed(shown.rows_html(evil, [evil], [[evil]]))
    for parsed in (facts, table):
        assert "b" not in parsed.tags
        assert parsed.cells == [f"<b>{told}"] * 3


def test_what_is_long_is_cut_and_what_is_none_is_empty():
    parsed = Parsed(shown.rows_html("t", ["a"], [["x" * 1000], [None]]))
    assert parsed.cells[2] == "x" * 199 + "…"
    assert parsed.cells[3] == ""
    assert Parsed(shown.facts_html("t", {"a": None, "b": 1})).cells == ["t", "b", "1"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1536, "1.5 kB"), (48_000_000, "48.0 MB"),
     (3_200_000_000, "3.2 GB"), (10**12, "1.0 TB"), (10**16, "10000.0 TB")],
)  # fmt: skip
def test_sizes(count, text):
    assert shown.size(count) == text


def test_a_codec(codec):
    found = cells(codec)
    assert found[0] == "qama.Codec"
    facts = dict(zip(found[1::2], found[2::2], strict=True))
    assert facts["fingerprint"] == codec.fingerprint
    assert facts["model"] == "<script>alert('x')</script>&\\x1b[31m\\u202e"
    assert facts["byte codes"] == "nbytes from 1 to 16"
    assert facts["vectors"] == "32 dims, 128 B in float32"


def test_an_index(index):
    found = cells(index)
    facts = dict(zip(found[1::2], found[2::2], strict=True))
    assert facts["vectors"] == "300"
    assert facts["codes"] == "2.4 kB"
    assert facts["as float32"] == "38.4 kB"
    assert facts["kept"] == "float16, 19.2 kB"
    assert "lists" not in facts


def test_documents_and_hits(codec, rows, tmp_path):
    with qama.Documents.create(tmp_path / "<docs>", codec, nbytes=8) as documents:
        documents.add([EVIL, *map(str, range(1, 300))], rows, [EVIL] * 300, [{"a": EVIL}] * 300)
        facts = cells(documents)
        assert str(tmp_path / "<docs>") in facts
        assert "300" in facts
        hits = documents.search(rows[0], 30)
    found = cells(hits)
    assert found[0] == "30 hits, the first 20"
    assert found[1:5] == ["id", "score", "text", "metadata"]
    assert len(found) == 5 + 4 * 20
    assert found[5] == shown.shown(EVIL) == found[7]
    assert cells(documents)[0] == "qama.Documents, closed"
    assert cells(Hits())[0] == "0 hits"


def test_a_result(index, queries):
    found = index.search(queries, 4)
    table = cells(found)
    assert table[0] == "SearchResult: 20 queries, 4 hits each, the first 10 of 80 hits"
    assert table[1:5] == ["query", "rank", "id", "score"]
    assert table[5:9] == ["0", "1", str(found.ids[0, 0]), f"{found.scores[0, 0]:.4f}"]
    assert table[-4:-2] == ["2", "2"]
    assert len(table) == 5 + 4 * 10
    few = cells(index.search(queries[:2], 2))
    assert few[0] == "SearchResult: 2 queries, 2 hits each"
    assert len(cells(index.search(queries[:0], 2))) == 5
    assert len(cells(index.search(queries[:2], 2, filter=index.filter([])))) == 5


def test_a_result_as_a_frame(index, queries):
    found = index.search(queries, 3)
    frame = found.to_pandas()
    assert list(frame.columns) == ["query", "rank", "id", "score"]
    for row in frame.itertuples():
        assert found.ids[row.query, row.rank - 1] == row.id
        assert found.scores[row.query, row.rank - 1] == row.score
    assert len(frame) == 60
    assert frame.dtypes.astype(str).to_dict() == {
        "query": "int64", "rank": "int64", "id": "int64", "score": "float32"
    }  # fmt: skip
    assert len(index.search(queries[:0], 3).to_pandas()) == 0


def test_a_result_of_many(index, queries):
    found = qama.search_many([index, index], queries, 3)
    assert isinstance(found, ManyResult)
    frame = found.to_pandas()
    assert list(frame.columns) == ["query", "rank", "id", "score", "source"]
    assert (frame["source"].to_numpy().reshape(20, 3) == found.sources).all()
    assert cells(found)[1:6] == ["query", "rank", "id", "score", "source"]


def test_a_frame_without_pandas(index, queries, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(qama.MissingExtraError, match=re.escape('pip install "qama[pandas]"')):
        index.search(queries, 3).to_pandas()


# --- a curve ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(rows):
    return quantisability(rows, lambda X: qama.fit(X, max_bytes=24, threads=1), threads=1)


def test_a_report_as_a_curve(report, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    axes = report.plot()
    (line,) = axes.containers
    x, y = line[0].get_data(orig=False)
    assert list(x) == [budget.nbytes for budget in report.budgets]
    np.testing.assert_allclose(y, [100 * budget.ndcg for budget in report.budgets])
    assert report.plot(axes) is axes
    assert len(axes.containers) == 2


def test_a_report_as_a_table(report):
    found = cells(report)
    assert found[0].startswith("What byte codes keep: ")
    assert [found[6 + 5 * i] for i in range(len(report.budgets))] == [
        str(budget.nbytes) for budget in report.budgets
    ]


def test_a_curve_without_matplotlib(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(qama.MissingExtraError, match="matplotlib"):
        report.plot()
