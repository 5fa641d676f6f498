from qama.kernels._arrays import F32, I16, I32, I64, U8
from qama.kernels.scans import HammingScan, TableScan

def paths() -> list[str]: ...
def guard(begin: int, bytes: int) -> int: ...
def unguard(place: int) -> None: ...
def faulted(place: int) -> bool: ...
def to_blocks(codes: U8, out: U8) -> None: ...
def from_blocks(blocks: U8, out: U8) -> None: ...
def hamming_topk(
    path: str, scan: HammingScan, threads: int, rows_out: I64, distances_out: I32
) -> None: ...
def hamming_rows(scan: HammingScan, rows: I64, threads: int, distances_out: I32) -> None: ...
def table_topk(
    path: str, scan: TableScan, threads: int, rows_out: I64, scores_out: F32
) -> None: ...
def table_rows(scan: TableScan, rows: I64, threads: int, scores_out: F32) -> None: ...
def choose_codewords(
    path: str,
    rows: I16,
    codewords: I16,
    panels: I32,
    twice: I16,
    squares: I32,
    size: int,
    beam: int,
    sweeps: int,
    shift: int,
    limit: int,
    threads: int,
    codes_out: U8,
    residuals_out: I16,
) -> None: ...
def multiply(path: str, rows: I16, panels: I32, threads: int, products_out: I32) -> None: ...
def nibble_tables(
    path: str,
    queries: I16,
    mean: I16,
    codewords: U8,
    steps: I16,
    full: int,
    threads: int,
    tables_out: I16,
    offsets_out: I32,
    powers_out: I32,
) -> None: ...
def round_tables(
    path: str,
    terms: I32,
    offsets: I64,
    full: int,
    threads: int,
    tables_out: I16,
    offsets_out: I32,
    powers_out: I32,
) -> None: ...
def codeword_sums(codes: U8, rows: I16, full: int, threads: int, sums_out: I64) -> None: ...
def squared_norms(
    codes: U8, codewords: I16, start: I16, full: int, threads: int, norms_out: I64
) -> None: ...
