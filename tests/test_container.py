"""The file layout, byte by byte, and everything a file can be instead."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qama import container, files
from qama.errors import FormatError

GOLDEN = Path(__file__).parent / "golden" / "container.qama"
META = {"name": "golden", "numbers": [1, 2.5, None]}
ARRAYS = {
    "bytes": np.arange(10, dtype=np.uint8).reshape(2, 5),
    "floats": np.array([1.5, -2.0, 0.0], dtype=np.float32),
    "empty": np.zeros((0, 3), dtype=np.int64),
}


def read(path):
    return container.read(path, "test", 7)


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "any name at all"
    container.write(target, "test", 7, META, ARRAYS)
    return target


def forge(path, header, body=b"", *, length=None, crc=None, magic=None, version=1):
    """Write a file whose fixed part is right for any header, unless told otherwise."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    fixed = container.MAGIC if magic is None else magic
    fixed += version.to_bytes(4, "little")
    fixed += (zlib.crc32(raw) if crc is None else crc).to_bytes(4, "little")
    fixed += (len(raw) if length is None else length).to_bytes(8, "little")
    path.write_bytes(fixed + raw + body)
    return path


# --- what a file is ---------------------------------------------------------------------------


def test_an_array_in_pieces_is_the_array(path, tmp_path):
    pieces = {
        name: container.Pieces(a.dtype.str, a.shape, lambda a=a: [a[:1], a[1:1], a[1:]])
        for name, a in ARRAYS.items()
    }
    container.write(tmp_path / "pieces", "test", 7, META, pieces)
    assert (tmp_path / "pieces").read_bytes() == path.read_bytes()


def test_a_link_is_followed_and_a_pipe_is_no_place_for_a_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for text in (b"first", b"second"):
        with files.replacing(tmp_path / "link") as file:
            file.write(text)
        assert (tmp_path / "file").read_bytes() == text
    assert (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    pipe = files.replacing(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is not a regular file"), pipe:
        pass
    assert not (tmp_path / "pipe").is_file()


def test_the_first_24_bytes_are_literal():
    raw = GOLDEN.read_bytes()
    assert raw[:8] == b"\x93QAMA\r\n\x1a"
    assert raw[8:12] == b"\x01\0\0\0"  # container version 1
    assert raw[12:16] == bytes.fromhex("093f805f")
    assert raw[16:24] == (488).to_bytes(8, "little")
    length = int.from_bytes(raw[16:24], "little")
    assert int.from_bytes(raw[12:16], "little") == zlib.crc32(raw[24 : 24 + length])


def test_writing_gives_the_golden_bytes(path):
    assert path.read_bytes() == GOLDEN.read_bytes()


def test_the_golden_file_is_read():
    contents = read(GOLDEN)
    assert contents.kind == "test"
    assert contents.meta == META
    contents.check_sections()
    assert set(contents.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        found = contents.arrays[name]
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    assert container.kind_of(GOLDEN) == "test"


def test_sections_lie_where_the_header_says_at_multiples_of_64():
    raw = GOLDEN.read_bytes()
    header = json.loads(raw[24 : 24 + int.from_bytes(raw[16:24], "little")])
    for entry in header["sections"]:
        assert entry["offset"] % 64 == 0
        body = raw[entry["offset"] : entry["offset"] + entry["nbytes"]]
        assert body == ARRAYS[entry["name"]].tobytes()
        assert entry["crc32"] == zlib.crc32(body)


def test_arrays_are_mapped_read_only(path):
    floats = read(path).arrays["floats"]
    with pytest.raises(ValueError, match="read-only"):
        floats[0] = 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(container.DTYPES),
            st.lists(st.integers(0, 5), min_size=1, max_size=4),
        ),
        max_size=5,
    ),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_round_trip(tmp_path_factory, kinds, meta):
    random = np.random.default_rng(0)
    arrays = {
        f"section {i}": random.integers(0, 100, size=shape).astype(dtype)
        for i, (dtype, shape) in enumerate(kinds)
    }
    path = tmp_path_factory.mktemp("round") / "file"
    container.write(path, "test", 7, meta, arrays)
    contents = read(path)
    contents.check_sections()
    assert contents.meta == meta
    for name, array in arrays.items():
        assert contents.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(contents.arrays[name], array)


def test_big_endian_and_strided_arrays_are_stored_as_little_and_dense(tmp_path):
    array = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::2]
    container.write(tmp_path / "x", "test", 7, {}, {"a": array})
    found = read(tmp_path / "x").arrays["a"]
    assert found.dtype.str == "<f4"
    assert found.tolist() == array.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.complex64, object, "U3", bool])
