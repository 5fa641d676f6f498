"""A folder of vectors into a folder of codes: what is in it, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise

import numpy as np
import pytest
import vectorfolders
from hypothesis import given, settings
from hypothesis import strategies as st
from vectorfolders import DIMS, NAMES, NBYTES, check_codes, codes_of, needs, times

import qama
from qama import distributed, engines
from qama.errors import FormatError, MissingExtraError

needs("pyarrow")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def held(tmp_path):
    return vectorfolders.folder(tmp_path / "in")


@pytest.fixture
def encode(tmp_path, bytes_codec):
    def call(codec=bytes_codec, source=tmp_path / "in", out=tmp_path / "out", **options):
        return distributed.encode(
            source, codec, out, **{"nbytes": NBYTES, "on": "local", **options}
        )

    return call


# -- what is made -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [None, 2])
def test_each_file_becomes_one_of_codes(encode, held, tmp_path, bytes_codec, workers):
    told = []
    made = encode(workers=workers, progress=told.append)
    check_codes(tmp_path / "out", held, bytes_codec)
    assert [record.name for record in made.files] == sorted(NAMES)
    assert (made.rows, made.complete) == (1000, True)
    assert [(step.files, step.total) for step in told] == [(n, 4) for n in (1, 2, 3, 4)]
    assert told[-1].rows == 1000


def test_the_manifest_says_what_is_there(encode, held, tmp_path, bytes_codec):
    made = encode()
    kept = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert (kept["qama"], kept["complete"], kept["rows"]) == (1, True, 1000)
    assert kept["label"]["codec"] == bytes_codec.fingerprint
    assert kept["label"]["code"] == {"nbytes": NBYTES}
    assert kept["columns"] == {"vectors": "embedding", "ids": "id"}
    first = 0
    for listed, name in zip(kept["files"], sorted(NAMES), strict=True):
        codes = bytes_codec.encode(held[name], nbytes=NBYTES)
        ids = np.arange(first, first + len(codes))
        assert (listed["name"], listed["first"], listed["rows"]) == (name, first, len(codes))
        assert listed["codes"] == hashlib.sha256(codes.tobytes()).hexdigest()
        assert listed["ids"] == hashlib.sha256(ids.tobytes()).hexdigest()
        assert listed["size"] == (tmp_path / "in" / name).stat().st_size
        first += len(codes)
    assert distributed.Manifest.from_json(made.to_json(), "here") == made


def test_the_files_are_those_of_engines(encode, held, tmp_path, bytes_codec):
    encode()
    back = engines.read(f"parquet:{tmp_path}/out/b/c.parquet", bytes_codec)
    assert back.request == {"nbytes": NBYTES}
    assert back.ids.tolist() == list(range(250, 500))
    assert str(parquet.read_schema(tmp_path / "out" / "a.parquet").field("code").type) == (
        "fixed_size_binary[8]"
    )
    assert parquet.read_table(tmp_path / "out").num_rows == 1000  # of the manifest, nothing


def test_ids_may_be_strings(encode, tmp_path, bytes_codec):
    X, ids = vectorfolders.vectors(300), [f"é{i}" for i in range(300)]
    vectorfolders.write(tmp_path / "in" / "a.parquet", X, ids)
    (record,) = encode().files
    assert codes_of(tmp_path / "out" / "a.parquet")[1] == ids
    assert record.ids == hashlib.sha256("".join(f"{key}\0" for key in ids).encode()).hexdigest()
    with pytest.raises(FormatError, match="ids that are no whole numbers"):
        engines.read(f"parquet:{tmp_path}/out/a.parquet", bytes_codec)


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    group=st.integers(1, 50),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    kind=st.sampled_from([pa.list_, pa.large_list, lambda of: pa.list_(of, DIMS)]),
    ids=st.sampled_from([pa.int8(), pa.uint64(), pa.large_string(), pa.string()]),
    batch=st.sampled_from([1, 7 * DIMS, 2**22]),
)
@settings(max_examples=40)
def test_codes_depend_on_nothing_but_the_rows(
    bytes_codec, tmp_path_factory, counts, group, dtype, kind, ids, batch
):
    folder, X = tmp_path_factory.mktemp("any"), vectorfolders.vectors(sum(counts)).astype(dtype)
    cuts = np.cumsum([0, *counts])
    (folder / "in").mkdir()
    for i, (start, stop) in enumerate(pairwise(cuts)):
        column = pa.array(list(X[start:stop]), kind(pa.from_numpy_dtype(dtype)))
        keys = pa.array(range(stop - start), pa.int64()).cast(ids)
        made = pa.table({"embedding": column, "id": keys})
        parquet.write_table(made, folder / "in" / f"{i}.parquet", row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qama.distributed.columns._BATCH_VALUES", batch)
        patch.setattr("qama.distributed.job._GROUP", 16)
        distributed.encode(folder / "in", bytes_codec, folder / "out", nbytes=NBYTES, on="local")
    for i, (start, stop) in enumerate(pairwise(cuts)):
        codes, keys = codes_of(folder / "out" / f"{i}.parquet")
        np.testing.assert_array_equal(codes, bytes_codec.encode(X[start:stop], nbytes=NBYTES))
        assert list(map(int, keys)) == list(range(stop - start))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="what it took is read there")
def test_memory_does_not_grow_with_a_file(encode, tmp_path, bytes_codec):
    bytes_codec.save(tmp_path / "my.codec")
    peaks = []
    for count in (100_000, 800_000):
        X = np.random.default_rng(0).standard_normal((count, DIMS), dtype=np.float32)
        source = tmp_path / f"{count}"
        vectorfolders.write(source / "a.parquet", X, np.arange(count), rows=count)
        program = f"""
        import re, qama
        codec = qama.Codec.load("my.codec")
        qama.distributed.encode("{count}", codec, "{count}-out", nbytes=8, on="local")
        print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=100,
        )  # fmt: skip
        peaks.append(1024 * int(done.stdout))
    assert peaks[1] - peaks[0] < 45e6  # of 90 MB more of vectors, in one group of rows each


