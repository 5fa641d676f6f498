"""qama serve, mcp."""

from __future__ import annotations

import importlib
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from qama.console import command
from qama.documents import Documents

Embed = Annotated[
    str | None,
    typer.Option(
        help="MODULE:NAME of a function from texts to vectors, or of an object with encode."
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Instead: a sentence-transformers model that embeds the texts.")
]


def _embedder(embed: str | None, model: str | None) -> object:
    """Return what makes vectors of texts, if anything was named.

    Raises:
        ValueError: both were, or there is no such thing.
        ImportError: the module or sentence-transformers cannot be imported.
    """
    if embed is not None and model is not None:
        raise ValueError("--embed excludes --model; give one of them")
    if model is not None:
        from qama.evaluation.embed import load

        return load(model)
    if embed is None:
        return None
    module, _, name = embed.partition(":")
    if not module or not name:
        raise ValueError(f"--embed is {embed!r}; give MODULE:NAME, such as my_models:embed")
    found = getattr(importlib.import_module(module), name, None)
    if found is None:
        raise ValueError(f"--embed is {embed!r}, but {module} has no {name!r}")
    return found


@command
def serve(
    paths: Annotated[
        list[str],
        typer.Argument(help="[NAME=]PATH of folders of documents, and of index files."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    write: Annotated[bool, typer.Option("--write", help="Let clients change documents.")] = False,
    embed: Embed = None,
    model: Model = None,
    key_file: Annotated[
        Path | None, typer.Option(help="API keys, one a line; or set QAMA_API_KEY.")
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="Web pages of this origin may ask.")
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, help="MiB of a request.")] = 16,
    max_rows: Annotated[int, typer.Option(min=1, help="Queries or documents of a request.")] = 1000,
    max_k: Annotated[int, typer.Option("--max-k", min=1, help="Results of a query.")] = 1000,
    max_requests: Annotated[int, typer.Option(min=1, help="At work at the same time.")] = 256,
    max_seconds: Annotated[int, typer.Option(min=1, help="Of a request.")] = 30,
    wait_ms: Annotated[
        float, typer.Option(min=0, max=2, help="That a query waits for others to join it.")
    ] = 2.0,
) -> None:
    """Serve documents and indexes over HTTP: search, changes, OpenAI-compatible embeddings.

    Needs the extra "serve". Beyond localhost an API key is required.
    """
    from qama.server import keys, run, served
    from qama.server.limits import Limits

    limits = Limits(
        body=max_body * 2**20, rows=max_rows, k=max_k, requests=max_requests,
        seconds=max_seconds, wait_ms=wait_ms,
    )  # fmt: skip
    accepted = keys.Keys.read(key_file, os.environ)
    keys.check(host, accepted)
    with ExitStack() as stack:
        collections = served.all_opened(paths, write=write, embed=_embedder(embed, model))
        for each in collections:
            stack.callback(each.close)
        run.serve(
            collections, host=host, port=port, keys=accepted, limits=limits, origins=origin or ()
        )


@command
def mcp(
    folder: Annotated[Path, typer.Argument(help="A folder of documents.")],
    embed: Embed = None,
    model: Model = None,
) -> None:
    """Let models search a folder of documents: an MCP server over stdin and stdout.

    Needs the extra "mcp". Nothing is changed.
    """
    from qama.integrations.mcp import server

    with Documents.open(folder, embed=_embedder(embed, model)) as documents:
        server(documents).run("stdio")
