"""Change an index in numbered steps, each acknowledged when it is on the disk, until it is told.

    python numbered_writer.py INDEX ACKNOWLEDGED

Step i adds id i, or deletes id i - 3 where i % 5 is 4; each COMPACT steps the index is compacted.
ACKNOWLEDGED holds how many steps returned. It ends when its stdin does.
"""

from __future__ import annotations

import os
import select
import sys

import numpy as np

COMPACT = 40


def vector(i, dims):
    return np.random.default_rng(i).standard_normal((1, dims)).astype(np.float32)


def states(steps):
    """Yield the ids, as a set that changes, before each step and after the last one."""
    ids = set()
    yield ids
    for i in range(steps):
        ids.discard(i - 3) if i % 5 == 4 else ids.add(i)
        yield ids


def which(ids, least, most):
    """After how many steps, from least to most, there were these ids; None: never."""
    found = set(ids)
    for steps, state in enumerate(states(most)):
        if steps >= least and state == found:
            return steps
    return None


def acknowledged(path):
    return int.from_bytes(path.read_bytes(), "little") if path.exists() else 0


def run(path, noted, compact=COMPACT):
    import qama

    written = os.open(noted, os.O_RDWR | os.O_CREAT)
    with qama.Index.open(path, "a") as index:
        step = acknowledged_of(written)
        while not select.select([sys.stdin], [], [], 0)[0]:
            if step % 5 == 4:
                index.delete(step - 3, durable=True)
            else:
                index.add(vector(step, index.codec.dims_in), [step], durable=True)
            step += 1
            os.pwrite(written, step.to_bytes(8, "little"), 0)
            if step % compact == 0:
                index.compact()


def acknowledged_of(descriptor):
    return int.from_bytes(os.pread(descriptor, 8, 0), "little")


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
