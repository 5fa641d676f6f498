"""qama encode, index, search."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from qama import checks, codefile, container, files, sources
from qama.checks import CHUNK_ROWS, finite, matrix
from qama.cli import folders, options
from qama.codec import Codec
from qama.console import check_output, command, emit, progress, say
from qama.errors import FormatError
from qama.search.index import Index
from qama.search.rows import ids as idmap
from qama.search.rows import partitioning
from qama.search.storage import base, partitions

_WRITTEN = ("", ".npy", ".qama")  # what the name of a file of codes may end in

CodecFile = Annotated[Path, typer.Argument(help="A codec that `qama fit` wrote.")]


@command
def encode(
    codec: CodecFile,
    vectors: Annotated[
        str,
        typer.Argument(
            help="Vectors: .npy, .npz, .parquet, .fvecs, .bvecs or .jsonl; or a folder of Parquet "
            "files, or its URI."
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="File, or folder, to write.")],
    dims: options.Dims = None,
    level: options.Level = None,
    nbytes: options.Bytes = None,
    compact: Annotated[
        bool, typer.Option(help="Two planes instead of three bits at 2-bit levels.")
    ] = False,
    column: folders.Column = None,
    key: folders.Id = None,
    on: folders.On = None,
    workers: folders.Workers = None,
) -> None:
    """Encode vectors into a file of codes: .npy for any engine, or .qama.

    A .qama file records which codec made it. `qama index` takes it in place of vectors.

    A folder of Parquet files becomes one of codes; the same command again completes it.
    """
    asked = {"dims": dims, "level": level, "nbytes": nbytes}
    of_folders = {"column": column, "id": key, "on": on, "workers": workers}
    if folders.is_one(vectors):
        folders.refuse({"compact": compact}, vectors)
        folders.encode(Codec.load(codec), vectors, output, **asked, **of_folders)
        return
    folders.refuse(of_folders, vectors)
    _encode_file(codec, Path(vectors), Path(output), asked, compact)


def _encode_file(
    codec: Path, vectors: Path, output: Path, asked: dict[str, Any], compact: bool
) -> None:
    check_output(output, codec, vectors)
    _check_suffix(output)
    loaded = Codec.load(codec)
    X = matrix(sources.open_vectors(vectors), "the vectors", loaded.dims_in)
    code = loaded.code(**asked)
    width = code.stored_bytes if compact else code.nbytes
    codes = np.empty((len(X), width), dtype=np.uint8)
    with progress("encoding", len(X)) as update:
        for start in range(0, len(X), CHUNK_ROWS):
            part = finite(X[start : start + CHUNK_ROWS], "the vectors", start)
            codes[start : start + len(part)] = loaded.encode(part, compact=compact, **code.request)
            update(start + len(part), "")
    if output.suffix == ".qama":
        codefile.write(output, loaded, code, codes, compact)
    else:
        with files.replacing(output) as file:
            np.save(file, codes)
    say(f"{output}: {len(codes)} codes of {width} B ({code.label}), {codes.nbytes / 1e6:.1f} MB")


def _check_suffix(output: Path) -> None:
    """Refuse the name of a file of another format than is written.

    Raises:
        ValueError: the suffix is none of `_WRITTEN`.
    """
    if output.suffix in _WRITTEN:
        return
    raise ValueError(
        f"--output is {output}, and codes are written as .npy or .qama; for other formats, write "
        f"{output.with_suffix('.qama').name} and give it to `qama export`, for instance "
        f"--to parquet:{output.with_suffix('.parquet').name}"
    )


@command
def index(
    codec: CodecFile,
    vectors: Annotated[
        Path,
        typer.Argument(help="A file of vectors, or codes that `encode` wrote (.qama)."),
    ],
    output: options.Output,
    dims: options.Dims = None,
    level: options.Level = None,
    nbytes: options.Bytes = None,
    ids: Annotated[
        Path | None, typer.Option(help="Ids: a .npy file, or text with one number a line.")
    ] = None,
    nlist: Annotated[
        str | None,
        typer.Option(help="Inverted lists, of which a search reads a few: how many, or auto."),
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="Keep the vectors too: float16 or int8, to rescore with.")
    ] = None,
) -> None:
    """Encode vectors into a searchable index file."""
    check_output(output, codec, vectors, ids)
    _check_replaced(output)
    wanted = None if nlist is None else _wanted(nlist)
    loaded = Codec.load(codec)
    if vectors.suffix == ".qama":
        if keep is not None:
            raise ValueError(f"{vectors} holds codes, and --keep needs vectors: give the vectors")
        built = _of_codes(loaded, vectors, ids, {"dims": dims, "level": level, "nbytes": nbytes})
    else:
        built = Index(loaded, dims=dims, level=level, nbytes=nbytes, keep=keep)
        _fill(built, vectors, ids, wanted)
    lists = _chosen(len(built)) if isinstance(wanted, str) else wanted
    if lists is not None:
        built.partition(lists)
    built.save(output)
    say(f"{output}: {built!r}; as thermometer codes {built.code.nbytes} B each")


def _check_replaced(path: Path) -> None:
    """Refuse to write an index over a file that is none; an empty one holds nothing to lose.

    Raises:
        FileExistsError: it would be written over one.
    """
    if not path.exists() or not path.stat().st_size:
        return
    with contextlib.suppress(FormatError):
        if container.kind_of(path) in (base.KIND, partitions.KIND):
            return
    raise FileExistsError(
        f"--output is {path}, which is there already and is no index; give another name, or move "
        f"it away"
    )


def _wanted(nlist: str) -> int | str:
    """Return how many lists are asked for, or "auto".

    Raises:
        ValueError: neither.
    """
    if nlist == partitioning.AUTO:
        return nlist
    if not nlist.isdecimal() or not int(nlist):
        raise ValueError(f'--nlist is {nlist!r}; give a whole number >= 1, or "auto"')
    return int(nlist)


def _chosen(rows: int) -> int | None:
    """Return how many lists so many rows do well with; None where they are searched faster whole.

    That is then said.
    """
    lists = partitioning.lists_for(rows)
    if lists is None:
        say(f"no lists: fewer than {partitioning.LISTED_FROM:,} vectors are searched faster whole")
    return lists


def _of_codes(loaded: Codec, path: Path, ids: Path | None, asked: dict[str, Any]) -> Index:
    """Index a file of codes, refusing options that ask for another code than it holds."""
    opened = codefile.read(path, loaded)
    for name, value in asked.items():
        if value not in (None, opened.code.request.get(name)):
            raise ValueError(
                f"{path} holds codes of {opened.code.label}, and --{name} is {value}; leave "
                f"--{name} out, or give the vectors"
            )
    opened.contents.check_sections()
    built = Index(loaded, **opened.code.request)
    given = None if ids is None else sources.read_ids(ids)
    built.add_codes(opened.codes, given, compact=opened.compact)
    return built


def _fill(built: Index, vectors: Path, ids: Path | None, wanted: int | str | None) -> None:
    """Encode a file of vectors, of which so many lists are to be made."""
    X = matrix(sources.open_vectors(vectors), "the vectors", built.codec.dims_in)
    if isinstance(wanted, int):
        checks.integer(wanted, "--nlist", 1, len(X))
    given = None if ids is None else idmap.checked(sources.read_ids(ids), str(ids), len(X))
    with progress("indexing", len(X)) as update:
        for start in range(0, len(X), CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, len(X))
            part = finite(X[start:stop], "the vectors", start)
            built.add(part, None if given is None else given[start:stop])
            update(stop, "")


@command
def search(
    index: Annotated[Path, typer.Argument(help="An index that `qama index` wrote.")],
    queries: Annotated[Path, typer.Argument(help="Query vectors, in such a file as `fit` takes.")],
    k: Annotated[int, typer.Option("-k", help="Results per query.")] = 10,
    scorer: Annotated[str, typer.Option(help="asymmetric or hamming.")] = "asymmetric",
    funnel: Annotated[
        bool, typer.Option(help="Coarse to fine: scan a prefix of all codes, rescore the best.")
    ] = False,
    nprobe: Annotated[
        int | None, typer.Option(min=1, help="Inverted lists to read, of an index that has some.")
    ] = None,
    rescore: Annotated[
        int, typer.Option(min=0, help="Order so many best by the vectors that the index keeps.")
    ] = 0,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Print the nearest ids of each query: query, rank, id, score, separated by tabs."""
    opened = Index.open(index)
    Q = sources.open_vectors(queries)
    found = opened.search(
        Q, k, scorer=scorer, threads=threads, funnel=funnel, nprobe=nprobe, rescore=rescore
    )
    for number, (ids, scores) in enumerate(zip(found.ids, found.scores, strict=True)):
        if json:
            emit({"query": number, "ids": ids.tolist(), "scores": scores.tolist()})
            continue
        for rank, (key, score) in enumerate(zip(ids, scores, strict=True), start=1):
            typer.echo(f"{number}\t{rank}\t{key}\t{score:.6f}")
