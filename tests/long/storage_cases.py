"""States of an index and changes to each: what is disturbed, and how it must go on afterwards."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage_model import POOL, Change, Model, WrongError, fresh, held_of, mixed, places

from qama import Index
from qama.search.storage.lock import Lock
from qama.search.storage.verify import verify

STATES = ("empty", "rows", "ids", "deleted", "torn", "tail")
KINDS = (
    "add", "add durable", "add ids", "upsert", "delete", "delete durable", "compact", "flush",
    "save", "save over", "close",
)  # fmt: skip
IN_MEMORY = ("add", "add ids", "upsert", "delete", "compact")
FEW = ("add", "add ids", "upsert", "compact")  # of the states that cost more
NEXT = (
    Change("add", None, (3, 1, 4), True),
    Change("upsert", (1, 10**6), (5, 9), True),
)


@dataclass(frozen=True)
class Case:
    """What is changed, and how.

    Attributes:
        state: One of STATES.
        kind: One of KINDS.
        turn: "first" change of an opened index, "later" one, or "memory": of an index without file.
    """

    state: str
    kind: str
    turn: str

    def __str__(self):
        return f"{self.turn} {self.kind} of {self.state}"


def cases():
    """All of them."""
    for state in STATES:
        turns = ("first",) if state == "torn" else ("first", "later")
        kinds = KINDS if state != "tail" else FEW
        yield from (Case(state, kind, turn) for turn in turns for kind in kinds)
        if state != "torn":
            yield from (Case(state, kind, "memory") for kind in IN_MEMORY if kind in kinds)


class Grounds:
    """Folders with the files of each state, to be copied for every trial.

    Args:
        root: An empty folder.
        options: Of `fresh`, for each index.
    """

    def __init__(self, root, **options):
        self._root, self._options = root, options
        self._dice = random.Random(5)
        self.models = {state: self._build(state) for state in STATES}
        self.old = Change("add", None, (1, 2, 3)).after(Model())
        self.judged = set()  # files that were judged, see Trial

    def fresh(self):
        """An index without vectors."""
        return fresh(**self._options)

    def change(self, case, model):
        """The change that a case makes to an index that holds the model."""
        dice, word = random.Random(11), case.kind.split()[0]
        durable = case.kind.endswith("durable")
        if case.kind == "add ids":
            ids = tuple(dice.sample(range(model.following, model.following + 500), 70))
            return Change("add", ids, places(dice, 70))
        if word == "add":
            return Change("add", None, places(dice, 70), durable)
        if word == "upsert":
            return Change("upsert", mixed(dice, model, 30), places(dice, 30))
        if word == "delete":
            held = list(model.rows)
            return Change("delete", tuple(dice.sample(held, min(9, len(held)))), (), durable)
        return Change(word)

    @contextmanager
    def folder(self, case):
        """A fresh copy of the files of a case."""
        with tempfile.TemporaryDirectory(dir=self._root) as name:
            for file in os.listdir(self._root / case.state):
                if case.kind == "save over" or not file.startswith(("copy", ".copy")):
                    shutil.copy(self._root / case.state / file, name)
            yield Path(name)

    def _build(self, state):
        folder = self._root / state
        folder.mkdir()
        model, index = Model(), self.fresh()
        stored, logged = self._contents(state)
        for change in stored:
            change.make(index)
            model = change.after(model)
        index.save(folder / "index")
        self._save_old(folder / "copy")
        with Index.open(folder / "index", mode="a") as opened:
            for change in logged:
                change.make(opened)
                model = change.after(model)
            if state == "torn":
                before = {file: file.stat().st_size for file in folder.iterdir()}
                Change("add", None, (1, 2, 3)).make(opened)
                grown = [file for file in before if file.stat().st_size > before[file]]
        if state == "torn":
            (log,) = grown
            os.truncate(log, before[log] + 10)
        return model

    def _save_old(self, path):
        index = self.fresh()
        index.add(POOL[[1, 2]])
        index.save(path)
        with Index.open(path, mode="a") as opened:
            opened.add(POOL[[3]])

    def _contents(self, state):
        """The changes that are in the base of a state, and those in its log."""
        dice = self._dice
        if state == "empty":
            return [], []
        if state == "rows":
            return [Change("add", None, places(dice, 100))], []
        if state == "tail":
            ids = tuple(dice.sample(range(9000), 4060))
            return [Change("add", (5, 3, 9), places(dice, 3))], [
                Change("upsert", ids, places(dice, 4060))
            ]
        ids = tuple(dice.sample(range(500), 70))
        stored = [Change("add", ids, places(dice, 70))]
        if state == "deleted":
            stored.append(Change("delete", ids[20:30]))
        logged = [
            Change("add", None, places(dice, 5)),
            Change("upsert", (*ids[:5], 900, 800), places(dice, 7)),
        ]
        if state == "deleted":
            logged.append(Change("delete", (*ids[:2], *ids[40:50], 501)))
        return stored, logged


class Trial:
    """One change of a fresh copy of a case's files, disturbed or not.

    Args:
        grounds: The files.
        case: Which of them, and the change.
        folder: The copy.
    """

    def __init__(self, grounds, case, folder):
        self.path, self.copy = folder / "index", folder / "copy"
        self._case, self._judged = case, grounds.judged
        self.stored = grounds.models[case.state]
        self.old = grounds.old if case.kind == "save over" else None
        if case.turn == "memory":
            self.index = grounds.fresh()
            fill = Change("add", tuple(self.stored.rows), tuple(self.stored.rows.values()))
            following = max((key + 1 for key in self.stored.rows), default=0)
            self.stored = Model(self.stored.rows, following)
            if self.stored.rows:
                fill.make(self.index)
            self.path.unlink()
        else:
            self.index = Index.open(self.path, mode="a")
        self.before = self.stored
        if case.turn == "later":
            self._next(Change("add", None, (7,)))
        self.change = grounds.change(case, self.before)
        self.after = self.change.after(self.before)
        self.returned = False

    def _next(self, change):
        change.make(self.index)
        self.before = change.after(self.before)

    def make(self):
        """Make the change; `returned` says then that it was acknowledged."""
        self.change.make(self.index, self.copy)
        self.returned = True

    def judge(self, lossy=False):
        """Go on and see whether memory and files are as they must be.

        Args:
            lossy: The disk lost what was not synced.

        Returns:
            Whether the index refused to go on, and had to be opened again.

        Raises:
            WrongError: it is not so.
        """
        try:
            if self.path.exists():
                return self._judge_files(lossy)
            self._judge_memory()
            return False
        finally:
            self.index = None

    def _held(self, what="memory"):
        models = [self.after] if self.returned else [self.before, self.after]
        return held_of(self.index, models, what)

    def _judge_memory(self):
        """An index without a file goes on, is saved and opened."""
        held = self._held()
        for change in NEXT:
            change = Change(change.kind, change.ids, change.places)
            change.make(self.index)
            held = held_of(self.index, afterwards(change, held), "memory after going on")
        self.index.save(self.path)
        read(self.path, held)

    def _judge_files(self, lossy):
        held = self._held()
        may_be = [self.after] if self.returned else [self.before, self.after]
        if lossy and not (self.returned and self.change.lasting):
            may_be = [self.stored, *may_be]
        refused = False
        for change in NEXT:
            then = afterwards(change, held)
            try:
                change.make(self.index)
            except OSError as error:
                refused = True
                may_be = may_be + then
                if str(self.path) not in str(error):
                    raise WrongError(
                        "it refuses to go on and does not name the file", error
                    ) from error
                break
            may_be = held = held_of(self.index, then, "memory after going on")
        try:
            self.index.close()
        except OSError:
            refused = True
        self._judge_left(may_be)
        return refused

    def _judge_left(self, may_be):
        """Judge the files that are left; of the same ones it is known, their locks apart."""
        files = sorted((file.name, file.read_bytes()) for file in self.path.parent.iterdir())
        left = digest(files, self._case, self.returned, may_be)
        if left in self._judged:
            for path in (self.path, self.copy):
                lock = Lock(path)
                lock.acquire()
                lock.release()
            return
        self._judge_copy(go_on(self.path, may_be))
        check_folder(self.path.parent)
        self._judged.add(left)

    def _judge_copy(self, held):
        if self.change.kind != "save":
            return
        saved = self.copy.exists()
        if not saved and (self.returned or self.old):
            raise WrongError("the copy is not there")
        if saved:
            models = [self.before] + ([self.old] if self.old and not self.returned else [])
            held_of(Index.open(self.copy, verify=True), models, "the copy")
        Index.open(self.path).save(self.copy)  # the next writer there
        held_of(Index.open(self.copy), held, "the copy saved again")


def afterwards(change, models):
    """What an index that is of one of the models is of after a change."""
    return [change.after(model) for model in models]


def go_on(path, may_be):
    """Let another writer open an index, find it of a model that may be, and change it.

    Returns:
        The models that it may be of then.

    Raises:
        WrongError: something is not as it must be.
    """
    with Index.open(path, mode="a") as index:
        held = held_of(index, may_be, "what the files hold")
        NEXT[0].make(index)
    return read(path, afterwards(NEXT[0], held))


def read(path, may_be):
    """Read an index in every way; returns the models that it may be of.

    Raises:
        WrongError: it is of none of those that may be, or not whole.
    """
    held = held_of(Index.open(path, verify=True), may_be, "what the last writer left")
    findings = verify(path)
    if not findings.whole:
        raise WrongError("verify finds problems", findings.problems)
    return held


def digest(*parts):
    """A short name for files, models and what else a judgement depends on."""
    return hashlib.sha256(repr(parts).encode()).digest()


def check_folder(folder):
    """Fail if a temporary file, of a hidden name, is left.

    Raises:
        WrongError: one is there.
    """
    left = sorted(file.name for file in folder.iterdir() if file.name.startswith("."))
    if left:
        raise WrongError("temporary files are left", left)
