"""Codes by the convention of scikit-learn: a transformer for pipelines and grid searches.

It needs the extra "sklearn". ``codec_`` is what was fitted: all else of qama takes it.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.codec import Code, Codec
from qama.errors import MissingExtraError
from qama.fitting import fit

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise MissingExtraError("qama.sklearn", "scikit-learn", "sklearn") from None


class Encoder(TransformerMixin, BaseEstimator):
    """Vectors in; out come their codes, or the vectors that those codes stand for.

    Args:
        nbytes: Length of the byte codes, 1 to 256; of narrower vectors than that, at most a byte
            for each dim is used.
        output: "vectors": float32 (n, d), what a code of that length keeps of a vector, so that
            whatever follows in a pipeline shows what the length costs; "codes": uint8 (n, nbytes).
        codeword_bits: As of `qama.fit`: 4, 16, or None.
        random_state: The seed: a whole number, or None for 0.
        n_jobs: Threads; None: one, as everywhere in scikit-learn; -1: all cores.

    Attributes:
        codec_: The `qama.Codec` that was fitted.
        n_features_in_: Dims of the vectors.
    """

    def __init__(
        self,
        nbytes: int = 48,
        *,
        output: Literal["vectors", "codes"] = "vectors",
        codeword_bits: int | None = None,
        random_state: int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.nbytes = nbytes
        self.output = output
        self.codeword_bits = codeword_bits
        self.random_state = random_state
        self.n_jobs = n_jobs

    codec_: Codec
    n_features_in_: int

    def fit(self, X: object, y: object = None) -> Self:
        """Fit a codec on vectors (n, d), n at least 16; y is not looked at.

        Raises:
            ValueError: a parameter or vectors that do not fit.
        """
        checks.one_of(self.output, "output", ("vectors", "codes"))
        checks.integer(self.nbytes, "nbytes", 1, 256)
        rows = _checked(self, X, reset=True)
        self.codec_ = fit(
            rows, max_bytes=self.nbytes, codeword_bits=self.codeword_bits,
            seed=0 if self.random_state is None else self.random_state, threads=self._threads(),
        )  # fmt: skip
        return self

    def transform(self, X: object) -> npt.NDArray[Any]:
        """Return codes, or the vectors that they stand for: of the length of what was given.

        Raises:
            NotFittedError: before `fit`.
            ValueError: vectors that do not fit.
        """
        check_is_fitted(self)
        rows = _checked(self, X, reset=False)
        nbytes = self._code().nbytes
        codes = self.codec_.encode(rows, nbytes=nbytes, threads=self._threads())
        if self.output == "codes":
            return codes
        vectors = self.codec_.decode(codes, nbytes=nbytes)
        vectors *= np.linalg.norm(rows, axis=1, keepdims=True)
        return vectors

    def inverse_transform(self, X: object) -> npt.NDArray[np.float32]:
        """Return the unit vectors (n, d) that codes stand for; vectors are returned as they are.

        Raises:
            NotFittedError: before `fit`.
            ValueError: codes of another length.
        """
        check_is_fitted(self)
        if self.output == "vectors":
            return _checked(self, X, reset=False)
        nbytes = self._code().nbytes
        return self.codec_.decode(checks.codes(X, "X", nbytes), nbytes=nbytes)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Return a name for each column: those of the vectors, or byte0, byte1, ...

        Raises:
            NotFittedError: before `fit`.
        """
        check_is_fitted(self)
        if self.output == "codes":
            return np.array([f"byte{i}" for i in range(self._code().nbytes)], dtype=object)
        given = getattr(self, "feature_names_in_", input_features)
        names = given if given is not None else [f"x{i}" for i in range(self.n_features_in_)]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # float32, whatever comes
        return tags

    def _code(self) -> Code:
        return self.codec_.code(nbytes=min(self.nbytes, self.codec_.byte_budgets[-1]))

    def _threads(self) -> int:
        if self.n_jobs is None:
            return 1
        return 0 if self.n_jobs == -1 else checks.threads(self.n_jobs)


def _checked(encoder: Encoder, X: object, reset: bool) -> npt.NDArray[np.float32]:
    rows = validate_data(encoder, X, reset=reset, dtype="numeric")
    return np.ascontiguousarray(rows, dtype=np.float32)
