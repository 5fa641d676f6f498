from qama.kernels._arrays import F32, I16, I32, I64, U8, U64

def paths() -> list[str]: ...
def to_blocks(codes: U8, out: U8) -> None: ...
def from_blocks(blocks: U8, out: U8) -> None: ...
def hamming_topk(
    path: str,
    blocks: U8,
    n: int,
    queries: U8,
    bits: int,
    pairs: int,
    mask: U64 | None,
    visited: I64 | None,
    threads: int,
    rows_out: I64,
    distances_out: I32,
) -> None: ...
def hamming_rows(
    blocks: U8,
    rows: I64,
    queries: U8,
    bits: int,
    pairs: int,
    threads: int,
    distances_out: I32,
) -> None: ...
def table_topk(
    path: str,
    blocks: U8,
    rest: U8 | None,
    n: int,
    tables: I16,
    offsets: I32,
    full: int,
    values: F32 | None,
    indices: U8 | None,
    mask: U64 | None,
    visited: I64 | None,
    threads: int,
    rows_out: I64,
    scores_out: F32,
) -> None: ...
def table_rows(
    blocks: U8,
    rest: U8 | None,
    rows: I64,
    tables: I16,
    offsets: I32,
    full: int,
    values: F32 | None,
    indices: U8 | None,
    threads: int,
    scores_out: F32,
) -> None: ...
def choose_words(
    path: str,
    rows: I16,
    words: I16,
    pairs: I32,
    twice: I16,
    squares: I32,
    section_words: int,
    beam: int,
    sweeps: int,
    shift: int,
    limit: int,
    threads: int,
    codes_out: U8,
    rest_out: I16,
) -> None: ...
def multiply(path: str, rows: I16, pairs: I32, threads: int, products_out: I32) -> None: ...
def word_sums(codes: U8, rows: I16, full: int, threads: int, sums_out: I64) -> None: ...
def squared_norms(
    codes: U8, words: I16, start: I16, full: int, threads: int, norms_out: I64
) -> None: ...
