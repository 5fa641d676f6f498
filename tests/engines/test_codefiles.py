"""Codes in files of others: what is in them, read by their own libraries, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from oracle import CODE, FILES, needs, some_ids

from qama import engines
from qama.errors import FormatError


@pytest.fixture(scope="module")
def codes(rows, codec):
    return codec.encode(rows, **CODE)


@pytest.fixture(scope="module")
def ids(rows):
    return some_ids(len(rows))


@pytest.fixture(params=FILES)
def target(request, tmp_path):
    needs(FILES[request.param])
    return f"{request.param}:{tmp_path}/codes.{request.param}"


def test_codes_come_back_in_their_order(target, codec, codes, ids):
    assert engines.write(target, codes, ids, codec, **CODE) == 300
    back = engines.read(target, codec)
    np.testing.assert_array_equal(back.ids, ids)
    np.testing.assert_array_equal(back.codes, codes)
    assert (back.codes.dtype, back.request) == (np.uint8, CODE)


def test_byte_codes_go_into_files_too(target, byte_codec, rows, ids):
    codes = byte_codec.encode(rows, nbytes=8)
    engines.write(target, codes, ids, byte_codec, nbytes=8)
    back = engines.read(target, byte_codec)
    np.testing.assert_array_equal(back.codes, codes)
    assert back.request == {"nbytes": 8}


def test_no_codes_are_a_file_too(target, codec, codes, ids):
    engines.write(target, codes[:0], ids[:0], codec, **CODE)
    assert engines.read(target, codec).codes.shape == (0, 12)


def test_a_file_is_written_anew(target, codec, codes, ids, rows):
    engines.write(target, codes, ids, codec, **CODE)
    other = codec.encode(rows[:7], dims=8, level="1")
    engines.write(target, other, range(7), codec, dims=8, level="1")
    back = engines.read(target, codec)
    np.testing.assert_array_equal(back.codes, other)
    assert back.request == {"dims": 8, "level": "1"}


def test_a_transfer_that_dies_leaves_the_old_file(target, codec, codes, ids):
    engines.write(target, codes, ids, codec, **CODE)

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engines.write(target, codes[:5], ids[:5], codec, progress=stop, **CODE)
    assert len(engines.read(target, codec).ids) == 300


def test_an_open_file_forgets_a_transfer_that_died(target, codec, codes, ids):
    def stop(done):
        raise KeyboardInterrupt

    with engines.opened(target) as file:
        with pytest.raises(KeyboardInterrupt):
            engines.write(file, codes, ids, codec, progress=stop, **CODE)
        engines.write(file, codes[:5], ids[:5], codec, **CODE)
        engines.write(file, codes[5:9], ids[5:9], codec, **CODE)
    np.testing.assert_array_equal(engines.read(target, codec).ids, ids[5:9])


def test_another_codec_is_refused_by_name(target, codec, paper_codec, codes, ids):
    engines.write(target, codes, ids, codec, **CODE)
    with pytest.raises(FormatError, match=f"{codec.fingerprint}.*{paper_codec.fingerprint}"):
        engines.read(target, paper_codec)


def test_a_damaged_file_is_refused(target, codec, codes, ids):
    engines.write(target, codes, ids, codec, **CODE)
    path = target.partition(":")[2]
    with open(path, "r+b") as file:
        file.truncate(60)
    with pytest.raises(FormatError, match="is not such a file of codes"):
        engines.read(target, codec)


def test_a_file_ranks_nothing(target, codec, codes, ids, queries):
    engines.write(target, codes, ids, codec, **CODE)
    with pytest.raises(ValueError, match="ranks nothing"):
        engines.search(target, queries, codec=codec)


def test_parquet_has_fixed_size_binary_and_the_fingerprint_in_the_schema(
    tmp_path, codec, codes, ids
):
    parquet = pytest.importorskip("pyarrow.parquet")
    engines.write(f"parquet:{tmp_path}/codes.parquet", codes, ids, codec, **CODE)
    table = parquet.read_table(tmp_path / "codes.parquet")
    assert str(table.schema.field("code").type) == "fixed_size_binary[12]"
    assert json.loads(table.schema.metadata[b"qama"]) == {
        "qama": 1, "codec": codec.fingerprint, "code": CODE, "bits": 96,
        "index": "", "prefix": 0, "prefix_bits": 0,
    }  # fmt: skip
    assert table.column("code")[3].as_py() == codes[3].tobytes()
    assert table.column("id").to_pylist() == ids.tolist()


def test_a_parquet_file_of_others_has_no_label(tmp_path, codec):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    column = pa.array([b"abc"], pa.binary(3))
    parquet.write_table(pa.table({"id": [1], "code": column}), tmp_path / "theirs.parquet")
    with pytest.raises(FormatError, match="was not written by qama"):
        engines.read(f"parquet:{tmp_path}/theirs.parquet", codec)


def test_safetensors_has_both_tensors(tmp_path, codec, codes, ids):
    safetensors = pytest.importorskip("safetensors")
    engines.write(f"safetensors:{tmp_path}/codes.safetensors", codes, ids, codec, **CODE)
    with safetensors.safe_open(tmp_path / "codes.safetensors", framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("codes"), codes)
        np.testing.assert_array_equal(file.get_tensor("ids"), ids)
        assert json.loads(file.metadata()["qama"])["codec"] == codec.fingerprint


def test_npy_has_codes_and_ids_in_two_files(tmp_path, codec, codes, ids):
    engines.write(f"npy:{tmp_path}/codes.npy", codes, ids, codec, **CODE)
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), codes)
    np.testing.assert_array_equal(np.load(tmp_path / "codes.ids.npy"), ids)
    with pytest.raises(FormatError, match="does not say which codec made it"):
        engines.read(f"npy:{tmp_path}/codes.npy", codec)
