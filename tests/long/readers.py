"""Readers beside a writer: every answer belongs to some committed state.

    python tests/long/readers.py [--seconds 300] [--readers 8] [--seed 0] [--nlist N] [--keep FORM]

One thread adds, replaces, deletes and compacts; it remembers the ids of every state before that
state can be seen. Threads search it meanwhile, and a process reads the files. A search for all
vectors must return exactly the ids of one of the states that were committed while it ran.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from storage_model import CELL, CODEC, POOL, every_list, fresh

from qama import Index

MOST = 1500  # vectors in the index
KEPT = 500  # states that are remembered


class Writer:
    """Changes an index; `states` lists every state it ever had or is about to have.

    The vector of an id is always the one that the id itself names, or, after an upsert, the one
    after it: so an answer shows not only which ids were there but which vectors they had.
    """

    def __init__(self, index, seed):
        self.index, self.dice = index, random.Random(seed)
        self.model = {}
        self.states = [frozenset()]
        self.committed = 0  # number of the newest state that has surely been published

    def step(self):
        kind = self.dice.choice(("add", "add", "upsert", "delete", "compact"))
        held = list(self.model)
        if len(held) > MOST:
            kind = "delete"
        count = self.dice.choice((1, 5, 64, 100))
        ids = self.dice.sample(held, min(count, len(held)))
        after = dict(self.model)
        if kind == "add":
            first = self.index._now.following
            ids = list(range(first, first + count))
            after |= dict.fromkeys(ids, 0)
        elif kind == "upsert":
            after |= {key: after[key] + 1 for key in ids}
        elif kind == "delete":
            after = {key: turn for key, turn in after.items() if key not in set(ids)}
        if kind != "compact" and ids:
            self.states.append(frozenset(after.items()))
            if kind == "delete":
                self.index.delete(ids)
            else:
                X = np.stack([POOL[(key + after[key]) % len(POOL)] for key in ids])
                getattr(self.index, kind)(*((X, ids) if kind == "add" else (ids, X)))
            self.model = after
            self.committed = len(self.states) - 1
            self.states[max(0, self.committed - KEPT)] = None  # memory stays bounded
        elif kind == "compact":
            self.index.compact()
        return kind


def check(codec, form, found, writer, first):
    """Whether one answer for all vectors is one of the states committed since the first.

    None if so much was committed meanwhile that the first is forgotten.
    """
    ids = found.ids[0].tolist()
    since = writer.states[first:]
    if since[0] is None:
        return None
    states = [dict(state) for state in since if len(state) == len(ids)]
    states = [state for state in states if set(state) == set(ids)]
    for state in states:
        X = np.stack([POOL[(key + state[key]) % len(POOL)] for key in ids]) if ids else None
        if X is None:
            return True
        if form is None:
            scores = codec.score(POOL[:1], codec.encode(X, **CELL), **CELL)[0]
        else:
            scores = form.cosines(POOL[:1], form.packed(X)[None])[0].astype(np.float32)
        if (scores == found.scores[0]).all():
            return True
    return False


def read(writer, codec, stop, counts, errors, seed):
    dice, form = random.Random(seed), writer.index._form
    while not stop.is_set() and not errors:
        first = writer.committed
        filter_ = None if dice.random() < 0.7 else (lambda ids: ids >= 0)
        try:
            found = writer.index.search(
                POOL[:1], 10 * MOST, threads=1, filter=filter_, rescore=int(form is not None),
                **every_list(writer.index),
            )  # fmt: skip
            right = check(codec, form, found, writer, first)
            counts["searches" if right else "searches too slow to check"] += right is not False
            if right is False:
                errors.append(f"an answer of {found.ids.shape[1]} ids is no committed state")
            time.sleep(0.002)
        except Exception as error:
            errors.append(repr(error))


PROCESS = """
import sys, time, numpy as np, qama
path, seconds = sys.argv[1], float(sys.argv[2])
index, turns, began = qama.Index.open(path), 0, time.time()
Q = np.ones((1, 8), dtype=np.float32)
while time.time() < began + seconds:
    index.refresh()
    found = index.search(Q, 10000, threads=1, nprobe=index.nlist, rescore=1 if index.keep else 0)
    assert sorted(found.ids[0].tolist()) == sorted(index.ids.tolist())
    assert (np.diff(found.scores[0]) <= 0).all()
    turns += 1
print(turns)
"""


def run(seconds, readers, seed, **options):
    """Search and change for so many seconds; returns counts and what went wrong."""
    codec, counts, errors = CODEC, Counter(), []
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "index")
        fresh(**options).save(path)
        with Index.open(path, mode="a") as index:
            writer = Writer(index, seed)
            threads = [
                threading.Thread(target=read, args=(writer, codec, stop, counts, errors, number))
                for number in range(readers)
            ]
            other = subprocess.Popen(
                [sys.executable, "-c", PROCESS, path, str(seconds)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            for thread in threads:
                thread.start()
            until = time.monotonic() + seconds
            while time.monotonic() < until and not errors:
                counts[f"writer {writer.step()}"] += 1
                time.sleep(0.0005)
            stop.set()
            for thread in threads:
                thread.join()
            said, complaint = other.communicate()
            if other.returncode:
                errors.append(complaint)
            counts["reads by the other process"] = int(said or 0)
            counts["states"] = len(writer.states)
    return dict(sorted(counts.items())) | {"seconds": seconds, "readers": readers, "wrong": errors}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nlist", type=int, help="inverted lists of the indexes")
    parser.add_argument("--keep", help="form in which the indexes keep vectors")
    given = parser.parse_args()
    options = {"nlist": given.nlist, "keep": given.keep}
    print(json.dumps(run(given.seconds, given.readers, given.seed, **options), indent=1))
