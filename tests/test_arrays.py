"""What people hold, read as arrays; each container goes through every public door."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from conftest import mixture

import qama
from qama import Index, arrays, checks, drift, sources, tasks
from qama.search.batches import batches

# eighths, which every float dtype here holds exactly
X = np.round(mixture(40, 32) * 8).clip(-15, 15).astype(np.float32) / 8
CELL = {"dims": 32, "level": "2"}


def frame(**columns):
    return pd.DataFrame({"id": range(40), "text": ["a"] * 40, **columns})


def arrow(kind, array=X):
    numbers = kind.value_type.to_pandas_dtype()
    return pa.array(list(array.astype(numbers)), kind)


FLOATS = pa.float32()
HELD = {
    "float16": lambda: X.astype(np.float16),
    "float64": lambda: X.astype(np.float64),
    "longdouble": lambda: X.astype(np.longdouble),
    "big-endian": lambda: X.astype(">f4"),
    "big-endian doubles": lambda: X.astype(">f8"),
    "Fortran order": lambda: np.asfortranarray(X),
    "every other row": lambda: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda: X[::-1].copy()[::-1],
    "read-only": lambda: np.frombuffer(X.tobytes(), np.float32).reshape(X.shape),
    "np.matrix": lambda: X.view(np.matrix),
    "unmasked": lambda: np.ma.masked_array(X),
    "objects": lambda: frame(v=list(X))["v"].to_numpy(),
    "tensor": lambda: torch.tensor(X),
    "tensor with a gradient": lambda: torch.tensor(X, requires_grad=True) * 1,
    "parameter": lambda: torch.nn.Parameter(torch.tensor(X)),
    "half": lambda: torch.tensor(X).half(),
    "double": lambda: torch.tensor(X).double(),
    "bfloat16": lambda: torch.tensor(X).bfloat16(),
    "bfloat16 with a gradient": lambda: torch.tensor(X).bfloat16().requires_grad_(),
    "transposed tensor": lambda: torch.tensor(X.T.copy()).T,
    "lists": lambda: X.tolist(),
    "tuples": lambda: tuple(map(tuple, X.tolist())),
    "list of arrays": lambda: list(X),
    "list of tensors": lambda: list(torch.tensor(X).bfloat16()),
    "list of one-row arrays": lambda: [row[None] for row in X],
    "list of batches": lambda: [X[:30], X[:0], torch.tensor(X[30:])],
    "wide pandas": lambda: pd.DataFrame(X),
    "wide pandas doubles": lambda: pd.DataFrame(X.astype(np.float64)),
    "wide pandas of both": lambda: pd.DataFrame(X).astype({0: np.float64}),
    "wide pandas, one name": lambda: pd.DataFrame(X, columns=["x"] * 32),
    "wide pandas, nullable": lambda: pd.DataFrame(X).astype("Float32"),
    "wide pandas of Arrow": lambda: pd.DataFrame(X).astype("float[pyarrow]"),
    "pandas with arrays": lambda: frame(v=list(X)),
    "pandas with lists": lambda: frame(v=X.tolist()),
    "pandas with tokens too": lambda: frame(v=list(X), tokens=[[1, 2]] * 40, tags=[["a"]] * 40),
    "pandas column": lambda: frame(v=list(X))["v"],
    "pandas column, other index": lambda: frame(v=list(X)).set_index("text")["v"],
    "pandas column of tensors": lambda: frame(v=list(torch.tensor(X)))["v"],
    "pandas column of Arrow": lambda: pd.Series(
        arrow(pa.list_(FLOATS)), dtype=pd.ArrowDtype(pa.list_(FLOATS))
    ),
    "wide polars": lambda: pl.DataFrame(X),
    "polars with lists": lambda: pl.DataFrame({"id": range(40), "v": X.tolist()}),
    "polars with arrays": lambda: pl.DataFrame({"id": range(40), "v": X}),
    "polars column of lists": lambda: pl.Series(X.tolist()),
    "polars column of arrays": lambda: pl.Series(X),
    "polars column of halves": lambda: pl.Series(X.tolist(), dtype=pl.List(pl.Float32)),
    "Arrow lists": lambda: arrow(pa.list_(FLOATS)),
    "Arrow large lists": lambda: arrow(pa.large_list(pa.float64())),
    "Arrow fixed-size lists": lambda: arrow(pa.list_(FLOATS, 32)),
    "Arrow halves": lambda: arrow(pa.list_(pa.float16(), 32)),
    "Arrow views": lambda: arrow(pa.list_view(FLOATS)),
    "Arrow, sliced": lambda: pa.concat_arrays([arrow(pa.list_(FLOATS, 32))] * 2)[40:],
    "Arrow, chunked": lambda: pa.chunked_array(
        [arrow(pa.large_list(FLOATS), part) for part in (X[:9], X[9:9], X[9:])]
    ),
    "Arrow table": lambda: pa.table({"id": range(40), "v": arrow(pa.list_(FLOATS))}),
    "Arrow batch": lambda: pa.record_batch({"id": range(40), "v": arrow(pa.list_(FLOATS))}),
    "wide Arrow table": lambda: pa.table({str(i): X[:, i] for i in range(32)}),
}


@pytest.fixture(params=HELD.values(), ids=HELD)
def held(request):
    return request.param()


def test_it_is_read_as_the_same_numbers(held):
    read = checks.vectors(held, "X", 32)
    np.testing.assert_array_equal(read, X)
    assert read.dtype == np.float32
    assert read.flags.c_contiguous


def test_every_door_takes_it(held, codec):
    codes = codec.encode(X, **CELL)
    np.testing.assert_array_equal(codec.encode(held, **CELL), codes)
    np.testing.assert_array_equal(codec.transform(held), codec.transform(X))
    np.testing.assert_array_equal(codec.score(held, codes, **CELL), codec.score(X, codes, **CELL))
    given, expected = Index(codec, **CELL), Index(codec, **CELL)
    expected.add(X)
    given.add(held)
    given.upsert(np.arange(40), held)
    given.add_from(held)
    assert len(given) == 80
    given.delete(range(40, 80))
    for a, b in zip(given.search(held, 9), expected.search(X, 9), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [found.ids.tolist() for found in given.range_search(held, 0.9)] == [
        found.ids.tolist() for found in expected.range_search(X, 0.9)
    ]
    parts = Index(codec, **CELL, nlist=2)
    parts.add(held)
    assert parts.search(held, 9, nprobe=2).ids.tolist() == expected.search(X, 9).ids.tolist()
    assert len(tasks.CodeSet.encode(codec, held, **CELL)) == 40
    assert drift.measure(codec, held) == drift.measure(codec, X)


def test_a_fit_reads_it_and_streams_of_it(held):
    for source in (held, iter([held]), [held, held]):
        rows, total = sources.load(source, 100, 0)
        np.testing.assert_array_equal(rows, np.concatenate([X] * (total // 40)))


@pytest.mark.parametrize("name", ["bfloat16", "wide pandas", "pandas column", "list of batches"])
def test_fits_of_it_are_fits_of_the_array(name):
    options = {"steps": 2, "epochs": 0, "threads": 1, "device": "cpu", "bytes": False}
    asked = {"queries": HELD[name](), "pairs": (HELD[name](), HELD[name]())}
    expected = qama.fit(X, queries=X, pairs=(X, X), **options)
    assert qama.fit(HELD[name](), **asked, **options).fingerprint == expected.fingerprint


NOTHING = {
    "lists": [],
    "tensor": torch.empty(0, 32),
    "objects": np.empty(0, object),
    "pandas": frame(v=list(X))[:0],
    "no pandas at all": pd.DataFrame(),
    "wide pandas": pd.DataFrame(X)[:0],
    "pandas column": frame(v=list(X))["v"][:0],
    "polars": pl.DataFrame({"v": X})[:0],
    "polars column": pl.Series(X.tolist())[:0],
    "Arrow": arrow(pa.list_(FLOATS))[:0],
    "Arrow, fixed-size": arrow(pa.list_(FLOATS, 32))[:0],
    "Arrow, chunked": pa.chunked_array([], pa.list_(FLOATS)),
    "Arrow table": pa.table({"id": range(40), "v": list(X)})[:0],
    "batches": [X[:0], X[:0]],
}


@pytest.mark.parametrize("none", NOTHING.values(), ids=NOTHING)
def test_a_container_of_nothing_is_no_rows(codec, none):
    assert codec.encode(none, **CELL).shape == (0, 12)
    index = Index(codec, **CELL)
    assert index.add(none).tolist() == []
    index.add(X)
    assert index.search(none, 3).ids.shape == (0, 3)
    with pytest.raises(ValueError, match=r"X has no rows|X is an iterator without a single batch"):
        sources.load(none, 100, 0)


def test_codes_are_read_from_the_same_containers(codec):
    codes = codec.encode(X, **CELL)
    expected = codec.decode(codes, **CELL)
    for given in (torch.tensor(codes), list(codes), pd.Series(list(codes)), pl.Series(codes),
                  pa.array(list(codes)), pd.DataFrame({"codes": list(codes)})):  # fmt: skip
        np.testing.assert_array_equal(codec.decode(given, **CELL), expected)
        index = Index(codec, **CELL)
        assert len(index.add_codes(given, compact=False)) == 40


def test_memory_is_shared_where_both_sides_allow_it(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    tensor, frame = torch.tensor(X), pd.DataFrame(X)
    column = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 32)
    for given, memory in (
        (mapped, mapped),
        (tensor, tensor.numpy()),
        (frame, frame.to_numpy()),
        (column, column.values.to_numpy()),
    ):
        assert np.shares_memory(arrays.plain(given, "X"), memory)


def test_a_mapped_array_is_added_and_encoded_in_pieces(tmp_path, codec):
    np.save(tmp_path / "x.npy", np.tile(X.astype(np.float64), (5000, 1)))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for verb in (Index(codec, **CELL).add_from, Index(codec, **CELL).add, codec.encode):
        tracemalloc.start()
        verb(mapped)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < mapped.nbytes / 2


def test_no_library_is_imported_to_read_an_array():
    script = (
        "import sys, numpy as np; from qama import checks; checks.matrix(np.ones((2, 3)), 'X');"
        "checks.matrix([[1.0]], 'X'); "
        "print({'torch', 'pandas', 'polars', 'pyarrow'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout.strip() == "set()", run.stderr


# --- refusals ---------------------------------------------------------------------------------

WHOLE = np.ones((40, 32), dtype=np.int64)
REFUSED = {
    "whole numbers": (WHOLE, r"X has dtype int64; .* X\.astype\(np\.float32\)"),
    "whole tensor": (torch.tensor(WHOLE), "X has dtype int64; give floats: float16, float32 or"),
    "whole lists": (WHOLE.tolist(), "X has dtype int64; give floats: "),
    "whole objects": (frame(v=list(WHOLE))["v"].to_numpy(), "X has dtype int64; give floats: "),
    "objects of two axes": (np.ones((4, 32), object), r"dtype object; .* X\.astype\(np\.float32\)"),
    "whole column": (frame(v=list(WHOLE))["v"], "X has dtype int64; give floats: "),
    "whole frame": (pd.DataFrame(WHOLE, columns=list(map(str, range(32)))), "without '0'"),
    "a number among floats": (pd.DataFrame(X).assign(id=1), "floats alone, without 'id'"),
    "a number among polars": (pl.DataFrame(X).with_columns(id=pl.lit(1)), "without 'id'"),
    "a text among floats": (pa.table({"a": [1.0], "t": ["x"]}), "without 't'"),
    "two columns": (frame(v=list(X), w=list(X)), "2 columns of lists, 'v' and 'w'; give one"),
    "two polars columns": (pl.DataFrame({"v": X, "w": X}), "2 columns of lists, 'v' and 'w'"),
    "two Arrow columns": (pa.table({"v": list(X), "w": list(X)}), "2 columns of lists, 'v' and"),
    "no column": (frame(), "0 columns of lists"),
    "a null": (frame(v=[*X[:39], None]), "X has 1 nulls; drop those rows"),
    "a polars null": (pl.Series([[1.0], None]), "X has 1 nulls"),
    "an Arrow null": (pa.array([[1.0], None]), "X has 1 nulls"),
    "a null in a list": ([*X.tolist()[:39], None], "X has 1 nulls"),
    "a frame without columns": (pd.DataFrame(index=range(3)), "0 columns of lists of numbers"),
    "a null in a row": (pa.array([[1.0] * 32, [None] + [1.0] * 31]), r"X\[1, 0\] is nan"),
    "a nullable frame": (pd.DataFrame(X).astype("Float32").where(X < 9).mask(X[3, 4] == X),
                         r"X\[\d+, \d+\] is nan"),
    "None in a row": ([[None] + [1.0] * 31], "X has dtype object and holds None; give floats"),
    "masked": (np.ma.masked_array(X, X[0, 0] == X), "X has masked values; drop those rows"),
    "ragged lists": ([[1.0, 2.0], [3.0]], r"differ in length: X\[0\] has shape \(2,\), X\[1\] \(1"),
    "ragged column": (pd.Series([[1.0, 2.0], [3.0]]), "entries of X differ in length"),
    "ragged Arrow": (pa.array([[1.0, 2.0], [3.0]]), "lists of X differ in length"),
    "a row without values": ([X[0], []], "differ in length"),
    "ragged batches": ([X, X[:, :8]], r"X\[0\] has shape \(40, 32\), X\[1\] \(40, 8\)"),
    "mixed": ([1.0, [2.0]], "X holds numbers and lists"),
    "mixed within": ([[1.0, [2.0]]], r"X\[0\] holds numbers and lists"),
    "a vector": (X[0], r"X has one axis of 32; give \(rows, dims\), for instance \[X\]"),
    "a vector as tensor": (torch.tensor(X[0]), "X has one axis of 32"),
    "a vector as column": (pd.Series(X[0]), "X has one axis of 32"),
    "texts": (["a", "b"], "X has dtype <U1 and holds 'a'; .* the vectors that a model makes"),
    "a column of texts": (pd.Series(["a", "b"]), "holds 'a'; .* the vectors that a model makes"),
    "a path": ("x.npy", "X is the string or path 'x.npy'; fit and add_from read files"),
    "a generator": ((row for row in X), "X is a generator; give an array of floats"),
    "a dict": ({"a": X}, "X is a dict; give an array"),
    "a lazy frame": (pl.DataFrame(X).lazy(), "X is a LazyFrame; give an array"),
    "a sparse tensor": (torch.tensor(X).to_sparse(), r"Use Tensor\.to_dense\(\) first"),
    "a tensor elsewhere": (torch.tensor(X).to("meta"), "X is a tensor that cannot be read"),
    "None": (None, "X is a NoneType; give an array"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_holds_no_vectors_is_refused_by_name(codec, given, message):
    with pytest.raises(ValueError, match=message):
        codec.encode(given, **CELL)


def test_what_a_refusal_advises_is_taken(codec):
    for given in (
        WHOLE.astype(np.float32), torch.tensor(WHOLE).float(), [X[0]], [torch.tensor(X[0])],
        [pd.Series(X[0])], torch.tensor(X).to_sparse().to_dense(),
    ):  # fmt: skip
        codec.encode(given, **CELL)


def test_a_list_of_vectors_is_one_array_and_a_list_of_batches_a_stream():
    for one in (X, X.tolist(), list(X), torch.tensor(X), frame(v=list(X))["v"], [], pa.array([])):
        assert arrays.is_one(one)
    table = pa.table({"v": list(X)})
    for stream in ([X, X], (X,), [frame(v=list(X))], iter([X]), table.to_batches(),
                   torch.utils.data.DataLoader(torch.tensor(X))):  # fmt: skip
        assert not arrays.is_one(stream)
    loaded = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(X)), batch_size=9
    )
    np.testing.assert_array_equal(np.concatenate([F for F, _ in batches(loaded, None, 32)]), X)


def test_a_fit_names_the_row_at_which_an_unfitting_batch_begins():
    for bad, message in (
        (X[:, :8], "a batch of X has 8 columns, the ones before it 32"),
        (WHOLE, "a batch of X has dtype int64"),
        (X[0], r"a batch of X has one axis of 32; .* for instance \[batch\]"),
        (pd.DataFrame({"a": [1]}), "a batch of X has 0 columns of lists"),
    ):
        with pytest.raises(ValueError, match=message + ".*; that batch begins at row 80 of X"):
            sources.load(iter([X, X[:0], X, bad]), 1000, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_whose_squares_leave_float32_are_finite(value):
    large = np.full((3, 4), 3e38, np.float32)
    assert checks.finite(large, "X") is large
    large[1, 2] = value
    with pytest.raises(ValueError, match=r"X\[1, 2\] is -?(nan|inf); every value must be finite"):
        checks.finite(large, "X")