def test_dtypes_outside_the_format_are_not_written(tmp_path, dtype):
    with pytest.raises(ValueError, match="cannot be stored"):
        container.write(tmp_path / "x", "test", 7, {}, {"a": np.zeros(3, dtype=dtype)})
    assert list(tmp_path.iterdir()) == []


# --- what a file can be instead ---------------------------------------------------------------


def test_truncated_at_every_byte(path):
    raw = path.read_bytes()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(FormatError):
            read(path)
        if length < 24:
            with pytest.raises(FormatError):
                container.kind_of(path)


def test_every_flipped_bit_of_the_fixed_part_and_the_header_is_noticed(path):
    raw = bytearray(path.read_bytes())
    end = 24 + int.from_bytes(raw[16:24], "little")
    for at in range(end):
        bits = range(8) if at < 24 else (at % 8,)
        for bit in bits:
            raw[at] ^= 1 << bit
            path.write_bytes(raw)
            with pytest.raises(FormatError):
                read(path)
            raw[at] ^= 1 << bit


def test_every_flipped_byte_of_a_section_is_found_by_its_checksum(path):
    raw = bytearray(path.read_bytes())
    for entry in json.loads(raw[24 : 24 + int.from_bytes(raw[16:24], "little")])["sections"]:
        name, offset = entry["name"], entry["offset"]
        for at in range(offset, offset + entry["nbytes"]):
            raw[at] ^= 0x10
            path.write_bytes(raw)
            with pytest.raises(FormatError, match=f"section '{name}' is damaged"):
                read(path).check_sections()
            raw[at] ^= 0x10


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x93", b"\x93NUMPY\x01\x00" + b"\0" * 100, b"PK\x03\x04" + b"\0" * 50, b"{}" * 40,
     container.MAGIC, container.MAGIC.replace(b"\r\n", b"\n") + b"\0" * 50],
)  # fmt: skip
def test_foreign_files(tmp_path, raw):
    path = tmp_path / "foreign"
    path.write_bytes(raw)
    for opened in (read, container.kind_of):
        with pytest.raises(FormatError, match="foreign"):  # the message names the file
            opened(path)


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=60, deadline=None)
def test_random_bytes_are_only_ever_a_format_error(tmp_path_factory, raw, with_magic):
    path = tmp_path_factory.mktemp("noise") / "noise"
    path.write_bytes(container.MAGIC * with_magic + raw)
    with pytest.raises(FormatError):
        read(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "version", "meta", "sections", "name", "shape", "dtype"]),
            inner, max_size=4,
        ),
        max_leaves=8,
    )
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_other_json_is_only_ever_a_format_error(tmp_path_factory, header):
    path = forge(tmp_path_factory.mktemp("json") / "json", header)
    with pytest.raises(FormatError):
        read(path)


def test_another_kind_and_another_version_are_named(path):
    with pytest.raises(FormatError, match="holds a qama 'test'; this needs a 'codec'"):
        container.read(path, "codec", 7)
    with pytest.raises(FormatError, match="test of version 7; this qama reads version 8"):
        container.read(path, "test", 8)


