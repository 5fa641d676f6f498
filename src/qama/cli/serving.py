"""qama serve, mcp."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from qama.cli import options
from qama.console import command
from qama.documents import Documents


@command
def serve(
    paths: Annotated[
        list[str],
        typer.Argument(help="[NAME=]PATH of folders of documents, and of index files."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    write: Annotated[bool, typer.Option("--write", help="Let clients change documents.")] = False,
    embed: options.Embed = None,
    model: options.Model = None,
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
        collections = served.all_opened(paths, write=write, embed=options.embedder(embed, model))
        for each in collections:
            stack.callback(each.close)
        run.serve(
            collections, host=host, port=port, keys=accepted, limits=limits, origins=origin or ()
        )


@command
def mcp(
    folder: Annotated[Path, typer.Argument(help="A folder of documents.")],
    embed: options.Embed = None,
    model: options.Model = None,
) -> None:
    """Let models search a folder of documents: an MCP server over stdin and stdout.

    Needs the extra "mcp". Nothing is changed.
    """
    from qama.integrations.mcp import server

    with Documents.open(folder, embed=options.embedder(embed, model)) as documents:
        server(documents).run("stdio")
