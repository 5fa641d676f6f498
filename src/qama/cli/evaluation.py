"""qama eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qama import sources
from qama.cli import options
from qama.codec import Codec
from qama.console import check_output, command, emit, fit_progress, progress, say, wide


@command
def evaluate(
    folders: Annotated[
        list[str], typer.Argument(help="BEIR-format folders, or names of MTEB retrieval tasks.")
    ],
    embeddings: Annotated[
        Path | None,
        typer.Option(help="Folder of <name>.docs.npy and <name>.queries.npy, in line order."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A sentence-transformers model that embeds the texts.")
    ] = None,
    codec: Annotated[
        Path | None, typer.Option(help="A fitted codec (default: fit on each corpus).")
    ] = None,
    preset: Annotated[str, typer.Option(help="Recipe of the fit: default or paper.")] = "default",
    split: Annotated[str, typer.Option(help="Judgements: qrels/<split>.tsv.")] = "test",
    baselines: Annotated[bool, typer.Option(help="Judge the baselines too.")] = True,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all records as JSON here.")
    ] = None,
    seed: options.Seed = 0,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Judge codes and baselines: nDCG@10, recall, MRR, bytes, retention of float32."""
    from qama.evaluation import provenance
    from qama.evaluation.report import rich_table
    from qama.evaluation.study import macro

    if output is not None:
        check_output(output, codec, *_files_read(folders, split, embeddings))
    _check_names(folders)
    loaded = None if codec is None else Codec.load(codec)
    results: dict[str, list[Any]] = {}
    as_json: dict[str, list[dict[str, Any]]] = {}
    for folder in folders:
        if not Path(folder).exists():
            _mteb(folder, model, loaded, threads)
            continue
        name, docs, queries, collection = _collection(folder, split, embeddings, model)
        chosen = loaded if loaded is not None else _fit(docs, name, preset, seed, threads)
        results[name] = _judge(chosen, docs, queries, collection, baselines, seed, threads)
        as_json[name] = [record.to_json() for record in results[name]]
        if output is not None:  # after each collection: a long run that is cut keeps what it has
            provenance.write(output, as_json, seed, preset=preset)
        if not json:
            wide.print(rich_table(results[name], name))
    if len(results) > 1 and not json:
        wide.print(rich_table(macro(results), f"mean of {len(results)} collections"))
    if json:
        emit(as_json)
    if output is not None:
        say(f"{output}: {sum(map(len, results.values()))} records")


def _files_read(folders: list[str], split: str, embeddings: Path | None) -> list[Path]:
    """Return the files of the collections, of which the output may be none."""
    paths = [Path(folder) for folder in folders]
    read = [path / name for path in paths for name in ("corpus.jsonl", "queries.jsonl")]
    read += [path / "qrels" / f"{split}.tsv" for path in paths]
    if embeddings is not None:
        names = [path.resolve().name for path in paths]
        read += [
            embeddings / f"{name}.{kind}.npy" for name in names for kind in ("docs", "queries")
        ]
    return read


def _check_names(folders: list[str]) -> None:
    """Refuse folders that a report could not tell apart."""
    names = [Path(folder).resolve().name for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{names.count(name)} of the folders are named {name!r}, which is their name in "
                f"the report; rename one, or judge them apart"
            )


def _mteb(task: str, model: str | None, codec: Codec | None, threads: int) -> None:
    from qama.integrations.mteb import run

    if model is None or codec is None:
        raise ValueError(
            f"{task!r} is no folder; to run it as an MTEB task give --model NAME and --codec FILE"
        )
    (result,) = run(model, task, codec, threads=threads).task_results
    emit({"task": task, "ndcg_at_10": float(result.get_score())})


def _collection(folder: str, split: str, embeddings: Path | None, model: str | None) -> Any:
    from qama.evaluation.beir import load_collection
    from qama.evaluation.embed import embed

    path = Path(folder)
    collection = load_collection(path, split)
    if embeddings is not None:
        docs = sources.open_vectors(embeddings / f"{collection.name}.docs.npy")
        queries = sources.open_vectors(embeddings / f"{collection.name}.queries.npy")
        return collection.name, docs, queries, collection
    if model is None:
        raise ValueError("give --embeddings FOLDER with cached vectors, or --model NAME to embed")
    say(f"embedding {len(collection.doc_texts)} documents of {collection.name} with {model}")
    docs, queries = (embed(t, model) for t in (collection.doc_texts, collection.query_texts))
    return collection.name, docs, queries, collection


def _fit(docs: Any, name: str, preset: str, seed: int, threads: int) -> Codec:
    import qama

    with fit_progress(f"fitting on {name}") as callback:
        codes = "all" if preset == "default" else None
        return qama.fit(
            docs, preset=preset, seed=seed, codes=codes, threads=threads, callbacks=[callback]
        )


def _judge(
    codec: Codec, docs: Any, queries: Any, collection: Any, baselines: bool, seed: int, threads: int
) -> list[Any]:
    from qama.evaluation.runner import evaluate as run

    with progress(f"judging {collection.name}", None) as update:
        seen: list[Any] = []

        def note(record: Any) -> None:
            seen.append(record)
            update(len(seen), f"{record.method} {record.dims} {record.level}")

        return run(
            codec, docs, queries, collection,
            baselines=baselines, seed=seed, threads=threads, progress=note,
        )  # fmt: skip
