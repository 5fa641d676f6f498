"""The runs of the quality comparison: qama and its peers, each at one length on one scene."""

from __future__ import annotations

import hashlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import peers
from numpy.typing import NDArray
from quality_data import Scene
from quality_plan import SEEDS, Part

import qama
from qama.evaluation.topk import Hits

METHODS = ("qama", *peers.METHODS)
CODEWORD_BITS = 16  # of the runs that are recorded


@dataclass(frozen=True)
class Job:
    """One run: a method's variant at one length on one scene."""

    method: str
    scorer: str
    nbytes: int
    variant: str
    seed: int
    run: Callable[[], tuple[Hits, int]]  # rows and scores, bytes of the model


def jobs(parts: Sequence[Part], scene: Scene, threads: int) -> Iterator[Job]:
    """What the parts run on a scene; ``threads`` are those of qama's searches."""
    for part in parts:
        for seed, method in itertools.product(part.seeds, part.methods):
            if method == "qama":
                yield from _ours(part.budgets, scene, seed, threads)
            else:
                yield from _theirs(part, method, scene, seed)


def _theirs(part: Part, method: str, scene: Scene, seed: int) -> Iterator[Job]:
    lengths = part.budgets if not method.endswith("-all") else part.budgets[:1]
    for nbytes in lengths:
        for variant in peers.variants(method, nbytes, scene.docs.shape[1], len(scene.fit)):
            if part.takes(variant.setting):
                yield Job(
                    variant.method,
                    variant.scorer,
                    variant.nbytes,
                    variant.setting,
                    seed,
                    _peer_run(variant, scene, seed),
                )


def _peer_run(variant: peers.Variant, scene: Scene, seed: int) -> Callable[[], tuple[Hits, int]]:
    def run() -> tuple[Hits, int]:
        outcome = variant.fit(scene.fit, seed)(scene.docs, scene.queries, 11)
        if outcome.nbytes > variant.nbytes:
            raise RuntimeError(f"{variant.method} stores {outcome.nbytes} B, not {variant.nbytes}")
        return outcome.hits, outcome.model_bytes

    return run


def _ours(budgets: Sequence[int], scene: Scene, seed: int, threads: int) -> Iterator[Job]:
    """One of the bytes is the cached inverse norm of the row.

    The codec is fitted when the first job runs, so a finished scene costs nothing.
    """

    def runner(nbytes: int) -> Callable[[], tuple[Hits, int]]:
        def run() -> tuple[Hits, int]:
            index = qama.Index(_FITS.codec(scene.fit, seed, max(budgets) - 1), nbytes=nbytes - 1)
            index.add(scene.docs)
            found = index.search(scene.queries, k=11, threads=threads)
            return Hits(found.ids, found.scores), 0

        return run

    for nbytes in budgets:
        yield Job("qama", "asymmetric", nbytes, f"{nbytes - 1} + 1", seed, runner(nbytes))


class _Fits:
    """The latest codecs: collections that general passages do not come from share theirs."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], qama.Codec] = {}

    def codec(self, rows: NDArray[np.float32], seed: int, nbytes: int) -> qama.Codec:
        # Byte codes depend neither on the grid's training nor on longer codes: what is not asked
        # for is not fitted (tests/test_bytecode.py holds that the codes are the same).
        key = (hashlib.sha256(rows).hexdigest(), seed, nbytes)
        if key not in self._known:
            start = time.perf_counter()
            self._known[key] = qama.fit(
                rows, seed=seed, max_bytes=nbytes, codeword_bits=CODEWORD_BITS
            )
            print(f"  fitted in {time.perf_counter() - start:.0f} s", file=sys.stderr)
            while len(self._known) > len(SEEDS):
                del self._known[next(iter(self._known))]
        return self._known[key]


_FITS = _Fits()