def test_another_container_version(tmp_path):
    header = {"kind": "test", "version": 7, "meta": {}, "sections": []}
    assert read(forge(tmp_path / "now", header)).meta == {}
    with pytest.raises(FormatError, match="container version 2"):
        read(forge(tmp_path / "later", header, version=2))


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**40, 16 * 2**20, 10_000])
def test_a_huge_header_length_allocates_nothing(tmp_path, length):
    path = forge(tmp_path / "huge", {}, length=length)
    tracemalloc.start()
    with pytest.raises(FormatError, match=f"a header of {length} bytes is claimed"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_header_of_a_megabyte_is_the_largest(tmp_path):
    raw = json.dumps(with_section() | {"sections": []}).encode()
    assert read(forge(tmp_path / "x", raw.ljust(2**20))).kind == "test"
    with pytest.raises(FormatError, match=f"a header of {2**20 + 1} bytes is claimed"):
        read(forge(tmp_path / "x", raw.ljust(2**20 + 1)))


def test_a_header_larger_than_the_format_allows_is_refused_unread(tmp_path):
    path = forge(tmp_path / "huge", {})
    os.truncate(path, 20 * 2**20)  # sparse: the bytes are there, but they are too many
    with open(path, "r+b") as file:
        file.seek(16)
        file.write((17 * 2**20).to_bytes(8, "little"))
    with pytest.raises(FormatError, match="header of"):
        read(path)


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff\xfe", b"[]", b"null", b"1" * 5000, b"[" * 100_000, b'"\xc3\x28"', b""],
)
def test_headers_that_are_not_a_json_object(tmp_path, raw):
    with pytest.raises(FormatError, match="header"):
        read(forge(tmp_path / "x", raw))


SECTION = {"name": "a", "dtype": "|u1", "shape": [4], "offset": 512, "nbytes": 4, "crc32": 0}


def with_section(**changes):
    entry = {k: v for k, v in {**SECTION, **changes}.items() if v != "missing"}
    return {"kind": "test", "version": 7, "meta": {}, "sections": [entry]}


def test_the_section_that_the_next_tests_break_is_whole(tmp_path):
    path = forge(tmp_path / "x", with_section())
    os.truncate(path, 516)
    assert read(path).arrays["a"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 576}, {"offset": 513}, {"offset": -64}, {"offset": 2**70}, {"offset": 512.0},
        {"offset": None}, {"offset": True}, {"offset": "missing"}, {"offset": 2**62},
        {"nbytes": 5}, {"nbytes": 2**62}, {"nbytes": -4}, {"nbytes": "4"}, {"nbytes": "missing"},
        {"shape": [5]}, {"shape": [2**62]}, {"shape": [2**62, 4]}, {"shape": [-4]},
        {"shape": [-2, -2]}, {"shape": 4}, {"shape": [4.0]}, {"shape": [True, 4]},
        {"shape": [1, 1, 1, 1, 4]}, {"shape": [[4]]}, {"shape": "missing"}, {"shape": None},
        {"shape": [2**62], "nbytes": 2**62},
        {"shape": [0, 2**40, 2**40], "nbytes": 0},
        {"dtype": "|O"}, {"dtype": "<f2"}, {"dtype": ">f4"}, {"dtype": None}, {"dtype": ["|u1"]},
        {"dtype": "<f4"}, {"dtype": "missing"},
        {"name": None}, {"name": 3}, {"name": "missing"},
        {"crc32": None}, {"crc32": -1}, {"crc32": "missing"},
    ],
)  # fmt: skip
def test_a_section_outside_the_format(tmp_path, changes):
    path = forge(tmp_path / "x", with_section(**changes))
    os.truncate(path, 516)
    with pytest.raises(FormatError):
        read(path)


@pytest.mark.parametrize(
    "changes",
    [{"meta": []}, {"meta": None}, {"sections": {}}, {"sections": None}, {"sections": [3]},
     {"sections": [None]}, {"sections": [SECTION, SECTION]}, {"kind": None}, {"version": "7"}],
)  # fmt: skip
def test_a_header_of_other_types(tmp_path, changes):
    path = forge(tmp_path / "x", with_section() | changes)
    os.truncate(path, 600)
    with pytest.raises(FormatError):
        read(path)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")


# --- writing ----------------------------------------------------------------------------------


def test_writing_replaces_what_was_there_and_leaves_nothing_beside_it(path):
    container.write(path, "test", 7, {"second": True}, {})
    assert read(path).meta == {"second": True}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch, failing):
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space"):
        container.write(path, "test", 7, {"second": True}, ARRAYS)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_write_that_is_interrupted_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        container.write(path, "test", 7, {}, ARRAYS)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_meta_that_json_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    for meta in ({"x": float("nan")}, {"x": {1, 2}}):
        with pytest.raises((ValueError, TypeError)):
            container.write(tmp_path / "x", "test", 7, meta, {})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        container.write(tmp_path / "no" / "x", "test", 7, {}, {})


def test_more_sections_than_the_format_allows_are_refused(tmp_path):
    for count in (1024, 1025):
        header = with_section()
        empty = {**SECTION, "shape": [0], "nbytes": 0, "offset": 0}
        header["sections"] = [{**empty, "name": str(i)} for i in range(count)]
        path = forge(tmp_path / "x", header)
        if count == 1024:
            assert len(read(path).arrays) == 1024
        else:
            with pytest.raises(FormatError, match="1025 sections; the format allows 1024"):
                read(path)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_not_json_are_refused(tmp_path, constant):
    raw = b'{"kind": "test", "version": 7, "sections": [], "meta": {"x": %s}}' % constant.encode()
    with pytest.raises(FormatError, match=f"not JSON: {constant} is not a JSON value"):
        read(forge(tmp_path / "x", raw))


