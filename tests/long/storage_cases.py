"""States of an index and changes to each: what is disturbed, and how it must go on afterwards."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage_model import CELL, CODEC, POOL, Change, Fault, Model, held_of, mixed, places

from qama import Index
from qama.search.verify import verify

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
    """

    def __init__(self, root):
        self._root = root
        self._dice = random.Random(5)
        self.names = set()  # of files that may lie there
        self.models = {state: self._build(state) for state in STATES}
        self.old = Change("add", None, (1, 2, 3)).after(Model())

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
        model, index = Model(), Index(CODEC, **CELL)
        stored, logged = self._contents(state)
        for change in stored:
            change.make(index)
            model = change.after(model)
        for name in ("index", "copy"):
            index.save(folder / name) if name == "index" else self._save_old(folder / name)
        with Index.open(folder / "index", mode="a") as opened:
            for change in logged:
                sizes = {file: file.stat().st_size for file in folder.iterdir()}
                change.make(opened)
                model = change.after(model)
            self.names |= {file.name for file in folder.iterdir()}
            grown = [file for file in sizes if file.stat().st_size > sizes[file]] if logged else []
        self.names |= {file.name for file in folder.iterdir()}
        if state == "torn":
            (log,) = grown
            os.truncate(log, log.stat().st_size - 5)
            model = self._before_last(stored + logged)
        return model

    def _save_old(self, path):
        index = Index(CODEC, **CELL)
        index.add(POOL[[1, 2]])
        index.save(path)
        with Index.open(path, mode="a") as opened:
            opened.add(POOL[[3]])
            self.names |= {file.name for file in path.parent.iterdir()}

    def _before_last(self, changes):
        model = Model()
        for change in changes[:-1]:
            model = change.after(model)
        return model

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
        if state == "torn":
            logged.append(Change("add", None, places(dice, 3)))
        return stored, logged


class Trial:
    """One change of a fresh copy of a case's files, disturbed or not.

    Args:
        grounds: The files.
        case: Which of them, and the change.
        folder: The copy.
    """

    def __init__(self, grounds, case, folder):
        self._names = grounds.names
        self.path, self.copy = folder / "index", folder / "copy"
        self.stored = grounds.models[case.state]
        self.old = grounds.old if case.kind == "save over" else None
        if case.turn == "memory":
            self.index = Index(CODEC, **CELL)
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
            Fault: it is not so.
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
            held = change.after(held)
            held_of(self.index, [held], "memory after going on")
        self.index.save(self.path)
        self._read(held)

    def _judge_files(self, lossy):
        held = self._held()
        may_be, refused = [self.before, self.after], False
        if self.returned:
            may_be = [self.after]
        if lossy and not (self.returned and self.change.lasting):
            may_be = [self.stored, *may_be]
        for change in NEXT:
            try:
                change.make(self.index)
            except OSError as error:
                refused = True
                may_be.append(change.after(held))
                if str(self.path) not in str(error):
                    raise Fault("it refuses to go on and does not name the file", error) from error
                break
            held = change.after(held)
            may_be = [held]
            held_of(self.index, may_be, "memory after going on")
        try:
            self.index.close()
        except OSError:
            refused = True
        self._judge_copy(self._next_writer(may_be))
        strays = {file.name for file in self.path.parent.iterdir()} - self._names
        if strays:
            raise Fault("files are left behind", sorted(strays))
        return refused

    def _next_writer(self, may_be):
        """Another index is opened, finds the files right and changes them."""
        with Index.open(self.path, mode="a") as index:
            held = held_of(index, may_be, "what the files hold")
            NEXT[0].make(index)
            held = NEXT[0].after(held)
        self._read(held)
        return held

    def _read(self, held):
        held_of(Index.open(self.path, verify=True), [held], "what the next writer left")
        findings = verify(self.path)
        if not findings.whole:
            raise Fault("verify finds problems", findings.problems)

    def _judge_copy(self, held):
        if self.change.kind != "save":
            return
        saved = self.copy.exists()
        if not saved and (self.returned or self.old):
            raise Fault("the copy is not there")
        if saved:
            models = [self.before] + ([self.old] if self.old and not self.returned else [])
            held_of(Index.open(self.copy, verify=True), models, "the copy")
        Index.open(self.path).save(self.copy)  # the next writer there
        held_of(Index.open(self.copy), [held], "the copy saved again")
