"""Cut the power at any moment of a run of changes and see what the files hold.

    python tests/long/power.py [--states 20000] [--seed 0] [--nlist N] [--keep FORM]

A run of random changes is recorded: every write, sync, truncation, creation, renaming and removal,
and what was acknowledged by then, as lasting or not. Between any two of these calls the power may
fail. What is on the disk then, by this model of a file system:

* `fsync` of a file makes its bytes and its size last; `fsync` of a folder the names in it.
* Since the last `fsync` of a file every sector of 512 bytes may be as it was at any moment since,
  each at another one; one sector may be torn, its beginning of one moment and its end of another.
  The size is the one of any such moment: a truncation may have happened or not, and a file may have
  grown without its bytes, which are zero then.
* Since the last `fsync` of a folder its names may be as they were at any moment since; or, nastier
  than journals are, any of the creations, renamings and removals happened and the others did not.
* A renaming replaces at once: a name is that of the old file or of the new one.

States are drawn for every moment: nothing that was not synced, everything, all as it was at one
moment, and random ones. In each of them the index must open and hold a state that it had, with
everything that was acknowledged as lasting, and the next writer must be able to go on with it. The
next run begins in one of these states, so that power fails after power failed, or where the writer
was killed, so that nothing is lost yet but some of it is still not on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import stat
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from interrupts import memory_folder, quiet
from storage_cases import check_folder, digest, go_on
from storage_model import Change, Model, WrongError, fresh, held_of, mixed, places
from system_calls import intercepted

from qama import FormatError, Index

KINDS = (*("add",) * 3, *("upsert",) * 2, "delete", "flush", "compact", "save", "reopen", "visit")
SECTOR = 512
CHANGES = 10  # of a run
MOST = 500  # rows, then a run begins with none
DRAWS = ("nothing", "all", "moment", "moment", "versions", "sectors", "sectors", "torn")


@dataclass(eq=False)
class File:
    """What a file may hold: what it held when it was last synced, and ever since, by moments."""

    versions: list[tuple[int, bytes]]


@dataclass
class Begin:
    """Where a run begins.

    Attributes:
        lasting: The files by the names that are on the disk.
        now: The files by the names that programs see.
        may_be: The models that each index file may hold; the first ones may be all that is left
            of it when power fails.
    """

    lasting: dict[str, File]
    now: dict[str, File]
    may_be: dict[str, list[Model | None]]


@dataclass
class History:
    """The states of one index file in their order; None: it was not there.

    Attributes:
        states: All of them; the last one may be only begun.
        floor: The newest one that was acknowledged as lasting.
    """

    states: list[Model | None]
    floor: int = 0

    def acknowledge(self, lasting):
        if lasting:
            self.floor = len(self.states) - 1


@dataclass
class Disk:
    """Records what happens to the files of a folder; answers the calls of the system.

    Attributes:
        folder: The folder.
        states: What may be found after a power failure, and the histories' bounds at that moment.
        kills: The files when the writer might have been killed, and these bounds.
    """

    folder: Path
    begin: Begin
    histories: dict[str, History]
    dice: random.Random
    counts: Counter
    states: dict = field(default_factory=dict)
    kills: list = field(default_factory=list)

    def __post_init__(self):
        self._moment = 0
        self._lasting, self._now = self.begin.lasting, self.begin.now
        self._files = {(self.folder / name).stat().st_ino: self._now[name] for name in self._now}
        changed = {n for n in self._lasting | self._now if self._lasting.get(n) != self._now.get(n)}
        self._steps = [(0, {name: self._now.get(name)}) for name in sorted(changed)]

    # -- recording --------------------------------------------------------------------------

    def __call__(self, name, real, args, kwargs):
        known = getattr(self, "_" + name, None)
        if known is None:
            return real(*args, **kwargs)
        self._moment += 1
        done = real(*args, **kwargs)
        known(done, *args)
        self.draw()
        return done

    def _open(self, descriptor, path, flags, *_):
        name = self._name(path)
        if name is not None and flags & os.O_CREAT and name not in self._now:
            self._files[os.fstat(descriptor).st_ino] = file = File([(self._moment, b"")])
            self._step(name, file)
        elif flags & os.O_TRUNC:
            self._changed(descriptor)

    def _changed(self, descriptor):
        file = self._files.get(os.fstat(descriptor).st_ino)
        if file:
            file.versions.append((self._moment, _contents(descriptor)))

    def _write(self, done, descriptor, *_):
        self._changed(descriptor)

    _pwrite = _writev = _ftruncate = _write

    def _fsync(self, done, descriptor):
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            self._lasting, self._steps = dict(self._now), []
        elif about.st_ino in self._files:
            file = self._files[about.st_ino]
            file.versions = file.versions[-1:]

    _fdatasync = _fsync

    def _replace(self, done, source, target):
        self._step(self._name(source), None, self._name(target), self._now[self._name(source)])

    _rename = _replace

    def _link(self, done, source, target):
        self._step(self._name(target), self._now[self._name(source)])

    def _unlink(self, done, path):
        self._step(self._name(path), None)

    _remove = _unlink

    def _step(self, *pairs):
        """Note that names lead elsewhere now: name, file (None: nowhere), name, file ..."""
        step = dict(zip(pairs[::2], pairs[1::2], strict=True))
        self._steps.append((self._moment, step))
        self._now = _applied(self._now, step)

    def _name(self, path):
        path = Path(os.path.abspath(path))
        return path.name if path.parent == self.folder else None

    def check(self):
        """Fail if something happened to the files that was not recorded."""
        found = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        recorded = {name: file.versions[-1][1] for name, file in self._now.items()}
        assert found == recorded, "the files were changed by calls that are not recorded"

    # -- drawing ----------------------------------------------------------------------------

    def draw(self):
        """Draw what may be found if power fails now."""
        may_be = {name: (h.floor, len(h.states)) for name, h in self.histories.items()}
        self.kills.append((*_ends(self._lasting, self._now), may_be))
        for kind in DRAWS:
            state = self._drawn(kind)
            key = (frozenset(state.items()), *may_be.values())
            self.counts["states drawn"] += 1
            self.states.setdefault(key, (state, may_be))

    def _drawn(self, kind):
        dice, moment = self.dice, self._moment
        if kind == "nothing":
            moment = -1
        if kind == "moment":
            moments = [at for at, _ in self._steps]
            moments += [at for file in self._files.values() for at, _ in file.versions[1:]]
            moment = dice.choice(moments or [moment])
        if kind in ("versions", "torn"):
            moment = dice.choice([at for at, _ in self._steps] + [-1, moment])
        steps = [step for at, step in self._steps if at <= moment]
        if kind == "sectors":
            steps = [step for _, step in self._steps if dice.random() < 0.6]
        names = self._lasting
        for step in steps:
            names = _applied(names, step)
        return {name: self._bytes(file, kind, moment) for name, file in names.items()}

    def _bytes(self, file, kind, moment):
        versions = [held for at, held in file.versions if at <= moment] or [file.versions[0][1]]
        if kind in ("nothing", "all", "moment"):
            return versions[-1]
        versions = [held for _, held in file.versions]
        if kind == "versions" or len(versions) == 1:
            return self.dice.choice(versions)
        size = len(self.dice.choice(versions))
        sectors = [_sector(self.dice.choice(versions), at) for at in range(0, size, SECTOR)]
        if kind == "torn" and sectors:
            number, cut = self.dice.randrange(len(sectors)), self.dice.randrange(SECTOR)
            other = _sector(self.dice.choice(versions), number * SECTOR)
            sectors[number] = sectors[number][:cut] + other[cut:]
        return b"".join(sectors)[:size]


def _applied(names, step):
    return {name: file for name, file in (names | step).items() if file is not None}


def _ends(lasting, now):
    """Copies of files that remember what is on the disk and what programs see."""
    files = {*lasting.values(), *now.values()}
    copies = {
        file: File([(0, held) for _, held in file.versions[:1] + file.versions[1:][-1:]])
        for file in files
    }
    return tuple({name: copies[file] for name, file in names.items()} for names in (lasting, now))


def _contents(descriptor):
    return Path(f"/proc/self/fd/{descriptor}").read_bytes()


def _sector(held, at):
    return held[at : at + SECTOR].ljust(SECTOR, b"\0")


# --- what is changed --------------------------------------------------------------------------


def drawn_change(dice, model):
    """Draw a change of an index that holds the model."""
    kind = dice.choice(KINDS)
    count, durable = dice.choice((1, 1, 3, 20, 70)), dice.random() < 0.3
    if kind == "add":
        ids = None
        if dice.random() < 0.3:
            ids = tuple(dice.sample(range(model.following, model.following + 500), count))
        return Change("add", ids, places(dice, count), durable)
    if kind == "upsert":
        return Change("upsert", mixed(dice, model, count), places(dice, count), durable)
    if kind == "delete":
        held = list(model.rows)
        return Change("delete", tuple(dice.sample(held, min(len(held), count))), (), durable)
    return Change(kind)


class Run:
    """Changes of an index and of a copy of it, recorded.

    Args:
        folder: An empty folder.
        begin: What is put there.
        dice: What the changes are drawn with.
        counts: Where is counted.
    """

    def __init__(self, folder, begin, dice, counts):
        self._folder, self._dice = folder, dice
        for name, file in begin.now.items():
            (folder / name).write_bytes(file.versions[-1][1])
        self.histories = {}
        for name, models in begin.may_be.items():
            found = _found(folder / name, models)
            if any(model != found[0] for model in found):
                raise WrongError("the following id cannot be known")
            self.histories[name] = History(models[: models.index(found[0]) + 1])
        self.disk = Disk(folder, begin, self.histories, dice, counts)

    def make(self):
        """Make some changes."""
        with intercepted(self.disk):
            index = Index.open(self._folder / "index", mode="a")
            for _ in range(CHANGES):
                index = self._step(index)
                self.disk.check()
            index.close()

    def states(self):
        """What may be found after a power failure, and the models that may be in it."""
        return [(state, self._models(bounds)) for state, bounds in self.disk.states.values()]

    def kill(self):
        """Where the writer might have been killed."""
        lasting, now, bounds = self._dice.choice(self.disk.kills)
        return Begin(lasting, now, self._models(bounds))

    def _models(self, bounds):
        return {name: self.histories[name].states[slice(*bounds[name])] for name in bounds}

    def _step(self, index):
        copy = self.histories["copy"]
        change = drawn_change(self._dice, self.histories["index"].states[-1])
        if change.kind == "save":
            copy.states.append(self.histories["index"].states[-1])
            index.save(self._folder / "copy")
            copy.acknowledge(True)
        elif change.kind == "reopen":
            self._make(index, "index", Change("close"))
            return Index.open(self._folder / "index", mode="a")
        elif change.kind != "visit":
            self._make(index, "index", change)
        elif copy.states[-1] is not None:
            change = Change("add", None, places(self._dice, 3), self._dice.random() < 0.5)
            visited = Index.open(self._folder / "copy", mode="a")
            self._make(visited, "copy", change)
            self._make(visited, "copy", Change("close"))
        return index

    def _make(self, index, name, change):
        history = self.histories[name]
        history.states.append(change.after(history.states[-1]))
        change.make(index)
        history.acknowledge(change.lasting)
        self.disk.draw()


# --- the judge --------------------------------------------------------------------------------


def judge(folder, state, may_be, known):
    """The models that each index file may be of in a state; then the next writer goes on with it.

    Args:
        folder: An empty folder.
        state: The files.
        may_be: The models that each index file may hold.
        known: What was found before: the same files of an index need no second judgement.

    Raises:
        WrongError: it is of none that may be.
    """
    for name, held in state.items():
        (folder / name).write_bytes(held)
    keys = {name: _key(name, state, models) for name, models in may_be.items()}
    found = {
        name: known.get(keys[name]) or _found(folder / name, models)
        for name, models in may_be.items()
    }
    for name, models in found.items():
        if models == [None]:
            Index.open(folder / "index").save(folder / name)
        elif keys[name] not in known:
            go_on(folder / name, models)
        else:
            for left in folder.glob(f".{name}*"):
                left.unlink()
    check_folder(folder)
    known.update({keys[name]: found[name] for name in found})
    return found


def _key(name, state, models):
    files = sorted(item for item in state.items() if item[0].lstrip(".").startswith(name))
    return digest(files, models)


def _found(path, models):
    try:
        index = Index.open(path)
    except (FileNotFoundError, FormatError) as error:
        if models[0] is None:  # nothing was ever acknowledged about it
            return [None]
        raise WrongError(f"{type(error).__name__} in opening", error) from error
    return held_of(index, [model for model in models if model is not None], "what the files hold")


# --- all together -----------------------------------------------------------------------------


def beginning(folder, options):
    """Where the first run begins: an empty index and no copy."""
    fresh(**options).save(folder / "index")
    files = {path.name: File([(0, path.read_bytes())]) for path in folder.iterdir()}
    return Begin(files, files, {"index": [Model()], "copy": [None]})


def run(states, seed, **options):
    """Cut the power; returns counts. "wrong" counts states with losses, halves, or unreadable."""
    dice, first, known = random.Random(seed), {}, {}
    counts = Counter({"states judged": 0, "states drawn": 0, "wrong": 0})
    with quiet(), tempfile.TemporaryDirectory(dir=memory_folder()) as root:
        begin = None
        while counts["states judged"] < states:
            with tempfile.TemporaryDirectory(dir=root) as folder:
                try:
                    start = begin or beginning(Path(folder), options)
                    made = Run(Path(folder), start, dice, counts)
                except WrongError:  # a wrong one was judged before, as a state of the last run
                    begin = None
                    continue
                made.make()
            counts["runs"] += 1
            some = made.states()[: states - counts["states judged"]]
            right = judge_all(some, counts, first, known, Path(root))
            begin = next_begin(dice, made, right, counts)
    for told in first.values():
        print(told, file=sys.stderr)
    return dict(sorted(counts.items()))


def judge_all(states, counts, first, known, root):
    """Judge states; returns the right ones, with what they hold."""
    right = []
    for state, may_be in states:
        counts["states judged"] += 1
        with tempfile.TemporaryDirectory(dir=root) as folder:
            try:
                right.append((state, judge(Path(folder), state, may_be, known)))
            except Exception as error:
                what = error.args[0] if isinstance(error, WrongError) else type(error).__name__
                counts["wrong"] += 1
                counts[f"wrong: {what}"] += 1
                first.setdefault(what, f"{what}, run {counts['runs']}: {error!r}")
    return right


def next_begin(dice, made, right, counts):
    """Where the next run begins: after a kill or a power failure, or, None, with an empty index."""
    if not right or len(made.histories["index"].states[-1].rows) > MOST:
        return None
    if dice.random() < 0.5:
        counts["runs after a kill"] += 1
        return made.kill()
    counts["runs after a power failure"] += 1
    state, found = dice.choice(right)
    files = {name: File([(0, held)]) for name, held in state.items()}
    return Begin(files, files, found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nlist", type=int, help="inverted lists of the indexes")
    parser.add_argument("--keep", help="form in which the indexes keep vectors")
    given = parser.parse_args()
    options = {"nlist": given.nlist, "keep": given.keep}
    print(json.dumps(run(given.states, given.seed, **options), indent=1))