def test_the_claimed_size_is_where_the_last_section_ends(path, tmp_path):
    assert container.claimed_size(path) == path.stat().st_size
    os.truncate(path, path.stat().st_size - 5)
    assert container.claimed_size(path) == path.stat().st_size + 5
    assert container.claimed_size(forge(tmp_path / "x", with_section() | {"sections": []})) == 0
    for sections in (None, {}, [3], [{**SECTION, "offset": 3}]):
        with pytest.raises(FormatError, match="section"):
            container.claimed_size(forge(tmp_path / "x", with_section() | {"sections": sections}))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError) as refused:
        read(tmp_path)
    assert refused.value.filename == str(tmp_path)
    assert refused.value.errno == errno.EISDIR


def test_an_error_names_the_file_that_was_to_be_written(tmp_path, monkeypatch):
    target = tmp_path / "no" / "file"
    with pytest.raises(FileNotFoundError) as refused, files.replacing(target):
        pass
    assert refused.value.filename == str(target)

    def full(source, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left") as refused:
        container.write(tmp_path / "file", "test", 1, {}, {})
    assert refused.value.filename == str(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_identity_and_kind_are_read_from_the_header_alone(path):
    whole = read(path)
    assert container.identity_of(path) == whole.identity
    os.truncate(path, 24 + int.from_bytes(path.read_bytes()[16:24], "little"))
    assert container.identity_of(path) == whole.identity
    assert container.kind_of(path) == "test"
    assert len(whole.identity) == 16


# --- what opens can be written again -----------------------------------------------------------


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


UNWRITABLE = {
    "too large a number": b'{"x": 1e400}',
    "too small a number": b'{"x": [-1e400]}',
    "a lone surrogate": b'{"x": "\\ud800"}',
    "a lone surrogate in a key": b'{"\\udc00": 1}',
    "too deep": json.dumps({"x": nested(63)}).encode(),
    "much too deep": json.dumps({"x": nested(900)}).encode(),
    "not ASCII": b'{"x": "' + "\u00e9".encode() * 200_000 + b'"}',
}


@pytest.mark.parametrize("meta", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_header_that_could_not_be_written_again_is_refused(tmp_path, meta):
    raw = b'{"kind": "test", "version": 7, "sections": [], "meta": ' + meta + b"}"
    with pytest.raises(FormatError, match="the header cannot be written again"):
        read(forge(tmp_path / "x", raw))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_header_in_another_encoding_is_refused(tmp_path, encoding):
    header = json.dumps({"kind": "test", "version": 7, "sections": [], "meta": {}})
    with pytest.raises(FormatError, match="the header is not JSON"):
        read(forge(tmp_path / "x", header.encode(encoding)))


LOOP: list = []
LOOP += [LOOP, LOOP]


@pytest.mark.parametrize("meta", [
    {"x": "a" * 2**20}, {"x": "\u00e9" * 180_000}, {"x": nested(63)}, {"x": nested(5000)},
    {"x": LOOP}, {"x": float("inf")}, {"x": "\ud800"}, {"\udfff": 1},
], ids=["long", "not ASCII", "deep", "very deep", "loop", "infinite", "text", "key"])  # fmt: skip
def test_what_a_reader_would_refuse_is_not_written(path, meta):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"bytes|deep|JSON compliant|surrogates"):
        container.write(path, "test", 7, meta, ARRAYS)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("arrays", [
    {str(i): np.zeros(1, np.uint8) for i in range(1025)},
    {"a": np.zeros((1,) * 5, np.uint8)},
], ids=["sections", "axes"])  # fmt: skip
def test_sections_that_a_reader_would_refuse_are_not_written(path, arrays):
    before = path.read_bytes()
    with pytest.raises(FormatError):
        container.write(path, "test", 7, {}, arrays)
    assert path.read_bytes() == before


@pytest.mark.parametrize("spare", range(-400, 100, 7))
def test_around_the_limit_a_header_is_written_and_read_or_refused(tmp_path, spare):
    meta = {"x": "a" * (container.MAX_HEADER - 100 - 3 * 100 + spare)}
    try:
        container.write(tmp_path / "x", "test", 7, meta, ARRAYS)
    except ValueError:
        assert not (tmp_path / "x").exists()
    else:
        assert read(tmp_path / "x").meta == meta
