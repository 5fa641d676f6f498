"""A filesystem that fails from any step on: what is there is whole, a rerun completes it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import vectorfolders
from vectorfolders import NBYTES, needs

from qama import distributed

needs("pyarrow", "fsspec")
fsspec = pytest.importorskip("fsspec")
pa = pytest.importorskip("pyarrow")
fs = pytest.importorskip("pyarrow.fs")
parquet = pytest.importorskip("pyarrow.parquet")
MemoryFileSystem = fsspec.get_filesystem_class("memory")


class Failing(MemoryFileSystem):
    """A filesystem in memory that fails from its nth step on, as if its user had been killed."""

    cachable = False
    store: dict = {}  # noqa: RUF012 - as the class that it extends has it
    pseudo_dirs = [""]  # noqa: RUF012
    left = None  # steps until it fails

    def _step(self):
        if Failing.left is not None:
            Failing.left -= 1
            if Failing.left < 0:
                raise OSError("the network is gone")

    def open(self, path, mode="rb", **options):
        self._step()
        file = super().open(path, mode, **options)
        if "w" in mode:
            write, close = file.write, file.close

            def stepping_write(data):
                self._step()
                return write(data)

            def stepping_close():
                self._step()
                return close()

            file.write, file.close = stepping_write, stepping_close
        return file

    def mv(self, *args, **options):
        self._step()
        return super().mv(*args, **options)

    def rm(self, *args, **options):
        self._step()
        return super().rm(*args, **options)

    def info(self, *args, **options):
        self._step()
        return super().info(*args, **options)

    def makedirs(self, *args, **options):
        self._step()
        return super().makedirs(*args, **options)


@pytest.fixture
def failing():
    Failing.store.clear()
    Failing.pseudo_dirs[:] = [""]
    Failing.left = None
    yield Failing()
    Failing.left = None


def _encode(source, codec, held):
    return distributed.encode(source, codec, "/out", nbytes=NBYTES, on="local", out_filesystem=held)


def _whole(held, records):
    """The files under final names, each of them read whole."""
    arrow = fs.PyFileSystem(fs.FSSpecHandler(held))
    for name in records:
        path = f"/out/{name}"
        if held.exists(path):
            made = parquet.read_table(path, filesystem=arrow)
            yield name, b"".join(made.column("code").to_pylist())


def test_every_step_may_be_the_last(tmp_path, bytes_codec, failing):
    vectors = vectorfolders.folder(tmp_path, 60, ("a.parquet", "b.parquet", "c/d.parquet"))
    codes = {k: bytes_codec.encode(X, nbytes=NBYTES).tobytes() for k, X in vectors.items()}
    expected = _encode(tmp_path, bytes_codec, failing)
    step, seen = 0, set()
    while True:
        Failing.store.clear()
        Failing.pseudo_dirs[:] = [""]
        Failing.left = step
        with contextlib.suppress(OSError):
            made = _encode(tmp_path, bytes_codec, failing)
            break
        assert Failing.left < 0
        Failing.left = None
        before = dict(_whole(failing, codes))
        assert before == {name: codes[name] for name in before}
        kept = {name: failing.store[f"/out/{name}"] for name in before}
        assert _encode(tmp_path, bytes_codec, failing) == expected
        assert dict(_whole(failing, codes)) == codes
        for name, file in kept.items():  # which were not written again
            assert failing.store[f"/out/{name}"] is file
        assert not [path for path in failing.store if "_unfinished" in path]
        seen.add(len(before))
        step += 1
    assert made == expected
    assert seen == {0, 1, 2, 3}
    assert step > 20


def test_a_folder_may_be_a_uri(tmp_path, bytes_codec):
    vectors = vectorfolders.folder(tmp_path, 60)
    made = distributed.encode(
        f"file://{tmp_path}", bytes_codec, "memory://bucket/out", nbytes=NBYTES, on="local"
    )
    assert made.rows == 60
    memory = fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("memory")))
    held = parquet.read_table("/bucket/out/b/c.parquet", filesystem=memory)
    codes = np.frombuffer(b"".join(held.column("code").to_pylist()), np.uint8)
    expected = bytes_codec.encode(vectors["b/c.parquet"], nbytes=NBYTES)
    np.testing.assert_array_equal(codes.reshape(-1, NBYTES), expected)
    assert held.column("id").type == pa.int64()
