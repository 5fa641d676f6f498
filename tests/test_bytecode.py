import numpy as np
import pytest

import qama
from qama.encoding.bytecode import ByteCoder
from qama.training.additive import fit_byte_coder


def rows(n, d=32, seed=0):
    random = np.random.default_rng(seed)
    spectrum = (1 + np.arange(d)) ** -0.7
    return (random.standard_normal((n, d)) * spectrum).astype(np.float32)


@pytest.fixture(scope="module")
def coder():
    return fit_byte_coder(rows(600), seed=0, threads=1)


@pytest.fixture(scope="module")
def codec():
    return qama.fit(rows(300), steps=2, threads=1, device="cpu")


def decoded(coder, codes):
    nibbles = np.stack([codes >> 4, codes & 15], axis=2).reshape(len(codes), -1)
    words = coder.words[np.arange(nibbles.shape[1]), nibbles].astype(float)
    return (coder.center + words.sum(axis=1)) / 2**14


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def test_every_byte_prefix_is_the_shorter_code(coder):
    X = rows(50, seed=1)
    whole = coder.encode(X, coder.max_bytes)
    for nbytes in range(1, coder.max_bytes + 1):
        assert (coder.encode(X, nbytes) == whole[:, :nbytes]).all()


def test_a_code_depends_on_its_vector_alone(coder):
    X = rows(40, seed=2)
    together = coder.encode(X, 16)
    assert all((coder.encode(X[i : i + 1], 16) == together[i]).all() for i in range(40))
    assert (coder.encode(X[::-1].copy(), 16) == together[::-1]).all()


def test_more_bytes_come_closer(coder):
    X = rows(200, seed=3)
    errors = [
        ((unit(X) - decoded(coder, coder.encode(X, n))) ** 2).sum(axis=1).mean()
        for n in (4, 12, 24, 32)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


def test_hardly_any_other_word_would_come_closer(coder):
    X = rows(100, seed=4)
    codes = coder.encode(X, 11)  # the first block
    chosen = ((unit(X) - decoded(coder, codes)) ** 2).sum(axis=1)
    better = 0
    for nibble in range(22):
        for change in range(1, 16):
            other = codes.copy()
            other[:, nibble // 2] ^= np.uint8(change << (0 if nibble % 2 else 4))
            error = ((unit(X) - decoded(coder, other)) ** 2).sum(axis=1)
            better += int((error < chosen - 1e-4).sum())
    assert better < 0.001 * 22 * 15 * len(X)


def test_a_fit_beats_random_words(coder):
    X = rows(300, seed=5)
    random = np.random.default_rng(0).permuted(coder.words, axis=2)
    naive = ByteCoder(coder.center, random, coder.lengths)
    lost = [
        ((unit(X) - decoded(c, c.encode(X, 8))) ** 2).sum(axis=1).mean() for c in (coder, naive)
    ]
    assert lost[0] < 0.5 * lost[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": np.zeros((4, 16, 8), np.int32)}, "words are int32"),
        ({"words": np.zeros((4, 15, 8), np.int16)}, r"of shape \(4, 15, 8\)"),
        ({"words": np.zeros((3, 16, 8), np.int16)}, r"words have shape \(3, 16, 8\)"),
        ({"center": np.zeros(7, np.int16)}, "misfit"),
        ({"lengths": np.ones(3, np.float32)}, "misfit"),
        ({"lengths": np.array([1, 0], np.float32)}, "out of range"),
        ({"center": np.zeros(8, np.int32)}, "out of range"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    parts = {
        "center": np.zeros(8, np.int16), "words": np.zeros((4, 16, 8), np.int16),
        "lengths": np.ones(2, np.float32),
    }  # fmt: skip
    ByteCoder(**parts).check()
    with pytest.raises(ValueError, match=message):
        ByteCoder(**(parts | changes)).check()


def test_the_largest_words_that_a_file_may_hold_encode_and_score():
    words = np.full((4, 16, 8), -(2**15), np.int16)
    words[:, ::2] = 2**15 - 1
    coder = ByteCoder(np.full(8, 2**15 - 1, np.int16), words, np.ones(2, np.float32))
    X = rows(5, 8)
    codes = coder.encode(X, 2)
    assert codes.shape == (5, 2)
    lengths = np.square(decoded(coder, codes)).sum(axis=1)
    np.testing.assert_allclose(coder.squared_lengths(codes), lengths, rtol=1e-12)


def test_scores_are_the_cosine_with_the_decoded_vector(codec):
    X, Q = rows(60, codec.dims_in, 6), rows(9, codec.dims_in, 7)
    codes = codec.encode(X, nbytes=16)
    scores = codec.score(Q, codes, nbytes=16)
    wanted = unit(Q) @ unit(decoded(codec.bytes, codes)).T
    assert np.abs(scores - wanted).max() < 0.005  # a factor step is 0.5 % wide


def test_an_index_of_bytes_says_what_score_says(codec):
    X, Q = rows(150, codec.dims_in, 8), rows(7, codec.dims_in, 9)
    index = qama.Index(codec, nbytes=20)
    index.add(X[:70])
    index.add(X[70:])
    scores = codec.score(Q, codec.encode(X, nbytes=20), nbytes=20)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    found = index.search(Q, k=20)
    assert (found.ids == order).all()
    assert (found.scores == np.take_along_axis(scores, order, axis=1)).all()
    every = index.search(Q, k=20, funnel=150)
    assert (every.ids == found.ids).all()


def test_the_default_code_is_of_bytes(codec):
    assert qama.Index(codec).code.label == f"{codec.bytes.max_bytes} bytes"


@pytest.mark.parametrize("nbytes", [0, -1, 1000, 2.5, "24", True])
def test_lengths_outside_the_code_are_refused_with_valid_ones(codec, nbytes):
    with pytest.raises(ValueError, match=r"nbytes is .* for instance .*12"):
        codec.encode(rows(2, codec.dims_in), nbytes=nbytes)


def test_nbytes_excludes_dims_and_level(codec):
    with pytest.raises(ValueError, match="excludes"):
        codec.encode(rows(2, codec.dims_in), nbytes=12, dims=codec.dims_in)


def test_byte_codes_have_no_hamming(codec):
    index = qama.Index(codec, nbytes=12)
    index.add(rows(5, codec.dims_in))
    with pytest.raises(ValueError, match="scorer is 'hamming'"):
        index.search(rows(1, codec.dims_in), scorer="hamming")


@pytest.mark.parametrize("n", [16, 40])
def test_few_rows_fit(n):
    X = rows(n)
    small = fit_byte_coder(X, seed=0, threads=1)
    assert ((unit(X) - decoded(small, small.encode(X, 32))) ** 2).sum(axis=1).mean() < 0.1


def test_constant_and_duplicate_rows_fit():
    X = np.repeat(rows(4), 20, axis=0)
    X[:, 5] = 1.0
    small = fit_byte_coder(X, seed=0, threads=1)
    assert np.isfinite(small.lengths).all()
    codes = small.encode(X, 12)
    assert len(np.unique(codes, axis=0)) == 4


@pytest.mark.parametrize("d", [8, 16])
def test_few_dims_fit(d):
    X = rows(100, d)
    small = fit_byte_coder(X, seed=0, threads=1)
    assert small.max_bytes == d
    assert ((unit(X) - decoded(small, small.encode(X, d))) ** 2).sum(axis=1).mean() < 0.01
