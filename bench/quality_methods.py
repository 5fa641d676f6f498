"""The methods of the quality comparison: each learns from a scene and searches its collections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import peers
import peers_libraries
from quality_scenes import DEEP, LOOKED_AT, Floats, Found, Scene, measured

import qama


class Answer(NamedTuple):
    """What a method found in a scene at one length, and facts of the fit."""

    nbytes: int
    found: Found
    facts: dict[str, Any]


# Of a scene, lengths and a seed.
Method = Callable[[Scene, Sequence[int], int], Iterator[Answer]]


def ours(scene: Scene, lengths: Sequence[int], seed: int) -> Iterator[Answer]:
    """Fit once for all lengths; the byte of the inverse norm is one of them."""
    began = time.process_time()
    codec = qama.fit(scene.fitted, seed=seed, max_bytes=max(lengths) - 1, threads=1)
    facts: dict[str, Any] = {"fit CPU s": _since(began)}
    for nbytes in lengths:
        found = {}
        for name, there in scene.searched.items():
            index = qama.Index(codec, nbytes=nbytes - 1)
            index.add(there.docs)
            found[name] = index.search(there.queries, DEEP).ids
        looked_at = {"fitted": scene.fitted, "unseen": scene.unseen} if len(scene.unseen) else {}
        errors = {name: error(codec, rows, nbytes - 1) for name, rows in looked_at.items()}
        yield Answer(nbytes, found, facts | errors)


def error(codec: qama.Codec, rows: Floats, nbytes: int) -> float:
    """Squared error over variance."""
    some = rows[np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(int)]
    left = some - codec.decode(codec.encode(some, nbytes=nbytes), nbytes=nbytes)
    spread = some - rows.mean(axis=0)
    return round(float(np.square(left).sum() / np.square(spread).sum()), 4)


def theirs(method: str, scene: Scene, lengths: Sequence[int], seed: int) -> Iterator[Answer]:
    """Fit every variant of a peer for each length; yields the one that finds most."""
    for nbytes in lengths:
        best: tuple[float, Answer] | None = None
        for variant in _variants(method, nbytes, scene):
            began = time.process_time()
            search = variant.fit(scene.fitted, seed)
            facts = {"variant": variant.setting, "fit CPU s": _since(began)}
            found = {
                name: search(there.docs, there.queries, DEEP).hits.ids
                for name, there in scene.searched.items()
            }
            recall = measured(scene.searched, found)["recall"]["mean"][0]
            if best is None or recall > best[0]:
                best = recall, Answer(nbytes, found, facts)
        if best is not None:
            yield best[1]


def lengths_of(method: str, asked: Sequence[int], many: Sequence[Scene]) -> list[int]:
    """Return which of the lengths a method has in every scene; of all dims, the one that it takes.

    FAISS's dear methods have short codes only where many rows are fitted.
    """
    if method == "qama":
        return list(asked)
    if method.endswith("-all"):
        return [next(_variants(method, 0, many[0])).nbytes]
    return [n for n in asked if all(any(_variants(method, n, scene)) for scene in many)]


def _variants(method: str, nbytes: int, scene: Scene) -> Iterator[peers.Variant]:
    count, d = scene.fitted.shape
    made: Iterator[peers.Variant] = _PEERS[method](nbytes, d, count)
    yield from made if method != "opq" else (v for v in made if v.setting.endswith("all rows"))


def _since(began: float) -> float:
    return round(time.process_time() - began, 1)


_PEERS = peers.METHODS | peers_libraries.METHODS
METHODS: dict[str, Method] = {"qama": ours} | {name: partial(theirs, name) for name in _PEERS}
