"""A fit of the vectors in a folder is that of all of them in one array."""

from __future__ import annotations

import numpy as np
import pytest
import vectorfolders
from hypothesis import given, settings
from hypothesis import strategies as st
from vectorfolders import DIMS, needs

import qama
from qama import distributed, sources
from qama.distributed import sampling
from qama.distributed.places import place

needs("pyarrow")


@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(lambda c: sum(c) > 0),
    most=st.integers(1, 80),
    seed=st.integers(0, 2**31 - 1),
    batch=st.sampled_from([1, 7 * DIMS, 2**22]),
)
@settings(max_examples=40)
def test_a_sample_is_that_of_all_rows_in_one_array(tmp_path_factory, counts, most, seed, batch):
    folder, X = tmp_path_factory.mktemp("any"), vectorfolders.vectors(sum(counts))
    cuts, names = np.cumsum([0, *counts]), [f"{i}.parquet" for i in range(len(counts))]
    for i, name in enumerate(names):
        rows = X[cuts[i] : cuts[i + 1]]
        vectorfolders.write(folder / name, rows, range(len(rows)), rows=10)
    chosen = sources.sample(len(X), most, seed)
    picked = sampling._by_file(chosen, names, dict(zip(names, counts, strict=True)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qama.distributed.columns._BATCH_VALUES", batch)
        read = [sampling.Reader(place(folder), "embedding", DIMS)(some)[1] for some in picked]
    np.testing.assert_array_equal(np.concatenate(read), X[chosen])


@pytest.mark.parametrize(("rows", "workers"), [(None, None), (100, None), (100, 2)])
def test_a_codec_is_that_of_all_rows_in_one_array(tmp_path, rows, workers):
    held = vectorfolders.folder(tmp_path, 400)
    X = np.concatenate([held[name] for name in sorted(held)])
    made = distributed.fit(
        tmp_path, rows=rows, on="local", workers=workers, max_bytes=8, threads=1, seed=3
    )
    expected = qama.fit(X, max_rows=rows, max_bytes=8, threads=1, seed=3)
    assert made.fingerprint == expected.fingerprint
    assert {**made.facts, "seconds": 0} == {**expected.facts, "seconds": 0}


def test_vectors_that_do_not_fit_are_named(tmp_path):
    held = vectorfolders.folder(tmp_path, 400)
    with pytest.raises(ValueError, match="has no column 'vector'"):
        distributed.fit(tmp_path, column="vector", on="local")
    with pytest.raises(ValueError, match="rows is 3; give a whole number >= 16"):
        distributed.fit(tmp_path, rows=3, on="local")
    X = held["b/c.parquet"].copy()
    X[40, 2] = np.nan
    vectorfolders.write(tmp_path / "b" / "c.parquet", X, range(100))
    with pytest.raises(ValueError, match=r"'embedding' of .*b/c.parquet\[40, 2\] is nan"):
        distributed.fit(tmp_path, on="local")


def test_few_rows_are_refused(tmp_path):
    vectorfolders.folder(tmp_path, 12)
    with pytest.raises(ValueError, match="has 12 rows; a fit needs at least 16"):
        distributed.fit(tmp_path, on="local")
