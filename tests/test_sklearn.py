"""qama.sklearn: scikit-learn's own checks, a pipeline, a grid search over bytes."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import qama
from qama.sklearn import Encoder

# These fit fewer than 16 rows, or want to be told of one row in scikit-learn's own words.
UNFAIR = dict.fromkeys(
    (
        "check_n_features_in_after_fitting",
        "check_estimators_nan_inf",
        "check_fit2d_1feature",
        "check_fit2d_1sample",
    ),
    "a fit takes at least 16 rows",
)


@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn():
    results = check_estimator(
        Encoder(nbytes=4), on_fail=None, on_skip=None, expected_failed_checks=UNFAIR
    )
    failed = {r["check_name"]: repr(r["exception"]) for r in results if r["status"] == "failed"}
    assert failed == {}
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(UNFAIR)
    assert sum(r["status"] == "passed" for r in results) > 30


def test_it_is_what_fit_and_encode_give(rows, queries):
    encoder = Encoder(nbytes=12, output="codes", random_state=3).fit(rows)
    codec = qama.fit(rows, max_bytes=12, seed=3, threads=1)
    assert encoder.codec_.fingerprint == codec.fingerprint
    codes = encoder.transform(queries)
    np.testing.assert_array_equal(codes, codec.encode(queries, nbytes=12))
    np.testing.assert_array_equal(encoder.inverse_transform(codes), codec.decode(codes, nbytes=12))
    assert list(encoder.get_feature_names_out()) == [f"byte{i}" for i in range(12)]


def test_vectors_keep_their_lengths_and_come_nearer_with_more_bytes(rows, queries):
    def error(nbytes):
        found = Encoder(nbytes=nbytes).fit_transform(rows)
        assert found.dtype == np.float32
        assert found.shape == rows.shape
        return np.linalg.norm(found - rows) / np.linalg.norm(rows)

    errors = [error(nbytes) for nbytes in (2, 8, 32)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.3
    encoder = Encoder(nbytes=8).fit(rows)
    np.testing.assert_allclose(
        encoder.transform(3 * queries), 3 * encoder.transform(queries), rtol=1e-5
    )
    np.testing.assert_array_equal(encoder.inverse_transform(queries), queries)
    assert encoder.get_feature_names_out()[:2].tolist() == ["x0", "x1"]


def test_codes_of_narrow_vectors_are_as_long_as_they_can_be(rows):
    assert Encoder(nbytes=48, output="codes").fit_transform(rows).shape == (300, 32)


def test_a_clone_and_a_pickle(rows, queries):
    encoder = Encoder(nbytes=8, output="codes", codeword_bits=16)
    copy = clone(encoder)
    assert copy.get_params() == encoder.get_params()
    encoder.fit(rows)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(queries), encoder.transform(queries))


def test_a_pipeline_and_a_grid_search_over_bytes():
    random = np.random.default_rng(0)
    centres = random.standard_normal((4, 24))
    labels = random.integers(4, size=240)
    X = (centres[labels] + 1.2 * random.standard_normal((240, 24))).astype(np.float32)
    pipeline = make_pipeline(Encoder(), KNeighborsClassifier(5))
    search = GridSearchCV(pipeline, {"encoder__nbytes": [1, 4, 16]}, cv=3)
    search.fit(X, labels)
    by_bytes = search.cv_results_["mean_test_score"]
    assert by_bytes[0] < by_bytes[2]
    assert search.best_params_["encoder__nbytes"] > 1
    assert search.best_estimator_.named_steps["encoder"].codec_.dims_in == 24


@pytest.mark.parametrize(
    ("options", "said"),
    [({"nbytes": 0}, "nbytes is 0"), ({"nbytes": 257}, "nbytes is 257"),
     ({"output": "bits"}, "output is"), ({"codeword_bits": 5}, "codeword_bits is 5"),
     ({"random_state": -1}, "seed is -1"), ({"n_jobs": -2}, "threads is -2")],
)  # fmt: skip
def test_parameters_that_do_not_fit(rows, options, said):
    with pytest.raises(ValueError, match=said):
        Encoder(**options).fit(rows)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(rows, value):
    broken = rows.copy()
    broken[3, 4] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        Encoder().fit(broken)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        Encoder(nbytes=4).fit(rows).transform(broken)


def test_what_does_not_fit(rows):
    with pytest.raises(NotFittedError):
        Encoder().transform(rows)
    with pytest.raises(ValueError, match="at least 16"):
        Encoder().fit(rows[:15])
    encoder = Encoder(nbytes=8, output="codes").fit(rows)
    with pytest.raises(ValueError, match="32 features"):
        encoder.transform(rows[:, :8])
    with pytest.raises(ValueError, match="has 4 bytes a row; this code has 8"):
        encoder.inverse_transform(np.zeros((3, 4), np.uint8))


def test_without_scikit_learn_the_extra_is_named():
    program = "import sys; sys.modules['sklearn'] = None; import qama; import qama.sklearn"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert 'pip install "qama[sklearn]"' in said.stderr
