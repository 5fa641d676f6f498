"""The codec: what a fit returns. A vector enters, a code leaves.

It holds what was fitted together on the same vectors: an additive quantizer (byte codes), a
thermometer quantizer (grid codes), or both. `qama.quantizers.protocol` says what they can do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, container
from qama.checks import Bytes, Floats
from qama.errors import FormatError
from qama.quantizers import protocol
from qama.quantizers.additive.quantizer import AdditiveQuantizer
from qama.quantizers.protocol import Code as Code
from qama.quantizers.protocol import Quantizer
from qama.quantizers.thermometer import transform
from qama.quantizers.thermometer.quantizer import ThermometerQuantizer
from qama.shown import facts_html

KIND = "codec"
# 1: grid codes, and byte codes without full bytes; 2: with full ones; 3: byte codes alone;
# 4: byte codes whose codewords have 4-bit entries; 5: of vectors that are projected to axes first;
# 6: whose inverse norms lie as close as the fitted rows ask for
FORMAT, AXES, NIBBLES, ALONE, FULL_BYTES, OLDEST = 6, 5, 4, 3, 2, 1
# What `Codec.parts` may hold as JSON, so that an index's header has room for it and for its own.
MAX_META, MAX_DEPTH = container.MAX_HEADER - 2**16, container.MAX_DEPTH // 2

# Which quantizer has the codes that an argument asks for: the one place that tells them apart.
_MAKERS = {"nbytes": "additive", "dims": "thermometer", "level": "thermometer"}
_LACKED = {"additive": 'codes="all"', "thermometer": 'codes="all" (which needs PyTorch)'}


@dataclass(frozen=True, eq=False, repr=False)
class Codec:
    """A fitted codec: NumPy arrays and a few facts; loads and encodes without torch.

    Attributes:
        additive: Maker of byte codes; None where none were fitted.
        thermometer: Maker of grid codes; None where none were fitted.
        preset: The name of the recipe that fitted it.
        facts: What the fit recorded (rows, seed, steps, validation agreement); plain JSON values.
    """

    additive: AdditiveQuantizer | None = None
    thermometer: ThermometerQuantizer | None = None
    preset: str = "default"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.quantizers:
            raise ValueError("a codec has an additive quantizer, a thermometer quantizer, or both")
        if len({quantizer.dims_in for quantizer in self.quantizers}) > 1:
            widths = ", ".join(f"{q.family} are of {q.dims_in} dims" for q in self.quantizers)
            raise ValueError(f"{widths}: they were not fitted on the same vectors")

    def __repr__(self) -> str:
        offers = "; ".join(quantizer.offers for quantizer in self.quantizers)
        return f"<qama.Codec {self.fingerprint}: preset {self.preset}, {self.dims_in} d; {offers}>"

    def _repr_html_(self) -> str:
        facts: dict[str, object] = {
            "fingerprint": self.fingerprint,
            "model": self.model,
            "vectors": f"{self.dims_in} dims, {4 * self.dims_in} B in float32",
            "fitted on": self.facts.get("rows_used"),
            "in": f"{self.facts['seconds']} s" if "seconds" in self.facts else None,
            "preset": self.preset,
        }
        facts |= {quantizer.family: quantizer.offers for quantizer in self.quantizers}
        return facts_html("qama.Codec", facts)

    @cached_property
    def quantizers(self) -> tuple[Quantizer, ...]:
        """Those that it has, in the order in which a default code is sought."""
        both = (self.additive, self.thermometer)
        return tuple(quantizer for quantizer in both if quantizer is not None)

    @property
    def dims_in(self) -> int:
        """Dims of the vectors it was fitted on."""
        return self.quantizers[0].dims_in

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
        """The dims that grid codes can use, widest first; none without grid codes."""
        return () if self.thermometer is None else self.thermometer.dims

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that grid codes can have; none without grid codes."""
        return () if self.thermometer is None else self.thermometer.levels

    @property
    def byte_budgets(self) -> tuple[int, ...]:
        """Standard lengths of byte codes, shortest first; any length up to the last is valid."""
        return () if self.additive is None else self.additive.budgets

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that identify the codec: equal exactly when all codes are equal."""
        return protocol.fingerprint(*self._parts())

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
        given = {"dims": dims, "level": level, "nbytes": nbytes}
        request: dict[str, Any] = {n: value for n, value in given.items() if value is not None}
        makers = {_MAKERS[name] for name in request}
        if len(makers) > 1:
            raise ValueError(
                f"nbytes={nbytes} excludes dims and level: give nbytes for a byte code, or dims "
                f"and level for a grid code"
            )
        maker: Any = getattr(self, makers.pop()) if makers else self.quantizers[0]
        if maker is None:
            raise ValueError(self._lack(request))
        made: Code = maker.code(**request)
        return made

    def _lack(self, request: Mapping[str, Any]) -> str:
        """Return what the codec lacks for a request, what it has, and how it would be fitted."""
        (name, value), *_ = request.items()
        (has,) = self.quantizers
        return (
            f"{name} is {value!r}, but this codec has {has.family} only: give {has.offers}, or fit "
            f"with {_LACKED[_MAKERS[name]]}"
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
        threads: int = 0,
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
            threads: CPU threads; 0 uses all cores, fewer for little work.

        Returns:
            uint8 (n, bytes), C-contiguous, bits MSB first.

        Raises:
            ValueError: X is not finite floats (n, d), the codec has no such code, or threads < 0.
        """
        code = self.code(dims, level, nbytes)
        count = 0 if threads == 0 else checks.threads(threads)
        A = checks.matrix(X, "X", self.dims_in, empty=True)
        out = np.empty((len(A), code.stored_bytes if compact else code.nbytes), dtype=np.uint8)
        for rows in checks.chunks(A):
            out[rows] = code.encode(checks.finite(A[rows], "X", rows.start), compact, count)
        return out

    @checks.default_errstate()
    def transform(self, X: object, dims: int | None = None) -> Floats:
        """Return the adapted floats z[:, :dims], float32 (n, dims); whole rows have length sqrt(d).

        Raises:
            ValueError: X is not finite floats (n, d), dims is not in the grid, or the codec has
                no grid codes.
        """
        grid = self.thermometer
        if grid is None:
            raise ValueError(self._lack({"dims": dims}))
        width = grid.code(dims).dims
        A = checks.matrix(X, "X", self.dims_in, empty=True)
        out = np.empty((len(A), width), dtype=np.float32)
        for rows in checks.chunks(A):
            finite = checks.finite(A[rows], "X", rows.start)
            out[rows] = transform.apply(grid.transform, finite)[:, :width]
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
        return code.decode(_stored(code, codes, compact))

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
            scorer: "asymmetric" (float query: its cosine with the decoded vector; where vectors
                share a long mean, divided by less of the decoded length; for grid codes
                with the decoded adapted prefix, times a calibration scale that brings it to the
                float32 cosine of neighbours, so that it may exceed 1) or "hamming" (the query is
                encoded too; 1 - distance / bits). The inverse norm is held in one byte: to 0.25 %
                or less, and within 1.89 times the typical one and its inverse at most.
            compact: Whether the codes are compact.

        Returns:
            float32 (m, n), larger is nearer.

        Raises:
            ValueError: unfitting queries, codes or scorer.
        """
        code = self.code(dims, level, nbytes)
        checks.one_of(scorer, "scorer", code.scorers)
        queries = checks.vectors(Q, "Q", self.dims_in, empty=True)
        return code.scores(queries, _stored(code, codes, compact), scorer)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the codec to a file of any name, atomically.

        Raises:
            OSError: the file cannot be written; what stood there before is intact.
        """
        container.write(path, KIND, self.version, *self.parts())

    @property
    def version(self) -> int:
        """The oldest version of a file that can say it: older qama reads it, too."""
        if self.additive is not None and self.additive.ratios is not None:
            return FORMAT
        if self.additive is not None and self.additive.axes is not None:
            return AXES
        if self.has_nibbles:
            return NIBBLES
        if self.thermometer is None:
            return ALONE
        return FULL_BYTES if self.additive is not None and self.additive.full else OLDEST

    @property
    def has_nibbles(self) -> bool:
        """Whether there are byte codes whose codewords have 4-bit entries."""
        return self.additive is not None and self.additive.nibbles is not None

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
        """Return what a file stores of the codec: JSON values and arrays.

        Raises:
            ValueError, TypeError: the facts are no JSON, or more than a file may hold.
        """
        facts = {"facts": dict(self.facts), "fingerprint": self.fingerprint}
        meta, arrays = self._parts()
        meta |= facts
        _check_meta(meta)
        return meta, arrays

    @classmethod
    def _assemble(cls, meta: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Codec:
        return cls(
            AdditiveQuantizer.from_parts(arrays),
            ThermometerQuantizer.from_parts(meta, arrays),
            str(meta["preset"]),
            dict(meta.get("facts", {})),
        )

    def _parts(self) -> protocol.Parts:
        """Return what decides codes, with the preset's name: what the fingerprint is of."""
        meta: dict[str, Any] = {"preset": self.preset}
        arrays: dict[str, npt.NDArray[Any]] = {}
        for quantizer in reversed(self.quantizers):  # the order that files have always had
            own_meta, own_arrays = quantizer.parts()
            meta |= own_meta
            arrays |= own_arrays
        return meta, arrays

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
        _check_meta({**codec._parts()[0], "facts": dict(codec.facts), "fingerprint": "0" * 16})
        return codec


def _check_meta(meta: Mapping[str, Any]) -> None:
    """Refuse what could not be written again, in a codec's file and in an index's."""
    try:
        container.to_json(meta, MAX_META, MAX_DEPTH)
    except ValueError as error:
        raise ValueError(f"the codec's facts cannot be stored: {error}") from None


def checked(codec: object) -> Codec:
    """Return a codec, refusing what is none, such as the path of a file.

    Raises:
        ValueError: not a codec.
    """
    if isinstance(codec, Codec):
        return codec
    if isinstance(codec, str | os.PathLike):
        path = repr(os.fspath(codec))
        raise ValueError(
            f"codec is the path {path}; load a codec with Codec.load({path}), or open a saved "
            f"index with Index.open({path})"
        )
    raise ValueError(f"codec is a {type(codec).__name__}; give a Codec, as qama.fit returns")


def _stored(code: Code, codes: object, compact: bool) -> Bytes:
    """Return checked codes in the compact form."""
    given = checks.codes(codes, "codes", code.stored_bytes if compact else code.nbytes)
    return given if compact else code.stored_form(given)
