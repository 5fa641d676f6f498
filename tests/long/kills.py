"""Kill a writer at random moments and see what its files hold.

    python tests/long/kills.py [--kills 300] [--seed 0] [--nlist N] [--keep FORM]

A writer changes an index as fast as it can and says, through a pipe, what it begins and what it has
done. It gets SIGKILL at a random moment. The files must then open and hold what was done, and may
hold what was begun, whole or not at all. The next writer goes on with the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from storage_model import CELL, CODEC, POOL, fresh

from qama import Index, RecoveryWarning
from qama.search.storage.verify import verify

KINDS = ("add", "add", "add", "upsert", "delete", "flush", "compact", "save")
LONGEST = 0.15  # seconds that a writer lives once it is ready


def vectors(places):
    return POOL[np.array(places) % len(POOL)]


def apply(model, kind, ids, places):
    """The model, a dict from id to place in the pool in insertion order, after a change."""
    changed = dict(model)
    for key in ids if kind in ("upsert", "delete") else ():
        changed.pop(key, None)
    if kind in ("add", "upsert"):
        changed |= dict(zip(ids, places, strict=True))
    return changed


# --- the writer -------------------------------------------------------------------------------


def tell(**words):
    os.write(1, (json.dumps(words) + "\n").encode())


def draw(dice, index):
    """A change: its kind, ids and places in the pool."""
    kind, held = dice.choice(KINDS), index.ids.tolist()
    count = dice.choice((1, 1, 3, 64, 200))
    places = [dice.randrange(len(POOL)) for _ in range(count)]
    if kind == "delete":
        return kind, dice.sample(held, min(len(held), count)), []
    if kind == "upsert":
        known = dice.sample(held, min(len(held), count // 2))
        fresh = [2**40 + dice.randrange(2**40) for _ in range(count - len(known))]
        return kind, list(dict.fromkeys(known + fresh))[: len(places)], places
    return kind, [], places if kind == "add" else []


def change(index, copy, kind, ids, places, durable):
    """Make a change; returns the ids it has been given."""
    if kind == "add":
        return index.add(vectors(places), durable=durable).tolist()
    if kind == "upsert":
        index.upsert(ids, vectors(places[: len(ids)]), durable=durable)
    elif kind == "delete":
        index.delete(ids, durable=durable)
    elif kind == "save":
        index.save(copy)
    else:
        getattr(index, kind)()
    return ids


def write(path, seed):
    """Change the index for ever."""
    dice = random.Random(seed)
    warnings.simplefilter("ignore", RecoveryWarning)
    index = Index.open(path, mode="a")
    index.delete([])  # takes the lock and cuts off what a kill left
    tell(ready=True)
    while True:
        kind, ids, places = draw(dice, index)
        durable = kind in ("add", "upsert", "delete") and dice.random() < 0.3
        first = index._now.following
        if kind == "add":
            ids = list(range(first, first + len(places)))
        tell(begin=kind, ids=ids, places=places[: len(ids)])
        assert change(index, path + ".copy", kind, ids, places, durable) == ids
        tell(done=kind, durable=durable)


# --- the judge --------------------------------------------------------------------------------


def killed(path, seed, dice):
    """Let a writer run and kill it; returns what it said and when it fell."""
    run = [sys.executable, __file__, "--write", str(path), "--seed", str(seed)]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as writer:
        first = writer.stdout.readline()
        time.sleep(dice.random() ** 2 * LONGEST)
        writer.send_signal(signal.SIGKILL)
        said = [json.loads(line) for line in (first + writer.stdout.read()).splitlines()]
    assert writer.returncode == -signal.SIGKILL, f"the writer failed: {writer.returncode}"
    return said


def holds(codec, path, model):
    """Whether the files hold exactly the model, vectors and order included."""
    index = Index.open(path, verify=True)
    if index.ids.tolist() != list(model):
        return False
    if not model:
        return True
    X, now = vectors(list(model.values())), index._now
    expected = codec.encode(X, compact=True, **CELL)
    kept = now.kept is None or (now.live_kept().at(np.arange(len(X))) == now.kept.form.packed(X))
    return bool((now.live_codes() == expected).all() and np.all(kept))


def judge(codec, path, before, said, counts):
    """The model that the files hold, given what held before and what a writer said."""
    acknowledged, begun, copied = before, None, None
    for words in said[1:]:
        if "begin" in words:
            begun = words
            continue
        acknowledged = apply(acknowledged, begun["begin"], begun["ids"], begun["places"])
        copied = acknowledged if begun["begin"] == "save" else copied
        counts["acknowledged " + begun["begin"]] += 1
        counts["acknowledged durable"] += words["durable"]
        begun = None
    counts["killed during " + (begun["begin"] if begun else "nothing")] += 1
    possible = [acknowledged]
    if begun:
        possible.append(apply(acknowledged, begun["begin"], begun["ids"], begun["places"]))
    fitting = [model for model in possible if holds(codec, path, model)]
    assert fitting, "a change was lost, or half of one is there"
    counts["the change begun is there"] += len(possible) > 1 and fitting[0] is possible[-1]
    if copied is not None:
        within = [copied] + ([acknowledged] if begun and begun["begin"] == "save" else [])
        assert any(holds(codec, f"{path}.copy", model) for model in within)
        counts["copies read"] += 1
    findings = verify(Path(path))
    assert findings.whole, findings.problems
    return fitting[-1]


def run(kills, seed, **options):
    """Kill writers; returns counts. "wrong" counts losses, half changes and unreadable files."""
    dice, counts, codec = random.Random(seed), Counter(kills=0, wrong=0), CODEC
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "index")
        model = {}
        fresh(**options).save(path)
        for number in range(kills):
            said = killed(path, seed * 1_000_003 + number, dice)
            counts["kills"] += 1
            try:
                model = judge(codec, path, model, said, counts)
            except (AssertionError, ValueError, OSError) as error:
                counts["wrong"] += 1
                print(f"kill {number}: {error!r}", file=sys.stderr)
                path, model = str(Path(folder) / f"after {number}"), {}
                fresh(**options).save(path)
        counts["vectors at the end"] = len(model)
    return dict(sorted(counts.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write")
    parser.add_argument("--nlist", type=int, help="inverted lists of the indexes")
    parser.add_argument("--keep", help="form in which the indexes keep vectors")
    given = parser.parse_args()
    if given.write:
        write(given.write, given.seed)
    else:
        options = {"nlist": given.nlist, "keep": given.keep}
        print(json.dumps(run(given.kills, given.seed, **options), indent=1))
