"""How the command line talks: stderr for people, stdout for data, one sentence per error."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from qama import checks

if TYPE_CHECKING:
    from qama.recipe import Report

talk = Console(stderr=True)
data = Console()
wide = Console(width=max(data.width, 150))  # tables of many columns keep every figure

BAD_INPUT = 2  # the exit code of everything a user can mend
UNREAD = 1  # the exit code where stdout was closed early (`| head`), as of Python, Click and rich

P = ParamSpec("P")
R = TypeVar("R")


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn what qama refuses into one sentence on stderr and exit code 2."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BrokenPipeError:
            _drop_stdout()
            raise typer.Exit(UNREAD) from None
        except (ValueError, OSError, ImportError) as error:
            talk.print("[bold red]error:[/]", end=" ")
            talk.print(str(error), markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(BAD_INPUT) from None

    return guarded


def _drop_stdout() -> None:
    """Let what is still buffered go nowhere, or Python would complain about it at its end."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def check_output(path: Path, *inputs: Path | None) -> None:
    """Refuse, before any long work, a file that could not be written after it, or may not be.

    Raises:
        ValueError: the folder does not exist, or the path is a folder, a pipe or device, or one of
            the inputs.
    """
    checks.file_to_write(path, "--output")
    if path.exists() and any(given and given.exists() and given.samefile(path) for given in inputs):
        raise ValueError(f"--output is {path}, which is an input too; give another name")


def say(message: str) -> None:
    """Tell a person something on stderr."""
    talk.print(message, markup=False, highlight=False, soft_wrap=True)


def emit(value: Any) -> None:
    """Write one JSON value to stdout."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()  # here, where a closed pipe is no error


@contextmanager
def fit_progress(title: str) -> Iterator[Callable[[Report], None]]:
    """Show how far a fit is, with its itemised losses; yields the callback for `qama.fit`."""
    with progress(title, None) as update:

        def callback(report: Report) -> None:
            losses = " ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
            found = "" if report.agreement is None else f"agreement {report.agreement:.3f}  "
            update(report.step, f"{report.stage} codes  {found}{losses}", report.steps)

        yield callback


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show a progress bar on stderr; the yielded function takes how far, a note, a new total."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=talk) as bar:
        task = bar.add_task(title, total=total, note="")

        def update(done: int, note: str = "", of: int | None = None) -> None:
            bar.update(task, completed=done, note=note, total=of if of is not None else total)

        try:
            yield update
        except Exception:  # an error stands alone; Ctrl-C leaves how far it came
            bar.remove_task(task)
            raise
