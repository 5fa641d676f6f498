"""Cut the power at any moment of changes of documents and see what their folder holds.

    python tests/long/documents_power.py [--states 2000] [--seed 0]

A writer runs under strace, which records what SQLite and qama ask of the system; the model of a
disk is that of `power.py`. Shared memory (-shm) does not outlive a power cut. Whatever is left, the
documents must open and hold what was acknowledged, perhaps with the change that was begun, and the
next writer must be able to go on; every second run begins in such a state.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from documents_kills import apply
from documents_model import CELL, CODEC, POOL, holds, made_of
from interrupts import memory_folder
from power import DRAWS, Disk, File, _applied

from qama import Documents, FormatError

CALLS = "openat,write,pwrite64,fsync,fdatasync,ftruncate,unlink,rename,mkdir"
CHANGES = 6  # of a run
LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
WRITER = Path(__file__).with_name("documents_kills.py")


def text(hexed):
    """What strace -xx says in hexadecimal digits."""
    return bytes.fromhex(hexed.replace("\\x", ""))


class Replay(Disk):
    """A disk to which recorded calls happen.

    Args:
        folder: Of the documents.
        begun: The files that lie there, by name.
        model: What they hold; None: there are no documents.
        dice: What states are drawn with.
    """

    def __init__(self, folder, begun, model, dice):
        self.folder, self.dice = folder, dice
        self._moment, self._steps = 0, []
        self._lasting = {name: File([(0, held)]) for name, held in begun.items()}
        self._now = dict(self._lasting)
        self._files = dict(self._now)
        self.acknowledged, self.begun = model, None
        self.found = {}

    def happen(self, line):
        """Replay a line of strace."""
        matched = LINE.match(line)
        if not matched or int(matched[3]) < 0:
            return
        call, given = matched[1], matched[2]
        where = re.match(r"(\d+)<([^>]*)>", given)
        if call == "write" and where and where[1] == "1":
            self._told(json.loads(text(re.search(r'"([^"]*)"', given)[1])))
            return
        paths = [text(quoted).decode() for quoted in re.findall(r'"([^"]*)"', given)[:2]
                 if call in ("openat", "unlink", "rename", "mkdir")]  # fmt: skip
        target = paths[0] if paths else text(where[2]).decode()
        name = self._name(target)
        if (name is None and Path(target) != self.folder) or str(name).endswith("-shm"):
            return
        self._moment += 1
        getattr(self, "_do_" + call)(name, given, paths)
        self._draw()

    def _told(self, words):
        if "begin" in words:
            self.begun = words
        elif "done" in words:
            self.acknowledged = self._after()
            self.begun = None
        self._draw()

    def _after(self):
        begun = self.begun
        return apply(self.acknowledged or {}, begun["begin"], begun["ids"], begun["places"])

    def _do_mkdir(self, name, given, paths):
        pass

    def _do_openat(self, name, given, paths):
        assert "O_TRUNC" not in given
        if name is not None and "O_CREAT" in given and name not in self._now:
            self._files[name] = file = File([(self._moment, b"")])
            self._step(name, file)

    def _hold(self, name, held):
        self._now[name].versions.append((self._moment, held))

    def _do_write(self, name, given, _, at=None):
        data = text(re.search(r'"([^"]*)"', given)[1])
        assert not given.rstrip("0123456789, ").endswith("...")
        held = self._now[name].versions[-1][1]
        at = len(held) if at is None else at
        self._hold(name, held[:at].ljust(at, b"\0") + data + held[at + len(data) :])

    def _do_pwrite64(self, name, given, paths):
        self._do_write(name, given, paths, int(given.rsplit(", ", 1)[1]))

    def _do_ftruncate(self, name, given, paths):
        size = int(given.rsplit(", ", 1)[1])
        self._hold(name, self._now[name].versions[-1][1][:size].ljust(size, b"\0"))

    def _do_fsync(self, name, given, paths):
        if name is None:
            self._lasting, self._steps = dict(self._now), []
        else:
            self._now[name].versions = self._now[name].versions[-1:]

    _do_fdatasync = _do_fsync

    def _do_unlink(self, name, given, paths):
        self._step(name, None)

    def _do_rename(self, name, given, paths):
        target = self._name(paths[1])
        self._files[target] = self._now[name]
        self._step(name, None, target, self._now[name])

    def _step(self, *pairs):
        step = dict(zip(pairs[::2], pairs[1::2], strict=True))
        self._steps.append((self._moment, step))
        self._now = _applied(self._now, step)

    def _draw(self):
        for kind in {*DRAWS}:
            state = self._drawn(kind)
            possible = [self.acknowledged] + ([self._after()] if self.begun else [])
            key = frozenset(state.items()), json.dumps(possible)
            self.found.setdefault(key, (state, possible))


def recorded(folder, seed, model, dice):
    """Let a writer change a folder; returns the disk with the states that may be found."""
    for path in folder.glob("*-shm"):
        path.unlink()
    begun = {path.name: path.read_bytes() for path in folder.glob("*")}
    disk = Replay(folder, begun, model, dice)
    log = folder.with_name("strace")
    run = ["strace", "-qq", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-o", log,
           sys.executable, WRITER, "--write", folder, "--seed", str(seed),
           "--changes", str(CHANGES)]  # fmt: skip
    subprocess.run(run, check=True, stdout=subprocess.PIPE)
    for line in log.read_text().splitlines():
        disk.happen(line)
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    known = {name: file.versions[-1][1] for name, file in disk._now.items()}
    left = {name: held for name, held in left.items() if not name.endswith("-shm")}
    differ = [name for name in {*left, *known} if left.get(name) != known.get(name)]
    assert not differ, f"{differ} were changed by calls that are not recorded"
    return disk


def judge(folder, state, possible):
    """The model that a state is of; then the next writer goes on with it."""
    folder.mkdir()
    for name, held in state.items():
        (folder / name).write_bytes(held)
    if possible[0] is None:
        try:
            Documents.open(folder).close()
        except (FormatError, FileNotFoundError):
            Documents.create(folder, CODEC, **CELL).close()
    with Documents.open(folder, "a") as docs:
        fitting = [model or {} for model in possible if holds(docs, model or {})]
        assert fitting, "a change was lost, or half of one is there"
        docs.upsert(["next"], *made_of([1]))
    with Documents.open(folder) as docs:
        model = {key: place for key, place in fitting[0].items() if key != "next"} | {"next": 1}
        assert holds(docs, model)
    return model


def run(states, seed):
    """Cut the power; returns counts. "wrong" counts losses, halves, and what cannot be opened."""
    assert len(POOL)
    dice = random.Random(seed)
    counts = Counter({"states judged": 0, "states drawn": 0, "runs": 0, "wrong": 0})
    with tempfile.TemporaryDirectory(dir=memory_folder()) as root:
        writer, judged = Path(root) / "documents", Path(root) / "judged"
        model = None
        while counts["states judged"] < states:
            disk = recorded(writer, seed * 1_000_003 + counts["runs"], model, dice)
            counts["runs"] += 1
            counts["states drawn"] += len(disk.found)
            found = dice.sample([*disk.found.values()], min(len(disk.found), 200))
            for state, possible in found[: states - counts["states judged"]]:
                counts["states judged"] += 1
                try:
                    model = judge(judged, state, possible)
                except (AssertionError, ValueError, OSError) as error:
                    counts["wrong"] += 1
                    print(f"state {counts['states judged']}: {error!r}", file=sys.stderr)
                if counts["states judged"] < states:
                    last = judged.rename(Path(root) / "last")
                    shutil.rmtree(writer, ignore_errors=True)
                    last.rename(writer)
            if counts["runs"] % 2 == 0:
                shutil.rmtree(writer)
                model = None
    return dict(sorted(counts.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(run(given.states, given.seed), indent=1))
