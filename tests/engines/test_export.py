"""`qama export`: from an index or a file of codes into an engine or a file, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import CODE, target_of
from typer.testing import CliRunner

from qama import Index, codefile, engines
from qama.cli.main import app


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments):
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments):
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


@pytest.fixture
def index(tmp_path, codec, rows):
    """An index with ids of its own and a deleted row, saved."""
    index = Index(codec, **CODE)
    index.add(rows, ids=np.arange(1000, 1300))
    index.delete([1007])
    index.save(tmp_path / "index")
    return index


@pytest.fixture
def codes(tmp_path, codec, rows):
    """The path of a file of codes, and of its codec."""
    codec.save(tmp_path / "codec")
    made = codec.encode(rows, compact=True, **CODE)
    codefile.write(tmp_path / "codes.qama", codec, codec.code(**CODE), made, compact=True)
    return tmp_path / "codes.qama"


def test_an_index_goes_into_an_engine(index, tmp_path, codec, queries):
    target = target_of("duckdb", tmp_path)
    result = done("export", tmp_path / "index", "--to", target)
    assert f"299 codes of 12 B (32 dims at level 2) of codec {codec.fingerprint}" in result.stderr
    found = engines.search(target, queries, 10, codec=codec, oversample=30)
    wanted = index.search(queries, 10)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.scores, wanted.scores)


def test_an_index_of_byte_codes_goes_into_a_file(tmp_path, byte_codec, rows):
    index = Index(byte_codec, nbytes=8, nlist=4)  # in lists: rows lie in another order
    index.add(rows, ids=np.arange(300)[::-1])
    index.save(tmp_path / "index")
    done("export", tmp_path / "index", "--to", f"safetensors:{tmp_path}/codes.safetensors")
    back = engines.read(f"safetensors:{tmp_path}/codes.safetensors", byte_codec)
    np.testing.assert_array_equal(back.ids, np.arange(300)[::-1])
    np.testing.assert_array_equal(back.codes, byte_codec.encode(rows, nbytes=8))


@pytest.mark.parametrize("given", [True, False])
def test_a_file_of_codes_goes_into_a_file(codes, tmp_path, codec, rows, given):
    ids = np.arange(300) * 3
    np.save(tmp_path / "ids.npy", ids)
    more = ("--ids", tmp_path / "ids.npy") if given else ()
    target = f"parquet:{tmp_path}/codes.parquet"
    done("export", codes, "--codec", tmp_path / "codec", "--to", target, *more)
    back = engines.read(target, codec)
    np.testing.assert_array_equal(back.ids, ids if given else np.arange(300))
    np.testing.assert_array_equal(back.codes, codec.encode(rows, **CODE))


def test_an_engine_may_build_an_index(index, tmp_path, codec, queries):
    target = target_of("faiss", tmp_path)
    done("export", tmp_path / "index", "--to", target, "--index", "hnsw")
    assert engines.search(target, queries, 10, codec=codec).ids.shape == (20, 10)


def test_what_is_refused(index, codes, tmp_path):
    saved, npy = tmp_path / "index", f"npy:{tmp_path}/a.npy"
    assert "give --codec" in refused("export", codes, "--to", npy)
    assert "leave them out" in refused("export", saved, "--codec", codes, "--to", npy)
    assert "give ENGINE:PLACE" in refused("export", saved, "--to", "nowhere")
    assert "an input too" in refused("export", saved, "--to", f"npy:{saved}")
    assert "choose one of" in refused("export", saved, "--to", npy, "--index", "hnsw")
    short = tmp_path / "short.txt"
    short.write_text("1\n2\n")
    some = ("--codec", tmp_path / "codec", "--ids", short)
    assert "2 entries for 300" in refused("export", codes, "--to", npy, *some)
