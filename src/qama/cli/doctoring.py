"""qama doctor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qama.cli import options
from qama.console import command, emit, tell

UNWELL = 1  # the exit code where something does not work

_SIGNS = {"fine": "ok", "warning": "note", "problem": "wrong"}


@command
def doctor(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of qama, folders of documents (default: those found here)."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Of the self-test.")] = 2.0,
    json: options.Json = False,
) -> None:
    """Is all well? Versions, kernels and a self-test of them, threads, files; and what to do.

    Exits with 1 where something does not work.
    """
    from qama.machine import health

    found = []
    for finding in health.examined(paths or [], seconds):
        found.append(finding)
        if not json:
            tell(f"{_SIGNS[finding.state]:>5}  {finding.subject}: {finding.said}")
            if finding.remedy:
                tell(f"       {'':<2}do: {finding.remedy}")
    well = all(finding.state != "problem" for finding in found)
    if json:
        emit({"well": well, "findings": [asdict(finding) for finding in found]})
    if not well:
        raise typer.Exit(UNWELL)
