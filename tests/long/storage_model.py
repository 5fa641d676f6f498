"""What an index must hold after changes, and whether it does, by what users can ask of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from qama import Codec, Index
from qama.quantizers.kept import FORMS, Form
from qama.search.rows import partitioning
from qama.search.storage.loading import State

GOLDEN = Path(__file__).parent.parent / "golden" / "codec.qama"
CELL = {"dims": 8, "level": "2"}
POOL = np.random.default_rng(7).standard_normal((512, 8)).astype(np.float32)
CODEC = Codec.load(GOLDEN)
SCORES = CODEC.score(POOL[:3], CODEC.encode(POOL, **CELL), **CELL)
COSINES = {}  # with kept vectors, by their form
for form in (Form.of(name, CODEC.dims_in) for name in FORMS):
    packed = np.broadcast_to(form.packed(POOL), (3, len(POOL), form.width))
    COSINES[form.name] = form.cosines(POOL[:3], packed).astype(np.float32)


def fresh(nlist=None, keep=None):
    """An index without vectors; with so many inverted lists, whose centroids are of the pool."""
    index = Index(CODEC, **CELL, keep=keep)
    if nlist:
        codes = CODEC.encode(POOL, compact=True, **CELL)
        rows = partitioning.partitioned(index.code, index._now, codes, nlist, 0, 1)
        index._state = State(rows, None)
    return index


def every_list(index):
    """The options of a search for everything."""
    return {"nprobe": index.nlist} if index.nlist else {}


class WrongError(AssertionError):
    """Something that may not be; the first argument says what, without places or numbers."""


@dataclass(frozen=True)
class Model:
    """What an index holds.

    Attributes:
        rows: The place in the pool of each id's vector, ids in insertion order.
        following: The id that the next vector gets by default.
    """

    rows: dict[int, int] = field(default_factory=dict)
    following: int = 0


@dataclass(frozen=True)
class Change:
    """A change of an index, or what else is asked of its files.

    Attributes:
        kind: add, upsert, delete, compact, flush, save (onto a copy), close.
        ids: Ids; None with add: default ones.
        places: The place in the pool of each vector.
        durable: Whether the change waits for the disk.
    """

    kind: str
    ids: tuple[int, ...] | None = None
    places: tuple[int, ...] = ()
    durable: bool = False

    @property
    def lasting(self):
        """Whether all changes so far are on the disk when it returns."""
        return self.durable or self.kind in ("compact", "flush", "close")

    def make(self, index, copy=None):
        """Make it; ``copy`` is the path that a save goes to."""
        X = POOL[list(self.places)]
        if self.kind == "add":
            index.add(X, self.ids, self.durable)
        elif self.kind == "upsert":
            index.upsert(self.ids, X, self.durable)
        elif self.kind == "delete":
            index.delete(self.ids, self.durable)
        elif self.kind == "save":
            index.save(copy)
        else:
            getattr(index, self.kind)()

    def after(self, model):
        """What an index holds after it."""
        if self.kind not in ("add", "upsert", "delete"):
            return model
        ids = self.ids
        if ids is None:
            ids = tuple(range(model.following, model.following + len(self.places)))
        rows = dict(model.rows)
        if self.kind != "add":
            for key in ids:
                rows.pop(key, None)
        if self.kind == "delete":
            return Model(rows, model.following)
        rows |= dict(zip(ids, self.places, strict=True))
        return Model(rows, max(model.following, *(key + 1 for key in ids)))


def places(dice, count):
    """Draw places in the pool."""
    return tuple(dice.randrange(len(POOL)) for _ in range(count))


def mixed(dice, model, count):
    """Draw ids, about half of them of the model, in any order."""
    held = dice.sample(list(model.rows), min(len(model.rows), count // 2))
    fresh = [model.following + 5 * number + 2 for number in range(count - len(held))]
    ids = held + fresh
    dice.shuffle(ids)
    return tuple(ids)


def difference(ids, everything, model):
    """How an index differs from a model: ids, their order, and the scores of a search for all.

    The scores follow from the codes, or from kept vectors; None where nothing differs.

    Args:
        ids: Those of the index.
        everything: Searches for all: the results by what their scores must be, (3, len(POOL)).
        model: The model.
    """
    if len(ids) != len(model.rows):
        return f"{len(ids)} vectors instead of {len(model.rows)}"
    if ids.tolist() != list(model.rows):
        return "other ids, or in another order"
    if not len(ids):
        return None
    order = np.argsort(ids)
    for found, scores in everything():
        if (np.sort(found.ids, axis=1) != ids[order]).any():
            return "a search finds other ids than the index lists"
        at = order[np.searchsorted(ids, found.ids, sorter=order)]
        wanted = scores[np.arange(3)[:, None], np.array(list(model.rows.values()))[at]]
        if (found.scores != wanted).any():
            return "vectors of other scores"
    return None


def held_of(index, models, what):
    """The models that an index may be of, of those given: what it holds, the following id apart.

    Raises:
        WrongError: none of them.
    """

    @cache
    def everything():
        options = {"threads": 1, **every_list(index)}
        found = [(index.search(POOL[:3], len(index), **options), SCORES)]
        if index.keep:
            rescored = index.search(POOL[:3], len(index), rescore=1, **options)
            found.append((rescored, COSINES[index.keep]))
        return found

    found = [difference(index.ids, everything, model) for model in models]
    if None not in found:
        raise WrongError(f"{what} is of no state that may be", " / ".join(found))
    return [model for model, differs in zip(models, found, strict=True) if differs is None]
