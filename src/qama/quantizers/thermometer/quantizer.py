"""Grid codes: every (dims, level) of one fit, as the paper has them.

`ThermometerQuantizer` is what was fitted; `ThermometerCode` is one cell of the grid, the object
that encodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import blas, checks, kernels
from qama.checks import Bytes, Floats
from qama.quantizers import protocol, scoring
from qama.quantizers.protocol import CodeValue
from qama.quantizers.thermometer import bits, levels
from qama.quantizers.thermometer.levels import Level
from qama.quantizers.thermometer.quantize import digitize
from qama.quantizers.thermometer.transform import Transform, apply, from_arrays, gelu
from qama.quantizers.vectors import cosines

_KNOWN_ROWS = 16  # that the mean of a state counts for where a base knows it
_PAIR_ROWS = 2048  # bounds the hidden values of dim pairs: 2048 x 192 x 8 floats at d = 384


@dataclass(frozen=True)
class PairNet:
    """The shared 2 -> h -> 1 network of the 0.5-bit level (QAMA, CIKM 2025, section 3).

    Attributes:
        w1: float32 (h, 2).
        b1: float32 (h,).
        w2: float32 (h,).
    """

    w1: Floats
    b1: Floats
    w2: Floats

    def check(self) -> None:
        """Refuse parts that do not fit each other.

        Raises:
            ValueError: the part that does not fit.
        """
        hidden = len(self.b1) if self.b1.ndim else 0
        checks.part(self.w1, "pair.w1", (hidden, 2))
        checks.part(self.b1, "pair.b1", (hidden,))
        checks.part(self.w2, "pair.w2", (hidden,))

    def __call__(self, Z: Floats) -> Floats:
        """Map z (n, dims) to one value per dim pair (z_2i, z_2i+1): float32 (n, dims / 2)."""
        values = np.empty((len(Z), Z.shape[1] // 2), dtype=np.float32)
        for rows in checks.chunks(Z, _PAIR_ROWS):
            dim_pairs = Z[rows].reshape(-1, values.shape[1], 2)
            values[rows] = gelu(dim_pairs @ self.w1.T + self.b1) @ self.w2
        return values


@dataclass(frozen=True, eq=False, repr=False)
class ThermometerQuantizer:
    """What one fit holds for all its grid codes.

    Attributes:
        transform: x -> z.
        thresholds: Per level name float32 (values, thresholds); "0.5" has d / 2 values.
            In any order: a state is how many of them lie below, and learned ones may cross.
        reconstruction: Per level name float32 (values, states, group): what a state is decoded to,
            the mean of z in it; asymmetric scoring reads it.
        pair_net: The 0.5-bit network, if that level was fitted.
        dims: The grid's dims, widest first.
        fractions: Hybrid shares at 2, 1.5, 1, 0.5 bit.
        calibration_scales: Per level name, hybrid included, float32 (len(dims),): what the cosine
            with the decoded prefix is multiplied by, to estimate that of the floats. Empty: 1.
    """

    transform: Transform
    thresholds: Mapping[str, Floats]
    reconstruction: Mapping[str, Floats]
    pair_net: PairNet | None
    dims: tuple[int, ...]
    fractions: tuple[float, ...] = levels.QUARTERS
    calibration_scales: Mapping[str, Floats] = field(default_factory=dict)

    family = "grid codes"

    def __repr__(self) -> str:
        grid = f"dims {list(self.dims)}, levels {list(self.levels)}"
        return f"<ThermometerQuantizer {self.fingerprint}: {self.dims_in} d, {grid}>"

    @property
    def offers(self) -> str:
        """See `Quantizer`."""
        return f"dims from {list(self.dims)} and level from {list(self.levels)}"

    @property
    def dims_in(self) -> int:
        """Width of the vectors."""
        return self.transform.dims

    @cached_property
    def fingerprint(self) -> str:
        """See `Quantizer`."""
        return protocol.fingerprint(*self.parts())

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that can be encoded."""
        base = tuple(name for name in levels.LEVELS if name in self.thresholds)
        return (*base, levels.HYBRID) if len(base) == len(levels.LEVELS) else base

    def code(self, dims: int | None = None, level: object | None = None) -> ThermometerCode:
        """Return one cell; dims default to all, the level to the most precise one.

        Raises:
            ValueError: a cell outside the grid; the message lists what there is.
        """
        chosen = self.dims[0] if dims is None else checks.integer(dims, "dims", 1)
        checks.one_of(chosen, "dims", self.dims)
        name = self._finest() if level is None else levels.level_name(level)
        checks.one_of(name, "level", self.levels)
        return ThermometerCode(self, chosen, name)

    def codes(self) -> list[ThermometerCode]:
        """Return every cell, level by level."""
        return [ThermometerCode(self, dims, level) for level in self.levels for dims in self.dims]

    def values(self, Z: Floats, level: Level) -> Floats:
        """Return what a level quantizes: z (n, dims) itself, or one value per dim pair."""
        if level.group == 1:
            return Z
        assert self.pair_net is not None  # the level would not be in the grid without it
        return self.pair_net(Z)

    def with_reconstruction(
        self, X: Floats, base: ThermometerQuantizer | None = None
    ) -> ThermometerQuantizer:
        """Return the quantizer with reconstruction values: by state the mean of z over X (n, d).

        Those of a base count for some rows of their states.
        """
        Z = apply(self.transform, X)
        reconstruction = {}
        for name, thresholds in self.thresholds.items():
            level = levels.LEVELS[name]
            q = digitize(self.values(Z, level), thresholds)
            grouped = Z.reshape(len(Z), -1, level.group)
            known = None if base is None else base.reconstruction[name]
            reconstruction[name] = _state_means(grouped, q, level.thresholds + 1, known)
        return replace(self, reconstruction=reconstruction)

    def check(self) -> None:
        """Refuse parts that do not fit each other, as a damaged or foreign file may hold.

        Raises:
            ValueError: the part that does not fit, and its shape.
        """
        d = self.transform.dims
        if not self.thresholds or not set(self.thresholds) <= set(levels.LEVELS):
            raise ValueError(f"levels are {sorted(self.thresholds)}; known: {list(levels.LEVELS)}")
        for name, thresholds in self.thresholds.items():
            level = levels.LEVELS[name]
            values = d // level.group
            shape = (values, level.thresholds + 1, level.group)
            checks.part(thresholds, f"thresholds.{name}", (values, level.thresholds))
            checks.part(self.reconstruction[name], f"centers.{name}", shape)
        if set(self.reconstruction) != set(self.thresholds):
            raise ValueError(
                f"reconstruction values are of levels {sorted(self.reconstruction)}, "
                f"thresholds of others"
            )
        if ("0.5" in self.thresholds) != (self.pair_net is not None):
            raise ValueError("level 0.5 and its network of dim pairs must come together")
        if self.pair_net is not None:
            self.pair_net.check()
        if not self.dims or list(self.dims) != sorted(set(self.dims), reverse=True):
            raise ValueError(f"dims are {self.dims}; they must fall strictly")
        for dims in self.dims:
            levels.check_dims(dims, "dims")
        if self.dims[0] > d:
            raise ValueError(f"dims are {self.dims}, but vectors have {d}")
        if self.calibration_scales and set(self.calibration_scales) != set(self.levels):
            raise ValueError(
                f"calibration scales are of levels {sorted(self.calibration_scales)}, "
                f"not {self.levels}"
            )
        for name, scales in self.calibration_scales.items():
            checks.part(scales, f"slopes.{name}", (len(self.dims),))
            if not (scales > 0).all():
                raise ValueError(f"slopes.{name} are {scales}; each must be above 0")

    def _finest(self) -> str:
        return [name for name in self.levels if name != levels.HYBRID][-1]

    # -- files ------------------------------------------------------------------------------

    def parts(self) -> protocol.Parts:
        """Return what a file stores."""
        meta = {
            "transform": self.transform.kind,
            "dims": list(self.dims),
            "fractions": list(self.fractions),
        }
        arrays = {f"transform.{name}": a for name, a in self.transform.arrays().items()}
        for level, thresholds in self.thresholds.items():
            arrays[f"thresholds.{level}"] = thresholds
            arrays[f"centers.{level}"] = self.reconstruction[level]
        arrays |= {f"slopes.{level}": a for level, a in self.calibration_scales.items()}
        if self.pair_net is not None:
            arrays |= {f"pair.{n}": getattr(self.pair_net, n) for n in ("w1", "b1", "w2")}
        return meta, arrays

    @classmethod
    def from_parts(
        cls, meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> ThermometerQuantizer | None:
        """Return the quantizer that a file holds, checked; None where it holds none.

        Raises:
            KeyError, TypeError, ValueError: parts that are missing or do not fit each other.
        """
        if "transform" not in meta:
            return None
        pair = protocol.sections("pair.", arrays)
        quantizer = cls(
            from_arrays(meta["transform"], protocol.sections("transform.", arrays)),
            thresholds=protocol.sections("thresholds.", arrays),
            reconstruction=protocol.sections("centers.", arrays),
            pair_net=PairNet(**pair) if pair else None,
            dims=tuple(checks.integer(value, "dims", 1) for value in meta["dims"]),
            fractions=levels.check_fractions(meta["fractions"]),
            calibration_scales=protocol.sections("slopes.", arrays),
        )
        quantizer.check()
        return quantizer


@dataclass(frozen=True, eq=False, repr=False)
class ThermometerCode(CodeValue):
    """One cell (dims, level): encodes vectors, weighs queries. See `qama.quantizers.protocol`."""

    quantizer: ThermometerQuantizer
    dims: int
    level: str

    scorers = ("hamming", "asymmetric")
    between = "hamming"
    nested = False

    @cached_property
    def plan(self) -> levels.Plan:
        """How many bits each dim gets."""
        return levels.plan(self.dims, self.level, self.quantizer.fractions)

    @property
    def label(self) -> str:
        """What a person calls this code."""
        return f"{self.dims} dims at level {self.level}"

    @property
    def request(self) -> dict[str, Any]:
        """The arguments that ask a codec for this code."""
        return {"dims": self.dims, "level": self.level}

    @property
    def nbytes(self) -> int:
        """Bytes of a thermometer code."""
        return self.plan.nbytes()

    @property
    def stored_bytes(self) -> int:
        """Bytes of a compact code, the form that an index stores."""
        return self.plan.nbytes(compact=True)

    @property
    def stored_bits(self) -> int:
        """True bits of a compact code."""
        return self.plan.bits(compact=True)

    @property
    def bit_pairs(self) -> int:
        """Leading bit pairs (hi, lo) of a compact code."""
        return self.plan.bit_pairs

    @property
    def width(self) -> int:
        """Dims of what `decode` returns."""
        return self.dims

    @property
    def similarity_bits(self) -> int:
        """The largest Hamming distance: thermometer bits, padding excluded."""
        return self.plan.bits()

    def prefixes(self) -> list[ThermometerCode]:
        """Coarser codes that are a prefix of this one's bytes, narrowest first."""
        if self.level == levels.HYBRID:
            return []
        narrower = [d for d in self.quantizer.dims if d < self.dims]
        return [ThermometerCode(self.quantizer, d, self.level) for d in sorted(narrower)]

    def stored_form(self, codes: Bytes) -> Bytes:
        """Turn codes as `encode` returns them into the compact form that an index stores."""
        return bits.squeeze(codes, self.plan)

    def encoded_form(self, stored: Bytes) -> Bytes:
        """Turn compact codes into thermometer codes; inverts `stored_form`."""
        return bits.expand(stored, self.plan)

    def encode(self, X: Floats, compact: bool = False, threads: int = 0) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes or stored_bytes)."""
        with blas.at_most(threads):
            return self.encode_z(apply(self.quantizer.transform, X), compact)

    def encode_z(self, Z: Floats, compact: bool = False) -> Bytes:
        """Encode already transformed vectors (n, >= dims)."""
        return bits.pack(self.indices(Z), self.plan, compact)

    def decode(self, stored: Bytes) -> Floats:
        """Return estimates float32 (n, dims) of the adapted z[:, :dims]."""
        parts = []
        indices = bits.unpack(stored, self.plan, compact=True)
        for q, segment in zip(indices, self.plan.segments, strict=True):
            states = self._rows(self.quantizer.reconstruction, segment)  # (values, states, group)
            values = states[np.arange(len(states)), q]  # (n, values, group)
            parts.append(values.reshape(len(q), segment.stop - segment.start))
        return np.concatenate(parts, axis=1)

    def coordinates(self, X: Floats) -> Floats:
        """Return the adapted z[:, :dims] of vectors float32 (n, d)."""
        return apply(self.quantizer.transform, X)[:, : self.dims]

    def fidelity(self, X: Floats, stored: Bytes) -> npt.NDArray[np.float64]:
        """Return the cosine float64 (n,) of each adapted prefix with its own code, calibrated."""
        return self.calibration_scale * cosines(self.coordinates(X), self.decode(stored))

    def indices(self, Z: Floats) -> list[Bytes]:
        """Return the level indices of z, one array (n, values) per segment."""
        return [self._segment_indices(Z, segment) for segment in self.plan.segments]

    def _segment_indices(self, Z: Floats, segment: levels.Segment) -> Bytes:
        values = np.ascontiguousarray(Z[:, segment.start : segment.stop])
        values = self.quantizer.values(values, segment.level)
        return digitize(values, self._rows(self.quantizer.thresholds, segment))

    def _rows(self, tables: Mapping[str, Floats], segment: levels.Segment) -> Floats:
        group = segment.level.group
        return tables[segment.level.name][segment.start // group : segment.stop // group]

    # -- asymmetric scoring: cosine of the float prefix with the decoded prefix, calibrated --

    @property
    def calibration_scale(self) -> float:
        """What cosines with the decoded prefix are multiplied by."""
        scales = self.quantizer.calibration_scales.get(self.level)
        return 1.0 if scales is None else float(scales[self.quantizer.dims.index(self.dims)])

    def query_weights(self, Q: Floats) -> scoring.QueryWeights:
        """Weigh queries float32 (m, d): per thermometer bit, what setting it adds to q . z_hat."""
        Z = self.coordinates(Q)
        norms = np.linalg.norm(Z, axis=1, keepdims=True)
        Z = np.asarray(Z / np.where(norms > 0, norms, 1), dtype=np.float32)
        parts, offsets = [], np.zeros(len(Z), dtype=np.float32)
        for segment in self.plan.segments:
            by_state = self._by_state(Z, segment)
            rises = np.diff(by_state, axis=2)[:, :, ::-1]  # bits come (q >= T) first
            parts.append(rises.reshape(len(Z), rises.shape[1] * rises.shape[2]))
            offsets = offsets + by_state[:, :, 0].sum(axis=1)
        return scoring.integer_weights(np.concatenate(parts, axis=1), offsets)

    def weighed(self, Q: Floats, threads: int = 0) -> kernels.QueryTables:
        """Return lookup tables of queries float32 (m, d), by NumPy's own threads."""
        return scoring.nibble_tables(self.query_weights(Q), self.stored_bits, self.bit_pairs)

    def _by_state(self, Z: Floats, segment: levels.Segment) -> Floats:
        states = self._rows(self.quantizer.reconstruction, segment)  # (values, states, group)
        values = Z[:, segment.start : segment.stop]
        values = values.reshape(len(Z), segment.values, segment.level.group)
        return np.asarray(np.einsum("mvg,vsg->mvs", values, states), dtype=np.float32)

    @property
    def inverse_norm_steps(self) -> Floats:
        """The 256 inverse norms that codes of this cell can have."""
        lengths = [
            self._state_lengths(segment).mean(axis=1).sum() for segment in self.plan.segments
        ]
        return scoring.inverse_norm_steps(
            self.calibration_scale / max(float(np.sqrt(sum(lengths))), 1e-6)
        )

    def inverse_norm_indices(self, stored: Bytes, threads: int = 0) -> Bytes:
        """Return uint8 (n,): the step of the calibration scale over each decoded norm."""
        square = np.zeros(len(stored), dtype=np.float64)
        indices = bits.unpack(stored, self.plan, compact=True)
        for q, segment in zip(indices, self.plan.segments, strict=True):
            lengths = self._state_lengths(segment)
            for state in range(lengths.shape[1]):
                square += (q == state) @ lengths[:, state]
        inverse_norms = self.calibration_scale / np.sqrt(np.maximum(square, 1e-12))
        return scoring.nearest_step(inverse_norms, self.inverse_norm_steps)

    def _state_lengths(self, segment: levels.Segment) -> npt.NDArray[np.float64]:
        states = self._rows(self.quantizer.reconstruction, segment)
        return np.asarray((states.astype(np.float64) ** 2).sum(axis=2))  # (values, states)

    # -- scores ---------------------------------------------------------------------------------

    def scores(self, Q: Floats, stored: Bytes, scorer: str = "asymmetric") -> Floats:
        """Return float32 (m, n): 1 - distance / bits by Hamming, or estimates of the cosine."""
        if scorer == "hamming":
            encoded = self.encode(Q, compact=True)
            distances = kernels.hamming_distances(
                encoded, stored, bits=self.stored_bits, bit_pairs=self.bit_pairs
            )
            return scoring.similarity(distances, self.similarity_bits)
        inverse_norms = self.inverse_norm_steps[self.inverse_norm_indices(stored)]
        return scoring.scores(self.query_tables(Q), stored, inverse_norms)


def _state_means(grouped: Floats, q: Bytes, states: int, known: Floats | None) -> Floats:
    """Mean of z float32 (n, values, group) by state: (values, states, group); empty states 0.

    Known means (values, states, group) count for _KNOWN_ROWS rows each.
    """
    means = np.zeros((q.shape[1], states, grouped.shape[2]), dtype=np.float32)
    for state in range(states):
        inside = q == state
        sums = np.einsum("nvg,nv->vg", grouped, inside.astype(np.float32))
        counts = inside.sum(axis=0)
        if known is not None:
            sums, counts = sums + _KNOWN_ROWS * known[:, state], counts + _KNOWN_ROWS
        means[:, state] = sums / np.maximum(counts, 1)[:, None]
    return means
