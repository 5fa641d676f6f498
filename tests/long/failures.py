"""Let every call of the system that a change makes fail, go on, and see what memory and files hold.

    python tests/long/failures.py [--stride 1] [--ways 16] [--seed 0] [--nlist N] [--keep FORM]

The n-th call that qama makes while it opens, changes, saves or closes an index raises OSError, for
n = 1, 2, 3 and so on until nothing is left to fail; with each of several error numbers, once, and
for all further calls of that name until the change has returned. A write may also write a part of
its bytes first, a sync may lose what it could not write, and a close that fails has closed. Then
whoever made the change goes on: memory must be as before or as after it, what is acknowledged must
be found by who opens the files next, and what is refused must be refused by an OSError that names
the file (whether the first error did so is only counted). No descriptor stays open, and no
temporary file is left once the next writer was there.
"""

from __future__ import annotations

import argparse
import errno
import gc
import json
import os
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from interrupts import memory_folder, quiet
from storage_cases import STATES, Case, Grounds, Trial, cases
from storage_model import WrongError
from system_calls import intercepted

from qama import Index

NUMBERS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.ENOMEM, errno.EMFILE)
BY_PATH = {"open", "stat", "lstat", "readlink", "replace", "rename", "unlink", "listdir", "scandir"}


@dataclass(frozen=True)
class Way:
    """How calls fail.

    Attributes:
        number: The number of the error.
        lasting: Whether calls of the same name go on to fail.
        special: None, "part" (a write writes half of its bytes first) or "lost" (a sync that fails
            loses what was written since the last one).
    """

    number: int
    lasting: bool = False
    special: str | None = None

    def __str__(self):
        more = (" lasting" * self.lasting) + (f" {self.special}" if self.special else "")
        return errno.errorcode[self.number] + more


WAYS = (
    *(Way(number, lasting) for number in NUMBERS for lasting in (False, True)),
    *(Way(number, lasting, "part") for number in NUMBERS[:2] for lasting in (False, True)),
    *(Way(errno.EIO, lasting, "lost") for lasting in (False, True)),
)
WELL = ("went on", "refused to go on")
SPECIAL = {"part": "write", "lost": "fsync"}  # the call that each is for


class Failing:
    """Answers the calls of the system; one of them fails.

    Args:
        at: Which call fails, counted from 1.
        way: How.
    """

    def __init__(self, at, way):
        self._left, self.way = at, way
        self.failed = None  # name of the call
        self._synced = {}  # bytes by device and inode

    def __call__(self, name, real, args, kwargs):
        self._left -= 1
        if self._left == 0 or (self.failed == name and self.way.lasting and self._left < 0):
            self.failed = name
            return self._fail(name, real, args)
        if name == "open":
            return self._opened(real(*args, **kwargs))
        done = real(*args, **kwargs)
        if name in ("fsync", "ftruncate"):
            self._opened(args[0])
        return done

    def _opened(self, descriptor):
        about = os.fstat(descriptor)
        self._synced[about.st_dev, about.st_ino] = about.st_size
        return descriptor

    def _fail(self, name, real, args):
        if name == "close":
            real(*args)
        if name == "write" and self.way.special == "part":
            real(args[0], memoryview(args[1]).cast("B")[: len(memoryview(args[1]).cast("B")) // 2])
        if name == "fsync" and self.way.special == "lost":
            self._lose(args[0])
        names = [os.fspath(args[0])] if name in BY_PATH and not isinstance(args[0], int) else []
        raise OSError(self.way.number, os.strerror(self.way.number), *names)

    def _lose(self, descriptor):
        """Put zeros in place of what was not synced: its pages were dropped."""
        about = os.fstat(descriptor)
        kept = self._synced.get((about.st_dev, about.st_ino), about.st_size)
        if os.path.isfile(f"/proc/self/fd/{descriptor}") and kept < about.st_size:
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY)
            os.pwrite(again, bytes(about.st_size - kept), kept)
            os.close(again)


def descriptors():
    """How many are open in this process; more may be held by what is not collected yet."""
    return len(os.listdir("/proc/self/fd"))


class Opening(Trial):
    """A trial whose change is to open the index."""

    def make(self):
        """Open the index once more, and read from it."""
        index = Index.open(self.path, mode="a", verify=True)
        self.returned = len(index) == len(self.before.rows)
        index.close()


def attempt(grounds, case, failing):
    """Make the change of a case while a call fails; returns what came of it, and details."""
    before = descriptors()
    came = _attempt(grounds, case, failing)
    if descriptors() > before:
        gc.collect()
    if descriptors() > before and "wrong" not in came[0]:
        return "wrong: a descriptor stays open", None
    return came


def _attempt(grounds, case, failing):
    with grounds.folder(case) as folder:
        trial = (Opening if case.kind == "open" else Trial)(grounds, case, folder)
        error = None  # its words: an error holds frames, and these hold files open
        try:
            with intercepted(failing):
                trial.make()
        except OSError as raised:
            error = str(raised)
        except Exception as other:
            if not failing.failed:
                raise
            return f"wrong: {type(other).__name__} raised", repr(other)
        if not failing.failed:
            return "not failed", None
        try:
            refused = trial.judge(lossy=failing.way.special == "lost")
            nameless = error is not None and str(folder) not in error
            return ("refused to go on" if refused else "went on"), error if nameless else None
        except WrongError as fault:
            return f"wrong: {fault.args[0]}", (error, *fault.args[1:])
        except Exception as other:
            return f"wrong: {type(other).__name__} afterwards", (error, repr(other))


def all_cases():
    """The cases with files, and opening."""
    yield from (case for case in cases() if case.turn != "memory" and case.state != "tail")
    yield from (Case(state, "open", "first") for state in STATES if state != "tail")


def run(stride, ways, seed, **options):
    """Let calls fail; returns counts. "wrong" counts where memory or files were not right."""
    counts, first, dice = Counter(failures=0, wrong=0), {}, random.Random(seed)
    counts["errors that name no file"] = 0
    with quiet(), tempfile.TemporaryDirectory(dir=memory_folder()) as root:
        grounds = Grounds(Path(root), **options)
        for case in all_cases():
            for way in dice.sample(WAYS, ways):
                at, came = 1 + dice.randrange(stride), None
                while came != "not failed":
                    failing = Failing(at, way)
                    came, details = attempt(grounds, case, failing)
                    if failing.failed and way.special not in (None, _special(failing.failed)):
                        came = "as without"
                    else:
                        counts["failures"] += bool(failing.failed)
                        counts[came] += 1
                        counts["errors that name no file"] += came in WELL and details is not None
                    if "wrong" in came:
                        counts["wrong"] += 1
                        told = f"{came}: {failing.failed} {way} in {case}"
                        first.setdefault(told, f"{told}, call {at}: {details!r}")
                    at += stride
    for told in first.values():
        print(told, file=sys.stderr)
    return dict(sorted(counts.items()))


def _special(name):
    return next((special for special, call in SPECIAL.items() if call == name), None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--ways", type=int, default=len(WAYS), help="drawn for each change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nlist", type=int, help="inverted lists of the indexes")
    parser.add_argument("--keep", help="form in which the indexes keep vectors")
    given = parser.parse_args()
    options = {"nlist": given.nlist, "keep": given.keep}
    print(json.dumps(run(given.stride, given.ways, given.seed, **options), indent=1))