# -- again --------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(encode, held, tmp_path, bytes_codec):
    made = encode()
    before = times(tmp_path / "out")
    (tmp_path / "out" / "a.parquet").unlink()
    assert encode() == made
    after = times(tmp_path / "out")
    assert after.pop("a.parquet") != before.pop("a.parquet")
    assert after == before
    check_codes(tmp_path / "out", held, bytes_codec)


@pytest.mark.parametrize("files", [1, 3])
def test_a_process_that_is_killed_is_gone_on_with(encode, held, tmp_path, bytes_codec, files):
    bytes_codec.save(tmp_path / "my.codec")
    program = f"""
    import os, qama
    def kill(step):
        if step.files == {files}:
            os.kill(os.getpid(), {int(signal.SIGKILL)})
    codec = qama.Codec.load("my.codec")
    qama.distributed.encode("in", codec, "out", nbytes={NBYTES}, on="local", progress=kill)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, timeout=100, check=False
    )
    assert done.returncode == -signal.SIGKILL
    before = times(tmp_path / "out")
    assert len(before) == files
    encode()
    after = times(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    check_codes(tmp_path / "out", held, bytes_codec)


def test_a_worker_that_dies_is_told_of(encode, held, tmp_path, bytes_codec, monkeypatch):
    monkeypatch.setattr(
        "qama.codec.Codec.__reduce__", lambda codec: (os._exit, (3,)), raising=False
    )
    with pytest.raises(qama.EngineError, match="a worker died"):
        encode(workers=2)
    monkeypatch.undo()
    encode(workers=2)
    check_codes(tmp_path / "out", held, bytes_codec)


def test_another_codec_or_code_is_refused(encode, held, rows, bytes_codec, tmp_path):
    encode()
    other = qama.fit(rows + 1, max_bytes=16, threads=1)
    with pytest.raises(FormatError, match=f"{bytes_codec.fingerprint}.*{other.fingerprint}"):
        encode(other)
    with pytest.raises(FormatError, match=r"out was written with code .*8.*, and now code is .*12"):
        encode(nbytes=12)
    for file in (tmp_path / "in").rglob("*.p*q*"):
        made = parquet.read_table(file)
        parquet.write_table(made.append_column("other", made.column("id")), file)
    with pytest.raises(FormatError, match=r"was written with columns .*'id'.*'other'"):
        encode(id="other")


def test_files_of_another_codec_are_refused_without_a_manifest_too(encode, held, tmp_path):
    encode()
    (tmp_path / "out" / "_manifest.json").unlink()
    with pytest.raises(FormatError, match=r"a\.parquet was written with code"):
        encode(nbytes=12)


def test_a_file_that_was_changed_is_named(encode, held, tmp_path):
    encode()
    vectorfolders.write(tmp_path / "in" / "b" / "c.parquet", held["b/c.parquet"][:9], range(9))
    with pytest.raises(ValueError, match=r"in/b/c.parquet was changed since it was encoded \(it"):
        encode()
    (tmp_path / "out" / "b" / "c.parquet").unlink()
    assert encode().rows == 759


def test_a_file_that_is_touched_was_changed(encode, held, tmp_path):
    encode()
    os.utime(tmp_path / "in" / "a.parquet", ns=(1, 1))
    with pytest.raises(ValueError, match=r"a.parquet was changed .* ns since 1970, and is of 1\)"):
        encode()


def test_a_file_that_is_gone_is_named(encode, held, tmp_path):
    encode()
    (tmp_path / "in" / "a.parquet").unlink()
    with pytest.raises(ValueError, match=r"out/a.parquet is there, and the source has no a.parq"):
        encode()


def test_a_file_of_others_is_refused(encode, held, tmp_path):
    vectorfolders.write(tmp_path / "out" / "a.parquet", held["a.parquet"], range(250))
    with pytest.raises(ValueError, match=r"out/a.parquet has no column 'code'"):
        encode()


def test_a_damaged_file_is_named(encode, held, tmp_path):
    encode()
    with open(tmp_path / "out" / "a.parquet", "r+b") as file:
        file.truncate(60)
    with pytest.raises(ValueError, match=r"out/a.parquet cannot be read as Parquet"):
        encode()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"qama": 2}'])
def test_a_damaged_manifest_is_named(encode, held, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_manifest.json").write_text(text)
    with pytest.raises(FormatError, match=r"out/_manifest.json is no manifest of codes"):
        encode()


# -- what is refused ----------------------------------------------------------------------------


def _nan(X):
    X[7, 3] = np.nan


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"embedding": lambda held: held.slice(0, 9).rename_columns(["id", "text", "x"])},
         r"e.pq has no column 'embedding'; it has 'id', 'text', 'x'"),
        ({"id": pa.array([*range(5), None, *range(4)])}, "row 5 of column 'id' of .*e.pq is null"),
        ({"id": pa.array([*range(9), -3])}, "row 9 of column 'id' of .*e.pq is -3; ids are whole"),
        ({"id": pa.array([0.5] * 10)}, "column 'id' of .*e.pq is double; ids are whole numbers or"),
        ({"id": pa.array([2**63] * 10, pa.uint64())}, "e.pq holds no ids up to 2"),
        ({"embedding": pa.array([[0.5] * DIMS] * 8 + [None] * 2)}, "row 8 of .*e.pq is null; drop"),
        ({"embedding": pa.array([[0.5] * DIMS] * 9 + [[0.5] * 31])},
         "row 9 of column 'embedding' of .*e.pq has 31 dims; the codec was fitted on 32"),
        ({"embedding": pa.array([[0.5] * DIMS] * 9 + [[0.5] * 31 + [np.inf]])},
         r"column 'embedding' of .*e.pq\[9, 31\] is inf"),
        ({"embedding": pa.array([1.0] * 10)}, "'embedding' of .*e.pq is double; give lists of fl"),
        ({"embedding": pa.array([[1] * DIMS] * 10)}, "e.pq has dtype int64; give floats"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_named(encode, held, tmp_path, bytes_codec, change, match):
    file, ((name, value),) = tmp_path / "in" / "e.pq", change.items()
    made = parquet.read_table(file).slice(0, 10)
    if callable(value):
        made = value(made)
    else:
        made = made.set_column(made.schema.get_field_index(name), name, value)
    parquet.write_table(made, file)
    with pytest.raises(ValueError, match=match):
        encode()
    assert not (tmp_path / "out" / "e.pq").exists()
    vectorfolders.write(file, held["e.pq"], range(750, 1000))  # and mended, it goes on
    encode()
    check_codes(tmp_path / "out", held, bytes_codec)


def test_what_fits_no_file_is_refused_before_the_folder_is_made(encode, held, tmp_path):
    with pytest.raises(ValueError, match=r"a.parquet has no column 'vector'"):
        encode(column="vector")
    with pytest.raises(ValueError, match="this codec has byte codes only"):
        encode(nbytes=None, dims=8)
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_are_refused(encode, held, tmp_path, rows):
    (tmp_path / "none").mkdir()
    for source in (tmp_path / "none", tmp_path / "not there"):
        with pytest.raises(ValueError, match="holds no Parquet files; give a folder"):
            encode(source=source)
    for out in (tmp_path / "in", tmp_path / "in" / "out", tmp_path):
        with pytest.raises(ValueError, match="neither may lie in the other"):
            encode(out=out)
    with pytest.raises(ValueError, match="on is 'dask'; choose one of 'local', 'ray'"):
        encode(on="dask")
    with pytest.raises(ValueError, match="workers is 0; give a whole number >= 1"):
        encode(workers=0)
    with pytest.raises(ValueError, match=r"load a codec with Codec\.load"):
        encode(codec="my.codec")
    with pytest.raises(ValueError, match="no filesystem serves gopher://x/y"):
        encode(source="gopher://x/y")


def test_a_file_that_is_no_parquet_is_named(encode, held, tmp_path):
    (tmp_path / "in" / "b" / "c.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"b/c.parquet cannot be read as Parquet"):
        encode()


def test_what_is_not_installed_is_named(encode, held, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qama\[ray\]"'):
        encode(on="ray")
    monkeypatch.setitem(sys.modules, "pyarrow.fs", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qama\[arrow\]"'):
        encode()


# -- the command line ---------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, bytes_codec):
    from typer.testing import CliRunner

    from qama.cli.main import app

    bytes_codec.save(tmp_path / "my.codec")

    def call(*words):
        return CliRunner().invoke(app, ["encode", f"{tmp_path}/my.codec", *map(str, words)])

    return call


def test_the_command_encodes_a_folder(run, held, tmp_path, bytes_codec):
    done = run(tmp_path / "in", "-o", tmp_path / "out", "--nbytes", NBYTES)
    assert done.exit_code == 0, done.output
    assert "1000 codes of 8 B in 4 files" in done.stderr
    check_codes(tmp_path / "out", held, bytes_codec)
    uri = run(f"file://{tmp_path}/in", "-o", tmp_path / "two", "--nbytes", NBYTES, "--workers", 2)
    assert uri.exit_code == 0, uri.output
    check_codes(tmp_path / "two", held, bytes_codec)


def test_the_command_refuses_what_nothing_would_heed(run, held, tmp_path):
    refused = run(tmp_path / "in", "-o", tmp_path / "out", "--compact")
    assert "--compact is for files, and" in refused.stderr.replace("\n", " ")
    np.save(tmp_path / "v.npy", vectorfolders.vectors(20))
    for option in (("--column", "x"), ("--id", "x"), ("--on", "ray"), ("--workers", 2)):
        refused = run(tmp_path / "v.npy", "-o", tmp_path / "c.npy", *option)
        assert f"{option[0]} is for folders of Parquet files" in refused.stderr.replace("\n", " ")
        assert refused.exit_code == 2
    assert run(tmp_path / "v.npy", "-o", tmp_path / "c.npy").exit_code == 0
