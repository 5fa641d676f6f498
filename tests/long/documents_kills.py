"""Kill a writer of documents at random moments and see what its folder holds.

    python tests/long/documents_kills.py [--kills 300] [--seed 0]

As `kills.py` does with an index: a writer says through a pipe what it begins and what it has done,
and gets SIGKILL. Database, words and index must then agree and hold what was done, and may hold
what was begun, whole or not at all; files of the index may be removed or torn meanwhile. Every
tenth writer begins with no folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from documents_model import CELL, CODEC, POOL, holds, made_of

from qama import Documents, FormatError
from qama.documents import documents

KINDS = ("add", "add", "add", "upsert", "upsert", "delete", "where", "write", "rebuild", "open")
LONGEST = 0.15  # seconds that a writer lives once it is ready
BEHIND = 300  # changes that the file of the index may lag here


def apply(model, kind, ids, places):
    """The model, a dict from id to place in the pool in insertion order, after a change."""
    if kind == "where":
        return {key: place for key, place in model.items() if place % 7 != places[0]}
    changed = dict(model)
    for key in ids if kind in ("upsert", "delete") else ():
        changed.pop(key, None)
    if kind in ("add", "upsert"):
        changed |= dict(zip(ids, places, strict=True))
    return changed


# --- the writer -------------------------------------------------------------------------------


def tell(**words):
    os.write(1, (json.dumps(words) + "\n").encode())


def draw(dice, held, number):
    """A change: its kind, ids and places in the pool."""
    kind = dice.choice(KINDS)
    count = dice.choice((1, 1, 3, 64, 200))
    if kind == "where":
        return kind, [], [dice.randrange(7)]
    if kind == "delete":
        return kind, dice.sample(held, min(len(held), count)), []
    ids = [f"{number}-{i}" for i in range(count)]
    if kind == "upsert":
        ids = dice.sample(held, min(len(held), count // 2)) + ids[: count - count // 2]
    if kind not in ("add", "upsert"):
        return kind, [], []
    return kind, ids, [dice.randrange(len(POOL)) for _ in ids]


def change(docs, kind, ids, places):
    """Make a change; returns the documents to go on with."""
    if kind in ("add", "upsert"):
        getattr(docs, kind)(ids, *made_of(places))
    elif kind == "delete":
        docs.delete(ids)
    elif kind == "where":
        docs.delete(where={"n": places[0]})
    elif kind == "write":
        docs._save_index(-1)
    elif kind == "rebuild":
        docs.rebuild()
    else:
        docs.close()
        return Documents.open(docs._folder, "a")
    return docs


def write(folder, seed, changes=10**9):
    """Change documents so often."""
    dice = random.Random(seed)
    documents._BEHIND = BEHIND
    if (Path(folder) / "documents.sqlite").exists():
        docs = Documents.open(folder, "a")
        tell(ready=True)
    else:
        tell(ready=True)
        tell(begin="create", ids=[], places=[])
        docs = Documents.create(folder, CODEC, **CELL)
        docs.create_index("n")
        tell(done="create")
    for number in range(changes):
        kind, ids, places = draw(dice, docs.ids(), f"{seed}-{number}")
        tell(begin=kind, ids=ids, places=places)
        docs = change(docs, kind, ids, places)
        tell(done=kind)


# --- the judge --------------------------------------------------------------------------------


def killed(folder, seed, dice):
    """Let a writer run and kill it; returns what it said."""
    run = [sys.executable, __file__, "--write", str(folder), "--seed", str(seed)]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as writer:
        first = writer.stdout.readline()
        time.sleep(dice.random() ** 2 * LONGEST)
        writer.send_signal(signal.SIGKILL)
        said = [json.loads(line) for line in (first + writer.stdout.read()).splitlines()]
    assert writer.returncode == -signal.SIGKILL, f"the writer failed: {writer.returncode}"
    return said


def spoil(folder, dice):
    """Let a file of the index be lost or torn, as nobody promised that it lasts."""
    for path in folder.glob("index-*.qama"):
        if dice.random() < 0.2:
            content = path.read_bytes()
            place = dice.randrange(len(content))
            path.write_bytes(content[:place] + bytes(len(content) - place) * dice.randrange(2))
        elif dice.random() < 0.1:
            path.unlink()


def judge(folder, before, said, counts, dice):
    """The model that a folder holds, given what held before and what a writer said."""
    acknowledged, begun = before, None
    for words in said[1:]:
        if "begin" in words:
            begun = words
            continue
        acknowledged = apply(acknowledged, begun["begin"], begun["ids"], begun["places"])
        counts["acknowledged " + begun["begin"]] += 1
        begun = None
    counts["killed during " + (begun["begin"] if begun else "nothing")] += 1
    possible = [acknowledged]
    if begun:
        possible.append(apply(acknowledged, begun["begin"], begun["ids"], begun["places"]))
    if not acknowledged and {"done": "create"} not in said:  # perhaps there is no folder yet
        try:
            Documents.open(folder).close()
        except (FormatError, FileNotFoundError):
            Documents.create(folder, CODEC, **CELL).close()
    spoil(folder, dice)
    with Documents.open(folder) as docs:
        fitting = [model for model in possible if holds(docs, model)]
    assert fitting, "a change was lost, or half of one is there"
    counts["the change begun is there"] += len(possible) > 1 and fitting[0] is possible[-1]
    return fitting[-1]


def run(kills, seed):
    """Kill writers; returns counts. "wrong" counts losses, half changes and disagreements."""
    dice, counts = random.Random(seed), Counter(kills=0, wrong=0)
    with tempfile.TemporaryDirectory() as parent:
        folder, model = Path(parent) / "first", {}
        for number in range(kills):
            if number % 10 == 0:
                shutil.rmtree(folder, ignore_errors=True)
                folder, model = Path(parent) / str(number), {}
            said = killed(folder, seed * 1_000_003 + number, dice)
            counts["kills"] += 1
            try:
                model = judge(folder, model, said, counts, dice)
            except (AssertionError, ValueError, OSError) as error:
                counts["wrong"] += 1
                print(f"kill {number}: {error!r}", file=sys.stderr)
                folder, model = Path(parent) / f"after {number}", {}
        counts["documents at the end"] = len(model)
    return dict(sorted(counts.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write")
    parser.add_argument("--changes", type=int, default=10**9)
    given = parser.parse_args()
    if given.write:
        write(given.write, given.seed, given.changes)
    else:
        print(json.dumps(run(given.kills, given.seed), indent=1))
