"""The codec: what a fit returns. A vector enters, a code leaves.

x float32 (d,)
-> encoding.transform   z = W2 GELU(W1 x), or z = x W; |z| = sqrt(d)
-> encoding.quantize    level indices by per-dim thresholds
-> encoding.bits        packed bytes, MSB first, dimension-major
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, container, kernels
from qama.checks import Bytes, Floats
from qama.encoding import levels, scoring, transform
from qama.encoding.bytecode import DEFAULT_BYTES, ByteCode, ByteCoder
from qama.encoding.decode import decode
from qama.encoding.grid import GridCode, GridCoder, PairNet
from qama.errors import FormatError

KIND = "codec"
FORMAT, OLDEST = 2, 1  # 2: byte codes with full bytes

Code = GridCode | ByteCode


@dataclass(frozen=True, eq=False, repr=False)
class Codec:
    """A fitted codec: NumPy arrays and a few facts; loads and encodes without torch.

    Attributes:
        grid: Everything the grid codes need.
        bytes: Everything the byte codes need; None if the preset has grid codes only.
        preset: The name of the recipe that fitted it.
        facts: What the fit recorded (rows, seed, steps, held-out agreement); plain JSON values.
    """

    grid: GridCoder
    preset: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    bytes: ByteCoder | None = None

    def __repr__(self) -> str:
        kinds = f"dims {list(self.dims)}, levels {list(self.levels)}"
        if self.byte_budgets:
            kinds += f", 1 to {self.byte_budgets[-1]} bytes"
        return f"<qama.Codec {self.fingerprint}: preset {self.preset}, {self.dims_in} d; {kinds}>"

    @property
    def dims_in(self) -> int:
        """Dims of the vectors it was fitted on."""
        return self.grid.transform.dims

    @property
    def model(self) -> str | None:
        """Name of the model whose vectors it was fitted on, if the fit was told."""
        name = self.facts.get("model")
        return None if name is None else str(name)

    def check_model(self, model: str | None) -> None:
        """Refuse a codec of another model; None, or a codec that records none, passes.

        Raises:
            ValueError: both are known and differ.
        """
        if model is not None and self.model is not None and model != self.model:
            raise ValueError(
                f"model is {model!r}, but codec {self.fingerprint} was fitted on vectors of "
                f"{self.model!r}: vectors of different models cannot be compared"
            )

    @property
    def dims(self) -> tuple[int, ...]:
        """The dims that grid codes can use, widest first."""
        return self.grid.dims

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that grid codes can have."""
        return self.grid.levels

    @property
    def byte_budgets(self) -> tuple[int, ...]:
        """Standard lengths of byte codes, shortest first; any length up to the last is valid."""
        return () if self.bytes is None else self.bytes.budgets

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify the codec: equal exactly when all codes are equal."""
        return _fingerprint(self._meta(), self._arrays())

    def code(
        self, dims: int | None = None, level: object | None = None, nbytes: int | None = None
    ) -> Code:
        """Return the one code that the arguments ask for.

        Args:
            dims: Dims of a grid code (default: all).
            level: Level of a grid code (default: the most precise one).
            nbytes: Length of a byte code; excludes dims and level.
                With none of the three: 48 bytes (or the longest code, if shorter) where the codec
                has byte codes, else all dims at the most precise level.

        Raises:
            ValueError: something that this codec does not have; the message lists what it has.
        """
        if nbytes is not None and (dims is not None or level is not None):
            raise ValueError(
                f"nbytes={nbytes} excludes dims and level: give nbytes for a byte code, or dims "
                f"and level for a grid code"
            )
        if nbytes is None and (self.bytes is None or dims is not None or level is not None):
            return self.grid.code(dims, level)
        if self.bytes is None:
            raise ValueError(
                f"nbytes is {nbytes}, but a codec of preset {self.preset!r} has grid codes only: "
                f"give dims from {list(self.dims)} and level from {list(self.levels)}"
            )
        return self.bytes.code(
            min(DEFAULT_BYTES, self.bytes.max_bytes) if nbytes is None else nbytes
        )

    @checks.default_errstate()
    def encode(
        self,
        X: object,
        *,
        dims: int | None = None,
        level: object | None = None,
        nbytes: int | None = None,
        compact: bool = False,
    ) -> Bytes:
        """Encode vectors.

        Args:
            X: Floats (n, d), n >= 0; any length, zero vectors included. Arrays, tensors, frames,
                columns of lists, Arrow tables: whatever `qama.arrays.plain` reads.
            dims: See `code`.
            level: See `code`.
            nbytes: See `code`.
            compact: Two planes instead of three thermometer bits where a dim has four states:
                fewer bytes, the same ranking inside qama, but no plain Hamming distance.

        Returns:
            uint8 (n, bytes), C-contiguous, bits MSB first.

        Raises:
            ValueError: X is not finite floats (n, d), or the codec has no such code.
        """
        code = self.code(dims, level, nbytes)
        A = checks.matrix(X, "X", self.dims_in, empty=True)
        out = np.empty((len(A), code.stored_bytes if compact else code.nbytes), dtype=np.uint8)
        for rows in checks.chunks(A):
            out[rows] = code.encode(checks.finite(A[rows], "X", rows.start), compact)
        return out

    @checks.default_errstate()
    def transform(self, X: object, dims: int | None = None) -> Floats:
        """Return the adapted floats z[:, :dims], float32 (n, dims); whole rows have length sqrt(d).

        Raises:
            ValueError: X is not finite floats (n, d), or dims is not in the grid.
        """
        width = self.grid.code(dims, None).dims
        A = checks.matrix(X, "X", self.dims_in, empty=True)
        out = np.empty((len(A), width), dtype=np.float32)
        for rows in checks.chunks(A):
            finite = checks.finite(A[rows], "X", rows.start)
            out[rows] = transform.apply(self.grid.transform, finite)[:, :width]
        return out

    @checks.default_errstate()
    def decode(
        self,
        codes: Bytes,
        *,
        dims: int | None = None,
        level: object | None = None,
        nbytes: int | None = None,
        compact: bool = False,
    ) -> Floats:
        """Return the vectors that codes stand for.

        Args:
            codes: uint8 (n, bytes) from `encode` with the same arguments.
            dims: See `code`.
            level: See `code`.
            nbytes: See `code`.
            compact: Whether the codes are compact.

        Returns:
            float32: of byte codes (n, d), estimates of the unit vectors; of grid codes (n, dims),
            estimates of what `transform` returns.

        Raises:
            ValueError: unfitting codes.
        """
        code = self.code(dims, level, nbytes)
        return decode(code, _stored(code, codes, compact))

    @checks.default_errstate()
    def score(
        self,
        Q: object,
        codes: Bytes,
        *,
        dims: int | None = None,
        level: object | None = None,
        nbytes: int | None = None,
        scorer: str = "asymmetric",
        compact: bool = False,
    ) -> Floats:
        """Score every query against every code, exactly as a search would.

        Args:
            Q: Floats (m, d), m >= 0; see `encode`.
            codes: uint8 (n, bytes) from `encode` with the same arguments.
            dims: See `code`.
            level: See `code`.
            nbytes: See `code`.
            scorer: "asymmetric" (float query: its cosine with the decoded vector; for grid codes
                with the decoded adapted prefix, times a slope that calibrates it to the float32
                cosine of neighbours, so that it may exceed 1) or
                "hamming" (the query is encoded too; 1 - distance / bits). The decoded length is
                held in one byte: to 0.25 %, and within a factor of 1.89 of the typical one.
            compact: Whether the codes are compact.

        Returns:
            float32 (m, n), larger is nearer.

        Raises:
            ValueError: unfitting queries, codes or scorer.
        """
        code = self.code(dims, level, nbytes)
        checks.one_of(scorer, "scorer", code.scorers)
        queries = checks.vectors(Q, "Q", self.dims_in, empty=True)
        stored = _stored(code, codes, compact)
        if scorer == "hamming" and isinstance(code, GridCode):
            encoded = code.encode(queries, compact=True)
            distances = kernels.hamming_distances(
                encoded, stored, bits=code.stored_bits, pairs=code.pairs
            )
            return similarity(distances, code.similarity_bits)
        factors = code.factor_steps[code.factor_indices(stored)]
        return scoring.scores(code.query_tables(queries), stored, factors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the codec to a file of any name, atomically.

        Raises:
            OSError: the file cannot be written; what stood there before is intact.
        """
        full = self.bytes is not None and self.bytes.full > 0
        container.write(path, KIND, FORMAT if full else OLDEST, *self.parts())

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: str | None = None) -> Codec:
        """Read a codec; needs NumPy only.

        Args:
            path: A file that `save` wrote.
            model: Name of the model whose vectors will be encoded, to be checked.

        Raises:
            FormatError: not a codec file, damaged, or of another version.
            ValueError: the codec was fitted on vectors of another model.
            OSError: the file cannot be opened.
        """
        contents = container.read(path, KIND, FORMAT, OLDEST)
        contents.check_sections()
        try:
            codec = cls.from_parts(contents.meta, contents.arrays)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise FormatError(f"{path}: the codec is inconsistent: {error!r}") from error
        codec.check_model(model)
        return codec

    def parts(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what a file stores of the codec: JSON values and arrays."""
        facts = {"facts": dict(self.facts), "fingerprint": self.fingerprint}
        return {**self._meta(), **facts}, self._arrays()

    @classmethod
    def from_parts(cls, meta: dict[str, Any], stored: Mapping[str, npt.NDArray[Any]]) -> Codec:
        """Rebuild a codec from what `parts` returned.

        Raises:
            KeyError, TypeError, ValueError: the parts are incomplete or do not fit each other.
        """
        codec = cls._assemble(meta, {name: np.array(array) for name, array in stored.items()})
        if codec.fingerprint != meta["fingerprint"]:
            raise ValueError(
                f"its contents have the fingerprint {codec.fingerprint}, "
                f"its header says {meta['fingerprint']}"
            )
        return codec

    def _meta(self) -> dict[str, Any]:
        return {
            "preset": self.preset,
            "transform": self.grid.transform.kind,
            "dims": list(self.grid.dims),
            "fractions": list(self.grid.fractions),
        }

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = {
            f"transform.{name}": array for name, array in self.grid.transform.arrays().items()
        }
        for level, thresholds in self.grid.thresholds.items():
            arrays[f"thresholds.{level}"] = thresholds
            arrays[f"centers.{level}"] = self.grid.centers[level]
        arrays |= {f"slopes.{level}": slopes for level, slopes in self.grid.slopes.items()}
        if self.grid.pair is not None:
            arrays |= {f"pair.{n}": getattr(self.grid.pair, n) for n in ("w1", "b1", "w2")}
        if self.bytes is not None:
            arrays |= {f"bytes.{name}": array for name, array in self.bytes.arrays().items()}
        return arrays

    @classmethod
    def _assemble(cls, meta: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Codec:
        def part(prefix: str) -> dict[str, npt.NDArray[Any]]:
            return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

        pair = part("pair.")
        grid = GridCoder(
            transform.from_arrays(meta["transform"], part("transform.")),
            thresholds=part("thresholds."),
            centers=part("centers."),
            pair=PairNet(**pair) if pair else None,
            dims=tuple(checks.integer(value, "dims", 1) for value in meta["dims"]),
            fractions=levels.check_fractions(meta["fractions"]),
            slopes=part("slopes."),
        )
        grid.check()
        byte_arrays = part("bytes.")
        coder = ByteCoder.from_arrays(byte_arrays) if byte_arrays else None
        if coder is not None and coder.dims != grid.transform.dims:
            raise ValueError(f"byte codes are of {coder.dims} dims, grid codes of another")
        return cls(grid, str(meta["preset"]), dict(meta.get("facts", {})), coder)


def checked(codec: object, opener: str) -> Codec:
    """Return a codec, refusing what is none, such as the path of a file.

    Args:
        codec: What was given.
        opener: What opens the index that a path may have meant: "Index".

    Raises:
        ValueError: not a codec.
    """
    if isinstance(codec, Codec):
        return codec
    if isinstance(codec, str | os.PathLike):
        path = repr(os.fspath(codec))
        raise ValueError(
            f"codec is the path {path}; open a saved index with {opener}.open({path}), or load a "
            f"codec with Codec.load({path})"
        )
    raise ValueError(f"codec is a {type(codec).__name__}; give a Codec, as qama.fit returns")


def _stored(code: Code, codes: object, compact: bool) -> Bytes:
    """Return checked codes in the compact form."""
    given = checks.codes(codes, "codes", code.stored_bytes if compact else code.nbytes)
    return given if compact else code.stored_form(given)


def similarity(distances: npt.NDArray[np.integer[Any]], bits: int) -> Floats:
    """Turn Hamming distances into 1 - distance / true bits, float32."""
    return np.asarray(1 - distances / np.float64(bits), dtype=np.float32)


def _fingerprint(meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr(sorted(meta.items())).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
