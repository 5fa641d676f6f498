"""The same codes of a DataFrame of Spark."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import vectorfolders
from vectorfolders import NBYTES, needs

import qama
from qama.distributed import spark

pytestmark = pytest.mark.filterwarnings("default")  # what Spark warns of is its own


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    needs("pyspark")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    folder = str(tmp_path_factory.mktemp("spark"))
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.warehouse.dir", folder).config("spark.local.dir", folder)
    made = builder.getOrCreate()
    yield made
    made.stop()


@pytest.fixture
def frame(session, tmp_path):
    vectorfolders.folder(tmp_path, 400)
    return session.read.option("recursiveFileLookup", True).parquet(str(tmp_path))


def test_codes_are_those_of_one_process(frame, bytes_codec, tmp_path, session):
    made = spark.encode(frame, bytes_codec, nbytes=NBYTES)
    assert [(field.name, field.dataType.simpleString()) for field in made.schema] == [
        ("id", "bigint"), ("code", "binary"),
    ]  # fmt: skip
    label = json.loads(made.schema["code"].metadata["qama"])
    assert label["codec"] == bytes_codec.fingerprint
    assert label["code"] == {"nbytes": NBYTES}
    made.write.parquet(str(tmp_path / "out"))
    back = session.read.parquet(str(tmp_path / "out"))
    assert back.schema["code"].metadata == made.schema["code"].metadata
    rows = sorted(back.collect())
    assert [row.id for row in rows] == list(range(400))
    expected = bytes_codec.encode(vectorfolders.vectors(400), nbytes=NBYTES)
    assert b"".join(bytes(row.code) for row in rows) == expected.tobytes()


def test_ids_may_be_strings(session, bytes_codec):
    X = vectorfolders.vectors(9)
    frame = session.createDataFrame([(f"é{i}", x.tolist()) for i, x in enumerate(X)], ["key", "v"])
    rows = spark.encode(frame, bytes_codec, id="key", column="v", nbytes=NBYTES).collect()
    codes = {row.id: bytes(row.code) for row in rows}
    for i, code in enumerate(bytes_codec.encode(X, nbytes=NBYTES)):
        assert codes[f"é{i}"] == code.tobytes()


def test_what_does_not_fit_is_refused(frame, session, bytes_codec):
    with pytest.raises(ValueError, match="the frame has no column 'vector'; it has 'id', 'text'"):
        spark.encode(frame, bytes_codec, column="vector", nbytes=NBYTES)
    with pytest.raises(ValueError, match="this codec has byte codes only"):
        spark.encode(frame, bytes_codec, dims=8)
    bad = session.createDataFrame([(1, [0.5] * 32), (2, [0.5] * 31)], ["id", "embedding"])
    with pytest.raises(Exception, match="has 31 dims; the codec was fitted on 32"):
        spark.encode(bad.coalesce(1), bytes_codec, nbytes=NBYTES).collect()


def test_a_fit_follows_from_ids_and_seed(frame):
    made = spark.fit(frame, rows=100, seed=3, max_bytes=8, threads=1)
    again = spark.fit(frame.repartition(5), rows=100, seed=3, max_bytes=8, threads=1)
    assert made.fingerprint == again.fingerprint
    assert made.fingerprint != spark.fit(frame, rows=100, seed=4, max_bytes=8).fingerprint
    assert made.facts["rows_used"] <= 100
    every = spark.fit(frame, max_bytes=8, threads=1)
    X = frame.select("embedding").toArrow()
    assert every.dims_in == np.shape(X.column(0)[0].as_py())[0]
    assert isinstance(every, qama.Codec)
