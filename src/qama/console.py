"""How the command line talks: stderr for people, stdout for data, one sentence per error.

Names, paths and facts come from files of strangers. Every string that reaches a terminal passes
`shown`, and none of them is read as markup. JSON is exact instead: it escapes what is not ASCII.
"""

from __future__ import annotations

import functools
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from qama import checks

if TYPE_CHECKING:
    from qama.recipe import Report


class Plain(Console):
    """A console that shows each string, those in tables too, as what it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string to be printed: rich asks for this wherever it meets one."""
        return super().render_str(shown(text), **options | {"markup": False, "emoji": False})


talk = Plain(stderr=True)
data = Plain()
wide = Plain(width=max(data.width, 150))  # tables of many columns keep every figure

BAD_INPUT = 2  # the exit code of everything a user can mend
FAULT = 1  # the exit code of a defect in qama, which Python gives it too
UNREAD = 1  # the exit code where stdout was closed early (`| head`), as of Python, Click and rich

P = ParamSpec("P")
R = TypeVar("R")


def shown(text: str) -> str:
    r"""Return a text as it may be printed: escapes for what a terminal would act on or hide.

    These are the characters that `repr` escapes too: control characters (``\x1b``, ``\n``),
    bidirectional and other invisible ones (``\u202e``), and lone surrogates (``\udce9``), as bytes
    of a file name that are no UTF-8 become.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn what qama refuses into one sentence on stderr and exit code 2, and show warnings."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if isinstance(sys.stdout, io.TextIOWrapper):  # of an encoding that lacks a letter
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with _warnings_said():
                return function(*args, **kwargs)
        except BrokenPipeError:
            _drop_stdout()
            raise typer.Exit(UNREAD) from None
        except (ValueError, OSError, ImportError) as error:
            talk.print("error:", style="bold red", end=" ")
            say(str(error))
            raise typer.Exit(BAD_INPUT) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            for line in "".join(traceback.format_tb(error.__traceback__)).splitlines():
                say(line)
            say(f"{type(error).__name__}: {error}")
            raise typer.Exit(FAULT) from None

    return guarded


@contextmanager
def _warnings_said() -> Iterator[None]:
    """Show warnings as one sentence each."""

    def show(message: Warning | str, *_: object) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _drop_stdout() -> None:
    """Let what is still buffered go nowhere, or Python would complain about it at its end."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def check_output(path: Path, *inputs: Path | None, option: str = "--output") -> None:
    """Refuse, before any long work, a file that could not be written after it, or may not be.

    Raises:
        ValueError: the folder does not exist, or the path is a folder, a pipe or device, or one of
            the inputs.
    """
    checks.file_to_write(path, option)
    if path.exists() and any(given and given.exists() and given.samefile(path) for given in inputs):
        raise ValueError(f"{option} is {path}, which is an input too; give another name")


def say(message: str) -> None:
    """Tell a person something on stderr."""
    talk.print(message, soft_wrap=True)


def tell(line: str) -> None:
    """Write one line of data to stdout."""
    data.print(line, soft_wrap=True)


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
            update(report.step, f"{report.codes} codes  {found}{losses}", report.steps)

        yield callback


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show a progress bar on stderr; the yielded function takes how far, a note, a new total."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=talk) as bar:
        task = bar.add_task(shown(title), total=total, note="")

        def update(done: int, note: str = "", of: int | None = None) -> None:
            bar.update(
                task, completed=done, note=shown(note), total=of if of is not None else total
            )

        try:
            yield update
        except Exception:  # an error stands alone; Ctrl-C leaves how far it came
            bar.remove_task(task)
            raise
