from qama.kernels._arrays import F32, I16, I32, I64, U8, U64, InverseNorms

def paths() -> list[str]: ...
def guard(begin: int, bytes: int) -> int: ...
def unguard(place: int) -> None: ...
def faulted(place: int) -> bool: ...
def to_blocks(codes: U8, out: U8) -> None: ...
def from_blocks(blocks: U8, out: U8) -> None: ...

class StoredCodes:
    def __init__(
        self,
        blocks: U8,
        n: int,
        rest: U8 | None,
        inverse_norms: InverseNorms | None,
        steps: F32 | None,
    ) -> None: ...

class NibbleCodewords:
    def __init__(self, mean: I16, panels: U8, steps: I16) -> None: ...

class CentroidUnits:
    def __init__(self, units: I16, rough: NibbleCodewords, lengths: F32, left: F32) -> None: ...

class InvertedLists:
    def __init__(self, centroids: CentroidUnits, blocks: I64, ends: I64) -> None: ...

class Probes:
    def __init__(self, lists: InvertedLists, queries: I16, held: I64, nprobe: int) -> None: ...

def allowed_count(
    stored: StoredCodes, mask: U64 | None, visited: I64 | None, ends: I64 | None, queries: int
) -> int: ...
def blocks_to_visit(path: str, probes: Probes, least: int, threads: int, ends_out: I64) -> I64: ...
def hamming_topk(
    path: str,
    stored: StoredCodes,
    mask: U64 | None,
    visited: I64 | None,
    ends: I64 | None,
    probes: Probes | None,
    queries: U8,
    bits: int,
    bit_pairs: int,
    threads: int,
    rows_out: I64,
    distances_out: I32,
) -> None: ...
def hamming_rows(
    stored: StoredCodes,
    queries: U8,
    bits: int,
    bit_pairs: int,
    rows: I64,
    threads: int,
    distances_out: I32,
) -> None: ...
def table_topk(
    path: str,
    stored: StoredCodes,
    mask: U64 | None,
    visited: I64 | None,
    ends: I64 | None,
    probes: Probes | None,
    tables: I16,
    offsets: I32,
    scales: F32,
    full: int,
    threads: int,
    rows_out: I64,
    scores_out: F32,
) -> None: ...
def nibble_topk(
    path: str,
    stored: StoredCodes,
    mask: U64 | None,
    visited: I64 | None,
    ends: I64 | None,
    probes: Probes | None,
    queries: I16,
    codewords: NibbleCodewords,
    bytes: int,
    full: int,
    threads: int,
    rows_out: I64,
    scores_out: F32,
) -> None: ...
def table_rows(
    stored: StoredCodes,
    tables: I16,
    offsets: I32,
    scales: F32,
    full: int,
    rows: I64,
    threads: int,
    scores_out: F32,
) -> None: ...
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
def whole_units(rows: F32, units_out: I16) -> bool: ...
def multiply(path: str, rows: I16, panels: I32, threads: int, products_out: I32) -> None: ...
def nibble_tables(
    path: str,
    queries: I16,
    codewords: NibbleCodewords,
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
def count_pairs(codes: U8, counts: I32, full: int, times: int, threads: int) -> None: ...
def squared_norms(
    path: str, codes: U8, codewords: I16, start: I16, full: int, threads: int, norms_out: I64
) -> None: ...
