"""Who computes: one of the native paths, or NumPy."""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import Protocol

from qama.kernels import reference
from qama.kernels._arrays import F32, I16, I32, I64, U8
from qama.kernels.codebooks import Codebooks
from qama.kernels.layout import CodebookLayout
from qama.kernels.scans import HammingScan, NibbleQueries, Probes, QueryTables, TableScan

PATHS = ("amx", "avx512", "avx2", "neon", "portable", "numpy")
VARIABLE = "QAMA_KERNEL"


class Backend(Protocol):
    """What computes; arguments were checked (see `qama.kernels`)."""

    def to_blocks(self, codes: U8, out: U8) -> None:
        """See `qama.kernels.to_blocks`."""

    def from_blocks(self, blocks: U8, n: int) -> U8:
        """See `qama.kernels.from_blocks`."""

    def blocks_to_visit(self, probes: Probes, least: int, *, threads: int = 0) -> tuple[I64, I64]:
        """See `qama.kernels.blocks_to_visit`."""

    def hamming_topk(self, scan: HammingScan, k: int, *, threads: int = 0) -> tuple[I64, I32]:
        """See `qama.kernels.hamming_topk`."""

    def hamming_rows(self, scan: HammingScan, rows: I64, *, threads: int = 0) -> I32:
        """See `qama.kernels.hamming_rows`."""

    def table_topk(self, scan: TableScan, k: int, *, threads: int = 0) -> tuple[I64, F32]:
        """See `qama.kernels.table_topk`."""

    def table_rows(self, scan: TableScan, rows: I64, *, threads: int = 0) -> F32:
        """See `qama.kernels.table_rows`."""

    def choose_codewords(
        self, rows: I16, codebooks: Codebooks, *, beam: int, sweeps: int, threads: int = 0
    ) -> tuple[U8, I16]:
        """See `qama.kernels.choose_codewords`."""

    def multiply(self, rows: I16, panels: I32, *, threads: int = 0) -> I32:
        """See `qama.kernels.multiply`."""

    def whole_units(self, X: F32) -> I16:
        """See `qama.kernels.whole_units`."""

    def nibble_tables(self, queries: NibbleQueries, *, threads: int = 0) -> QueryTables:
        """See `qama.kernels.nibble_tables`."""

    def round_tables(
        self, terms: I32, offsets: I64, layout: CodebookLayout, *, threads: int = 0
    ) -> QueryTables:
        """See `qama.kernels.round_tables`."""

    def codeword_sums(self, codes: U8, rows: I16, *, full: int = 0, threads: int = 0) -> I64:
        """See `qama.kernels.codeword_sums`."""

    def count_pairs(
        self, codes: U8, counts: I32, *, full: int = 0, times: int = 1, threads: int = 0
    ) -> None:
        """See `qama.kernels.count_pairs`."""

    def squared_norms(
        self, codes: U8, codewords: I16, start: I16, *, full: int = 0, threads: int = 0
    ) -> I64:
        """See `qama.kernels.squared_norms`."""


@cache
def native_paths() -> tuple[str, ...]:
    """List the native paths that this CPU can run, best first; warn once if none was built."""
    try:
        from qama.kernels import _native
    except ImportError as error:
        warnings.warn(
            f"qama searches with NumPy, several times slower: its native kernels are missing "
            f"({error}). Reinstall it where a C++17 compiler is found.",
            RuntimeWarning,
            stacklevel=2,
        )
        return ()
    return tuple(_native.paths())


@cache
def chosen_path() -> str:
    """Return the path for calls that force none: ``QAMA_KERNEL``, or the best one."""
    forced = os.environ.get(VARIABLE, "")
    if forced:
        _require(VARIABLE, forced)
        return forced
    return (*native_paths(), "numpy")[0]


@cache
def backend(path: str | None) -> Backend:
    """Return what computes on ``path``, or on the chosen one."""
    if path is None:
        return backend(chosen_path())
    _require("path", path)
    if path == "numpy":
        return reference
    from qama.kernels._adapter import Native

    return Native(path)


def _require(source: str, path: str) -> None:
    """Refuse a path that does not exist or that this machine lacks."""
    if path not in PATHS:
        raise ValueError(f"{source} is {path!r}; one of {', '.join(PATHS)} is needed")
    if path == "numpy":
        return
    if path not in native_paths():
        available = ", ".join([*native_paths(), "numpy"])
        raise ValueError(f"{source} is {path!r}, which cannot run here; available: {available}")
