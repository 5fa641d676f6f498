"""Raise an exception at every line of every change, go on, and see what memory and files hold.

    python tests/long/interrupts.py [--stride 1] [--twice 8] [--seed 0] [--nlist N] [--keep FORM]
        [--processes 1] [--kinds "save" "save over"]

A tracer raises KeyboardInterrupt, and in a second pass MemoryError, at the n-th line of qama that a
change runs, for n = 1, 2, 3 and so on until the change comes to its end; so for each kind of change
of each state of an index. Whoever made the change catches the exception and goes on in the
same process: memory must be as before or as after the change, further durable changes must be
acknowledged, and the files must hold what memory does. An index may also refuse to go on, with an
OSError that names its file; then it must be right once it is opened again. In the variant "twice"
a second exception follows some lines after the first: while the first is being cleaned up after.

Where a tracer raises as an exception leaves a with block, Python (3.11 to 3.13) forgets a reference
to that exception, and what its frames hold lives on. No other exception does that; so these frames
are cleared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from storage_cases import KINDS, Grounds, Trial, cases
from storage_model import WrongError
from system_calls import QAMA

ERRORS = (KeyboardInterrupt, MemoryError)
SOON = 25  # lines within which a second exception follows


class Interruption:
    """Raises at a line of qama, and again some lines later.

    Args:
        error: The class of the exceptions.
        line: Which line to run raises, counted from 1.
        later: So many lines after that, counted from the next call or return, raise again; None:
            none does.
    """

    def __init__(self, error, line, later=None):
        self._error, self._left, self._later = error, line, later
        self._raised = []
        self.places = []

    def __enter__(self):
        self._traced = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        sys.settrace(self._traced)
        while self._raised:
            clear_frames(self._raised.pop())

    def _called(self, frame, event, arg):
        return self._line if frame.f_code.co_filename.startswith(QAMA) else None

    def _line(self, frame, event, arg):
        if event == "line" and self._left > 0:
            self._left -= 1
            if self._left == 0:
                self._raise(frame)
        return self._line

    def _raise(self, frame):
        name = frame.f_code.co_filename.removeprefix(QAMA)
        self.places.append(f"{name}:{frame.f_lineno} {frame.f_code.co_name}")
        self._raised.append(self._error())
        if self._later is not None:
            sys.setprofile(self._again)  # Python ends the tracing when a tracer raises
        raise self._raised[-1]

    def _again(self, frame, event, arg):
        """Trace on, from the first call or return after the first exception."""
        sys.setprofile(None)
        self._left, self._later = self._later, None
        if self._left == 0:
            self._raise(frame)
        sys.settrace(self._called)
        while frame is not None:
            if frame.f_code.co_filename.startswith(QAMA):
                frame.f_trace = self._line
            frame = frame.f_back


def clear_frames(error):
    """Let go of what the frames hold that an exception came through, and those that it replaced."""
    while error is not None:
        traceback, error.__traceback__ = error.__traceback__, None
        while traceback is not None:
            frame, traceback = traceback.tb_frame, traceback.tb_next
            while frame is not None:
                with suppress(RuntimeError):  # it still runs
                    frame.clear()
                frame = frame.f_back
        error = error.__context__


@contextmanager
def quiet():
    """Leave warnings out, and exceptions that a finalizer cannot pass on."""
    kept, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = kept


def attempt(grounds, case, interruption, error):
    """Make the change of a case and interrupt it; returns what came of it, and details."""
    with grounds.folder(case) as folder:
        trial = Trial(grounds, case, folder)
        try:
            with interruption:
                trial.make()
        except error:
            pass
        except Exception as other:
            if not interruption.places:
                raise
            return f"wrong: {type(other).__name__} raised instead", other
        if not interruption.places:
            return "not hit", None
        try:
            return "refused to go on" if trial.judge() else "went on", None
        except WrongError as fault:
            return f"wrong: {fault.args[0]}", fault.args[1:]
        except Exception as other:
            return f"wrong: {type(other).__name__} afterwards", other


def points(stride, twice, dice):
    """Yield (error, function from n to an interruption) for all that is to be tried of a case."""
    for error in ERRORS:
        yield error, dice.randrange(stride), stride, lambda n, e=error: Interruption(e, n)
    for _ in range(twice):
        later = lambda n: Interruption(KeyboardInterrupt, n, dice.randrange(SOON))  # noqa: E731
        yield KeyboardInterrupt, dice.randrange(stride * 8), stride * 8, later


def run(stride, twice, seed, processes=1, kinds=(), **options):
    """Interrupt changes; returns counts. "wrong" counts where memory or files were not right."""
    counts, first = Counter(points=0, wrong=0), {}
    with quiet(), tempfile.TemporaryDirectory(dir=memory_folder()) as root:
        grounds = Grounds(Path(root), **options)
        one = partial(_tried, grounds, stride, twice, seed)
        chosen = [case for case in cases() if not kinds or case.kind in kinds]
        if processes == 1:
            found = map(one, chosen)
        else:
            found = ProcessPoolExecutor(processes).map(one, chosen)
        for number, (some, told) in enumerate(found, 1):
            counts.update(some)
            first = told | first
            if processes > 1:
                print(f"{number} cases, {counts['points']} points", file=sys.stderr, flush=True)
    for told in first.values():
        print(told, file=sys.stderr)
    return dict(sorted(counts.items()))


def _tried(grounds, stride, twice, seed, case):
    """Interrupt the change of one case; returns counts, and the first fault of each kind."""
    counts, first = Counter(), {}
    for error, start, step, interruption in points(stride, twice, random.Random(f"{seed} {case}")):
        line, came = 1 + start, None
        while came != "not hit":
            made = interruption(line)
            came, details = attempt(grounds, case, made, error)
            counts["points"] += bool(made.places)
            counts["points hit twice"] += len(made.places) > 1
            counts[came] += 1
            if "wrong" in came:
                counts["wrong"] += 1
                told = f"{came}, {error.__name__} in {case}"
                first.setdefault(told, f"{told}, line {line}: {made.places} {details!r}")
            line += step
    return counts, first


def memory_folder():
    """A folder in memory, where the system has one."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--twice", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nlist", type=int, help="inverted lists of the indexes")
    parser.add_argument("--kinds", nargs="*", default=(), choices=KINDS, help="of changes")
    parser.add_argument("--keep", help="form in which the indexes keep vectors")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    asked = given.stride, given.twice, given.seed, given.processes
    options = {"kinds": given.kinds, "nlist": given.nlist, "keep": given.keep}
    print(json.dumps(run(*asked, **options), indent=1))
