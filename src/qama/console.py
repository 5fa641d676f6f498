"""How the command line talks: stderr for people, stdout for data, one sentence per error.

Names, paths and facts come from files of strangers. Every string that reaches a terminal passes
`shown`, and none of them is read as markup. JSON is exact instead: it escapes what is not ASCII.
"""

from __future__ import annotations

import functools
import inspect
import io
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from qama import checks
from qama.pace import Pace
from qama.progress import TITLES
from qama.shown import shown as shown

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
_alarm = Plain(stderr=True)  # what --quiet does not silence
data = Plain()
wide = Plain(width=max(data.width, 150))  # tables of many columns keep every figure

BAD_INPUT = 2  # the exit code of everything a user can mend
FAULT = 1  # the exit code of a defect in qama, which Python gives it too
LINE_EVERY = 10.0  # seconds between lines that say how far it is, where a bar cannot move

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]

UNREAD = 1  # the exit code where stdout was closed early (`| head`), as of Python, Click and rich

P = ParamSpec("P")
R = TypeVar("R")


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn what qama refuses into one sentence on stderr and exit code 2, and show warnings.

    The command gets the option --quiet.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        talk.quiet = bool(kwargs.pop("quiet", False))
        if isinstance(sys.stdout, io.TextIOWrapper):  # of an encoding that lacks a letter
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with _warnings_said():
                return function(*args, **kwargs)
        except BrokenPipeError:
            _drop_stdout()
            raise typer.Exit(UNREAD) from None
        except (ValueError, OSError, ImportError) as error:
            _alarm.print("error:", style="bold red", end=" ")
            alarm(_sentence(error))
            raise typer.Exit(BAD_INPUT) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            for line in "".join(traceback.format_tb(error.__traceback__)).splitlines():
                alarm(line)
            alarm(f"{type(error).__name__}: {error}")
            raise typer.Exit(FAULT) from None
        finally:
            talk.quiet = False

    return _with_quiet(guarded)


def _with_quiet(guarded: Callable[P, R]) -> Callable[P, R]:
    """Declare --quiet, which `guarded` takes, where typer reads the options of a command."""
    signature, hints = inspect.signature(guarded), get_type_hints(guarded, include_extras=True)
    known = [part.replace(annotation=hints[name]) for name, part in signature.parameters.items()]
    kind = inspect.Parameter.KEYWORD_ONLY
    option = inspect.Parameter("quiet", kind, default=False, annotation=Quiet)
    declared: Any = guarded
    declared.__signature__ = signature.replace(parameters=[*known, option])
    declared.__annotations__ = hints | {"quiet": Quiet}
    return guarded


def _sentence(error: Exception) -> str:
    """Return what an error says, of the system's own words what a reader can use."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        names = (error.filename, error.filename2)
        files = " -> ".join(os.fsdecode(name) for name in names if name is not None)
        advice = "; check the name" if isinstance(error, FileNotFoundError) else ""
        return f"{files}: {error.strerror}{advice}"
    return str(error) or type(error).__name__


@contextmanager
def _warnings_said() -> Iterator[None]:
    """Show warnings as one sentence each."""

    def show(message: Warning | str, *_: object) -> None:
        alarm(f"warning: {message}")

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


def alarm(message: str) -> None:
    """Tell a person what --quiet must not hide."""
    _alarm.print(message, soft_wrap=True)


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
            update(report.step, f"{TITLES[report.codes]}  {found}{losses}", report.steps)

        yield callback


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show on stderr how far something is, at which rate, and how long it will take.

    In a terminal that is a bar; where stderr is a file or a pipe, a line every ten seconds. The
    yielded function takes how far, a note, a new total.
    """
    shows = _bar if talk.is_terminal else _lines
    with shows(shown(title), total) as update:
        yield update


def _pace(total: int | None) -> Pace:
    pace = Pace(total)
    pace.reach(0, time.monotonic())
    return pace


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[far]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    pace = _pace(total)
    with Progress(*columns, console=talk) as bar:
        task = bar.add_task(title, total=total, far=str(pace), note="")

        def update(done: int, note: str = "", of: int | None = None) -> None:
            pace.reach(done, time.monotonic(), of)
            bar.update(task, completed=done, total=pace.total, far=str(pace), note=shown(note))

        try:
            yield update
        except Exception:  # an error stands alone; Ctrl-C leaves how far it came
            bar.remove_task(task)
            raise


@contextmanager
def _lines(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Say how far it is every ten seconds, and once more at the end."""
    pace, began = _pace(total), time.monotonic()
    told, last = began, ""

    def update(done: int, note: str = "", of: int | None = None) -> None:
        nonlocal told, last
        now = time.monotonic()
        pace.reach(done, now, of)
        last = f"{title}: {pace}  {shown(note)}".rstrip()
        if now - told >= LINE_EVERY:
            told = now
            talk.print(last, soft_wrap=True)

    yield update
    if last:
        talk.print(f"{last}  ({time.monotonic() - began:.1f} s)", soft_wrap=True)
