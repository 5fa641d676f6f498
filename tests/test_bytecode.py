from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import qama
from qama.quantizers.additive import fit as additive
from qama.quantizers.additive.fit import fit_additive
from qama.quantizers.additive.nibbles import Nibbles
from qama.quantizers.additive.quantizer import AdditiveQuantizer


def rows(n, d=32, seed=0):
    random = np.random.default_rng(seed)
    spectrum = (1 + np.arange(d)) ** -0.7
    return (random.standard_normal((n, d)) * spectrum).astype(np.float32)


@pytest.fixture(scope="module")
def coder():
    return fit_additive(rows(2000), 32, seed=0, threads=1)


@contextmanager
def few_turns():
    """Let fits be quick, for what does not depend on how well they go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(additive, "_FULL_TURNS", 5)
        patch.setattr(additive, "_TURNS", dict.fromkeys(additive._TURNS, 5))
        yield


def test_more_rows_of_more_parts_come_closer(monkeypatch):
    monkeypatch.setattr(additive, "_PART_ROWS", 400)
    U = unit(rows(500, seed=1))
    errors = []
    for n in (1200, 4800):  # 3 parts and 12, as many turns with noise
        fitted = fit_additive(rows(n), 11, seed=0, threads=1)
        errors.append(np.square(U - fitted.decode(fitted.encode(U, 11))).sum())
    assert errors[1] < 0.9 * errors[0]


def quick_coder(nbytes):
    with few_turns():
        return fit_additive(rows(1100), nbytes, seed=0, threads=1)


@pytest.fixture(scope="module")
def long_coder():
    return quick_coder(32)


@pytest.fixture(scope="module")
def codec():
    with few_turns():
        return qama.fit(rows(1100), codes="all", steps=2, threads=1, device="cpu")


def decoded(coder, codes):
    full = codes[:, : coder.full].astype(int)
    later = codes[:, coder.full :].astype(int)
    nibbles = np.stack([later >> 4, later & 15], axis=2).reshape(len(codes), -1)
    first = 256 * full.shape[1]
    at = [256 * np.arange(full.shape[1]) + full, first + 16 * np.arange(nibbles.shape[1]) + nibbles]
    codewords = coder.codewords[np.concatenate(at, axis=1)].astype(float)
    return (coder.mean + codewords.sum(axis=1)) / 2**14


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


@pytest.mark.parametrize("longest", [11, 12, 24])
def test_shorter_codes_do_not_depend_on_the_longest_one(long_coder, longest):
    some, X = quick_coder(longest), rows(50, seed=1)
    assert some.max_bytes == longest
    assert (some.codewords == long_coder.codewords[: len(some.codewords)]).all()
    assert (some.lengths == long_coder.lengths[:longest]).all()
    assert (some.encode(X, longest) == long_coder.encode(X, longest)).all()


def test_byte_codes_do_not_depend_on_the_training_of_the_grid(codec):
    with few_turns():
        untrained = qama.fit(
            rows(1100), codes="all", steps=0, threads=1, device="cpu", max_bytes=12
        )
    assert untrained.facts["best_step"] == 0
    X = rows(50, seed=1)
    assert (untrained.encode(X) == codec.encode(X, nbytes=12)).all()
    with pytest.raises(ValueError, match="max_bytes is 257; give a whole number >= 1 and <= 256"):
        qama.fit(rows(1100), max_bytes=257)


def test_more_bytes_come_closer(coder):
    X = rows(200, seed=3)
    errors = [
        ((unit(X) - decoded(coder, coder.encode(X, n))) ** 2).sum(axis=1).mean()
        for n in (4, 12, 24, 32)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


def test_lengths_of_all_prefixes_are_those_of_each(coder):
    codes = coder.encode(rows(300, seed=5), 32)
    lengths = coder.prefix_lengths(codes)
    assert lengths.shape == (32, 300)
    for nbytes in (1, 23, 24, 32):
        prefix = np.ascontiguousarray(codes[:, :nbytes])
        np.testing.assert_array_equal(lengths[nbytes - 1], np.sqrt(coder.squared_lengths(prefix)))
        by_hand = np.linalg.norm(decoded(coder, prefix), axis=1)
        np.testing.assert_allclose(lengths[nbytes - 1], by_hand, rtol=1e-6)


@pytest.mark.parametrize(("stage", "widest"), [((0, 11), 255), ((24, 31), 15)])
def test_hardly_any_other_codeword_would_come_closer(coder, stage, widest):
    X = rows(60, seed=4)
    codes = coder.encode(X, stage[1])
    chosen = ((unit(X) - decoded(coder, codes)) ** 2).sum(axis=1)
    changes = [
        (byte, change << shift)
        for byte in range(*stage)
        for shift in ((0,) if widest == 255 else (0, 4))
        for change in range(1, widest + 1, 7)
    ]
    better = 0
    for byte, change in changes:
        other = codes.copy()
        other[:, byte] ^= np.uint8(change)
        error = ((unit(X) - decoded(coder, other)) ** 2).sum(axis=1)
        better += int((error < chosen - 1e-4).sum())
    assert better < 0.001 * len(changes) * len(X)


def test_high_nibbles_of_later_bytes_are_sums_of_two_codewords(coder):
    assert coder.full == 23
    high = coder.codewords[256 * 23 :].reshape(-1, 32, coder.dims_in)[:, :16].astype(int)
    i, j = np.divmod(np.arange(16), 4)
    assert (high == high[:, 4 * i] + high[:, j] - high[:, :1]).all()


def test_tables_of_high_nibbles_are_sums_of_two_entries(coder):
    ready = coder.code(32).query_tables(rows(5, seed=11))
    assert ready.full == 23
    high = ready.tables[:, 256 * 23 :].reshape(5, -1, 32)[:, :, :16].astype(int)
    i, j = np.divmod(np.arange(16), 4)
    assert (high == high[:, :, 4 * i] + high[:, :, j] - high[:, :, :1]).all()


@pytest.mark.parametrize("nbytes", [5, 23, 24, 32])
def test_tables_hold_the_products_of_query_and_codewords(coder, nbytes):
    Q = unit(rows(5, seed=12)).astype(float)
    ready = coder.code(nbytes).query_tables(Q.astype(np.float32))
    codewords = coder.codewords[: ready.tables.shape[1]].T.astype(float) / 2**14
    entries = ready.tables * ready.scales[:, None]
    # a query's entries have 8 bits: each is off by at most half a step of a power of two
    off = np.abs(Q).max(axis=1, keepdims=True) / 127 * np.abs(codewords).sum(axis=0)
    assert (np.abs(entries - Q @ codewords) < off + 1.6 * ready.scales.max() + 1e-3).all()
    assert np.abs(entries - Q @ codewords).std() < 0.01 * (Q @ codewords).std()


def test_a_fit_beats_random_codewords(coder):
    X = rows(300, seed=5)
    random = np.random.default_rng(0).permuted(coder.codewords, axis=1)
    naive = AdditiveQuantizer(coder.mean, random, coder.lengths)
    lost = [
        ((unit(X) - decoded(c, c.encode(X, 8))) ** 2).sum(axis=1).mean() for c in (coder, naive)
    ]
    assert lost[0] < 0.5 * lost[1]


def of_parts(arrays):
    return AdditiveQuantizer.from_parts({f"bytes.{name}": array for name, array in arrays.items()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": np.zeros((64, 8), np.int32)}, "words are int32"),
        ({"words": np.zeros((4, 15, 8), np.int16)}, r"of shape \(4, 15, 8\)"),
        ({"words": np.zeros((3, 16, 8), np.int16)}, "48 codewords do not fill"),
        ({"words": np.zeros((96, 8), np.int16)}, "96 codewords do not fill"),
        (
            {"words": np.zeros((288, 8), np.int16)},
            "288 codewords",
        ),  # a full byte that ends no stage
        ({"center": np.zeros(7, np.int16)}, "bytes.center is int16"),
        ({"lengths": np.ones(3, np.float32)}, "64 codewords do not fill the codebooks of 3"),
        ({"lengths": np.float32(1)}, "words are int16"),
        ({"lengths": np.array([1, 0], np.float32)}, "above 0"),
        ({"center": np.zeros(8, np.int32)}, "bytes.center is int32"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    parts = {
        "center": np.zeros(8, np.int16), "words": np.zeros((64, 8), np.int16),
        "lengths": np.ones(2, np.float32),
    }  # fmt: skip
    of_parts(parts)
    of_parts(parts | {"words": np.zeros((512, 8), np.int16)})
    with pytest.raises(ValueError, match=message):
        of_parts(parts | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entries": np.zeros((24, 4), np.uint8)}, r"bytes.entries is uint8 of shape \(24, 4\)"),
        ({"entries": np.zeros((24, 5), np.int8)}, "bytes.entries is int8"),
        ({"steps": np.ones(23, np.int16)}, "bytes.entries is uint8"),
        ({"steps": np.ones(24, np.int32)}, "bytes.steps is int32"),
        ({"steps": np.zeros(24, np.int16)}, "bytes.steps must be from 1 to 2047"),
        ({"steps": np.full(24, 2048, np.int16)}, "bytes.steps must be from 1 to 2047"),
        ({"lengths": np.ones(2, np.float32)}, "24 terms do not fill the codebooks of 2 bytes"),
        ({"center": np.zeros(10, np.int32)}, "bytes.center is int32"),
    ],
)
def test_parts_of_4_bit_codewords_that_do_not_fit_are_refused(changes, message):
    parts = {
        "center": np.zeros(9, np.int16), "entries": np.zeros((24, 5), np.uint8),
        "steps": np.ones(24, np.int16), "lengths": np.ones(1, np.float32),
    }  # fmt: skip
    assert of_parts(parts).codewords.tolist() == [[-16] * 9] * 16 + [[-8] * 9] * 16
    with pytest.raises(ValueError, match=message):
        of_parts(parts | changes)


def test_codewords_are_rounded_by_the_step_of_least_error():
    random = np.random.default_rng(0)
    W = random.standard_normal((50, 300)).astype(np.float32) * random.uniform(1, 2000, (50, 1))
    found = Nibbles.nearest(W.astype(np.float32))
    lost = np.square(found.whole() - W).sum(axis=1) / np.square(W).sum(axis=1)
    assert lost[W.std(axis=1) > 30].mean() < 0.0125  # 0.0115 of normal entries
    assert Nibbles.suit(W[:8])
    W[:, 0] *= 100
    assert not Nibbles.suit(W)  # one dim dominates
    again = Nibbles.unpacked(found.packed(), 300, found.steps)
    np.testing.assert_array_equal(again.entries, found.entries)


def test_codewords_of_16_bits_are_fitted_where_they_are_asked_for():
    X = rows(1100)
    narrow, wide = (qama.fit(X, max_bytes=8, codeword_bits=bits, threads=1) for bits in (4, 16))
    assert narrow.has_nibbles
    assert not wide.has_nibbles
    assert not qama.fit(X, max_bytes=8, threads=1).has_nibbles  # of few dims
    with pytest.raises(ValueError, match=r"codeword_bits is 8; choose one of None, 4, 16"):
        qama.fit(X, codeword_bits=8)


def test_inverse_norms_lie_closer_where_vectors_share_a_long_mean():
    """Of lengths that hardly differ .5 % is coarse; steps still reach beyond what was fitted."""
    X = rows(1100) / np.sqrt(16)
    plain, shared = (qama.fit(X + np.float32(mean), max_bytes=8, threads=1) for mean in (0, 2))
    errors = []
    for codec in (plain, shared):
        code = codec.code(nbytes=8)
        far = rows(300) / np.sqrt(16) * 1.3 + np.float32(0 if codec is plain else 2)
        stored = code.encode(far)
        typical = 1 / float(codec.additive.lengths[7])
        exact = 1 / np.linalg.norm(code.decode(stored).astype(np.float64), axis=1)
        exact = typical * (exact / typical) ** codec.additive.norm_power
        steps = code.inverse_norm_indices(stored)
        assert steps.min() > 0
        assert steps.max() < 255
        errors.append(np.abs(code.inverse_norm_steps[steps] / exact - 1).max())
    assert errors[0] < 0.0026
    assert errors[1] < 0.0006
    assert (shared.additive.ratios < 1.001).all()
    assert plain.additive.norm_power > 0.99
    mean = np.square(shared.additive.mean / 2**14).sum()
    assert shared.additive.norm_power == pytest.approx(1 - mean / 4)
    with pytest.raises(ValueError, match=r"bytes\.ratios must be above 1, and 1\.005 at most"):
        replace(shared.additive, ratios=np.full(8, 1.006, np.float32)).check()


@pytest.mark.parametrize("full", [0, 2])
def test_the_largest_codewords_that_a_file_may_hold_encode_and_score(full):
    codewords = np.full((256 * full or 64, 8), -(2**15), np.int16)
    codewords[::2] = 2**15 - 1
    coder = AdditiveQuantizer(np.full(8, 2**15 - 1, np.int16), codewords, np.ones(2, np.float32))
    X = rows(5, 8)
    codes = coder.encode(X, 2)
    assert codes.shape == (5, 2)
    lengths = np.square(decoded(coder, codes)).sum(axis=1)
    np.testing.assert_allclose(coder.squared_lengths(codes), lengths, rtol=1e-12)
    np.testing.assert_allclose(coder.decode(codes), decoded(coder, codes), rtol=1e-6)


def test_codewords_without_full_bytes_are_stored_as_before():
    codewords = np.arange(64 * 8, dtype=np.int16).reshape(64, 8)
    coder = AdditiveQuantizer(np.zeros(8, np.int16), codewords, np.ones(2, np.float32))
    _, arrays = coder.parts()
    assert arrays["bytes.words"].shape == (4, 16, 8)
    again = AdditiveQuantizer.from_parts(arrays)
    assert (again.codewords == codewords).all()
    Q = rows(3, 8)
    products = unit(Q) @ codewords.T / 2**14  # high nibbles split nowhere
    ready = again.code(2).query_tables(Q)
    assert np.abs(ready.tables * ready.scales[:, None] - products).max() < 1e-3


def test_scores_are_the_cosine_with_the_decoded_vector(codec):
    X, Q = rows(60, codec.dims_in, 6), rows(9, codec.dims_in, 7)
    codes = codec.encode(X, nbytes=16)
    scores = codec.score(Q, codes, nbytes=16)
    wanted = unit(Q) @ unit(decoded(codec.additive, codes)).T
    # an inverse norm step is 0.5 % wide, a step of a query's entries at most 1 / 64 of the largest
    assert np.abs(scores - wanted).max() < 0.015
    assert np.abs(scores - wanted).std() < 0.003


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
    assert qama.Index(codec).code.label == f"{codec.additive.max_bytes} bytes"


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
def test_few_rows_fit_without_full_bytes(n):
    X = rows(n)
    small = fit_additive(X, X.shape[1], seed=0, threads=1)
    assert small.full == 0
    assert ((unit(X) - decoded(small, small.encode(X, 32))) ** 2).sum(axis=1).mean() < 0.1


def test_constant_and_duplicate_rows_fit():
    X = np.repeat(rows(4), 20, axis=0)
    X[:, 5] = 1.0
    small = fit_additive(X, X.shape[1], seed=0, threads=1)
    assert np.isfinite(small.lengths).all()
    codes = small.encode(X, 12)
    assert len(np.unique(codes, axis=0)) == 4


@pytest.mark.parametrize("d", [8, 16])
def test_few_dims_fit(d):
    X = rows(100, d)
    small = fit_additive(X, X.shape[1], seed=0, threads=1)
    assert small.max_bytes == d
    assert ((unit(X) - decoded(small, small.encode(X, d))) ** 2).sum(axis=1).mean() < 0.01


# --- from a base ------------------------------------------------------------------------------


def field(n, seed):
    """Rows of a field of its own: another mean, other spreads."""
    return rows(n, seed=seed) * (1 + 0.5 * np.sin(np.arange(32)).astype(np.float32)) + 0.05


def lost(coder, X, nbytes):
    return float(((unit(X) - decoded(coder, coder.encode(X, nbytes))) ** 2).sum(axis=1).mean())


@pytest.fixture(scope="module")
def few_rows(coder):
    """Fits on few rows of a field: alone, and from a base."""
    X = field(60, seed=20)
    return tuple(fit_additive(X, 32, seed=0, threads=1, base=base) for base in (None, coder))


@pytest.mark.parametrize("nbytes", [4, 16, 32])
def test_few_rows_of_a_field_and_a_base_tell_more_than_either(coder, few_rows, nbytes):
    (alone, both), others = few_rows, field(400, seed=30)
    assert lost(both, others, nbytes) < 0.97 * lost(coder, others, nbytes)
    assert lost(both, others, nbytes) < 0.97 * lost(alone, others, nbytes)
    assert both.full == coder.full
    assert both.splits


def test_codewords_that_no_row_chose_stay_the_base_s(coder):
    X = field(20, seed=40)
    fitted = fit_additive(X, 8, seed=0, threads=1, base=coder)
    moved = (
        (fitted.codewords != coder.codewords[: len(fitted.codewords)]).any(axis=1).reshape(8, 256)
    )
    assert 0 < moved.sum() <= 6 * 20 * 8  # the codewords chosen in some of the six rounds
    assert not moved.all(axis=1).any()
    assert (fitted.mean != coder.mean).any()
