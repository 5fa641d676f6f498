"""Quality at equal stored bytes: qama and its peers on real collections.

Settings: *small*: fitted on the collection alone; *wide*: the collection plus general passages,
fitted on all of it and searched in all of it; *transfer*: fitted on the general passages,
searched in the collection. Passages that come from the collection itself are left out.

Every finished run is appended to a ``.jsonl`` file beside ``--out``; a killed run continues there.
The data lie under ``QAMA_DATA`` (default ``../shared`` beside the checkout). All of it takes days
on two cores; ``--check`` measures what is asked for anew and compares it with ``--out``.

Examples:
    python bench/quality.py --models all-minilm-l6-v2 --settings small --methods opq pq
    python bench/quality.py --check --collections cisi --settings small --seeds 0 --methods qama pq
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from _record import write_record
from numpy.typing import NDArray
from quality_data import COLLECTIONS, MODELS, Scene, load_scene
from quality_summary import KEY, gaps, print_averages, print_gaps

from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.judge import judge
from qama.evaluation.topk import Hits, chunked_top_k

BUDGETS = (12, 24, 32, 48, 64, 96, 128, 192)
SETTINGS = ("small", "wide", "transfer")
TOLERANCE = 0.002  # of nDCG@10: other machines round otherwise while they fit
OURS = ("qama", "qama-grid")
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Job:
    """One run: a method's variant at one length on one scene."""

    method: str
    scorer: str
    nbytes: int
    variant: str
    run: Callable[[], tuple[Hits, int]]  # rows and scores, bytes of the model


def main() -> None:
    args = _arguments()
    import peers

    peers.set_threads(args.threads)
    log = args.out.with_suffix(".jsonl")
    done = {} if args.check else _read_log(log)
    for model, setting, collection in itertools.product(
        args.models, args.settings, args.collections
    ):
        scene = load_scene(model, collection, setting)
        reference = _reference(scene)
        for seed, method in itertools.product(args.seeds, args.methods):
            for job in _jobs(method, scene, seed, args):
                key = (
                    model,
                    setting,
                    collection,
                    job.method,
                    job.scorer,
                    job.nbytes,
                    job.variant,
                    seed,
                )
                if key not in done:
                    done[key] = _run(job, scene, reference, seed)
                    if not args.check:
                        _append(log, done[key])
                _tell(done[key])
    if args.check:
        sys.exit(_compare(done, args.out))
    rows = [done[key] for key in sorted(done, key=str)]
    found = gaps(rows)
    write_record(args.out, [_short(row) for row in rows], seed=args.seeds, gaps=found)
    print(f"\n{len(rows)} runs in {args.out}\n")
    print_averages(rows)
    print_gaps(found)


def _arguments() -> argparse.Namespace:
    import peers

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--methods", nargs="+", choices=[*OURS, *peers.METHODS], default=[*OURS, *peers.METHODS]
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--bytes", nargs="+", type=int, default=list(BUDGETS), dest="budgets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", help="only peers' variants that contain one of")
    parser.add_argument("--presets", nargs="+", default=["default"], help="qama's presets")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="compare with --out, write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/quality.json")
    return parser.parse_args()


# --- what is run --------------------------------------------------------------------------------


def _jobs(method: str, scene: Scene, seed: int, args: argparse.Namespace) -> Iterator[Job]:
    if method in OURS:
        for preset in args.presets:
            yield from _our_jobs(method, preset, scene, seed, args)
        return
    import peers

    lengths = args.budgets if not method.endswith("-all") else args.budgets[:1]
    for nbytes in lengths:
        for variant in peers.variants(method, nbytes, scene.docs.shape[1], len(scene.fit)):
            if args.variants and not any(part in variant.setting for part in args.variants):
                continue
            yield Job(
                variant.method,
                variant.scorer,
                variant.nbytes,
                variant.setting,
                _peer_run(variant, scene, seed),
            )


def _peer_run(variant: Any, scene: Scene, seed: int) -> Callable[[], tuple[Hits, int]]:
    def run() -> tuple[Hits, int]:
        outcome = variant.run(scene.fit, scene.docs, scene.queries, 11, seed)
        if outcome.nbytes > variant.nbytes:
            raise RuntimeError(f"{variant.method} stores {outcome.nbytes} B, not {variant.nbytes}")
        return outcome.hits, outcome.model_bytes

    return run


def _our_jobs(
    method: str, preset: str, scene: Scene, seed: int, args: argparse.Namespace
) -> Iterator[Job]:
    """Jobs over byte budgets (``qama``) or over dims, levels and scorers (``qama-grid``).

    The codec is fitted when the first job runs, so a finished scene costs nothing.
    """
    import qama

    # Byte codes depend neither on the grid's training nor on longer codes: what is not asked for
    # is not fitted (tests/test_bytecode.py holds that the codes are the same).
    only = {"steps": 0, "max_bytes": max(args.budgets) - 1} if method == "qama" else {}

    @lru_cache(maxsize=1)
    def codec() -> Any:
        start = time.perf_counter()
        fitted = qama.fit(scene.fit, preset=preset, seed=seed, **only)
        print(f"  fitted {preset} in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        return fitted

    def search(scorer: str, **length: Any) -> Callable[[], tuple[Hits, int]]:
        def run() -> tuple[Hits, int]:
            index = qama.Index(codec(), **length)
            index.add(scene.docs)
            found = index.search(scene.queries, k=11, scorer=scorer, threads=args.threads)
            return Hits(found.ids, found.scores), 0

        return run

    name = "qama" if preset == "default" else f"qama {preset}"
    if method == "qama":
        for nbytes in args.budgets:  # one of the bytes is the cached factor of the row
            run = search("asymmetric", nbytes=nbytes - 1)
            yield Job(name, "asymmetric", nbytes, f"{nbytes - 1} + 1", run)
        return
    cells = itertools.product(codec().dims, codec().levels, ("hamming", "asymmetric"))
    for dims, level, scorer in cells:
        stored = codec().code(dims, level).stored_bytes
        yield Job(
            f"{name} grid",
            scorer,
            stored,
            f"{dims} x {level}",
            search(scorer, dims=dims, level=level),
        )


def _reference(scene: Scene) -> NDArray[np.float64]:
    """NDCG@10 per query of exact float32 search."""
    hits = chunked_top_k(
        lambda part: scene.queries[part] @ scene.docs.T, len(scene.queries), len(scene.docs), 10
    )
    return judge(hits.ids, scene.collection, ks=(10,)).ndcg10


def _run(job: Job, scene: Scene, reference: NDArray[np.float64], seed: int) -> dict[str, Any]:
    start = time.perf_counter()
    hits, model_bytes = job.run()
    ndcg = judge(hits.ids[:, :10], scene.collection, ks=(10,)).ndcg10
    kept = paired_bootstrap(ndcg, reference, "ratio", samples=2_000)
    return {
        "model": scene.model,
        "collection": scene.collection.name,
        "fit": scene.setting,
        "method": job.method,
        "scorer": job.scorer,
        "bytes": job.nbytes,
        "variant": job.variant,
        "seed": seed,
        "ndcg": round(float(ndcg.mean()), 5),
        "ndcg_float32": round(float(reference.mean()), 5),
        "retention": round(kept.estimate, 5),
        "retention_low": round(kept.low, 5),
        "retention_high": round(kept.high, 5),
        "model_bytes": model_bytes,
        "seconds": round(time.perf_counter() - start, 2),
        "per_query": [round(float(x), 4) for x in ndcg],
    }


# --- log -----------------------------------------------------------------------------


def _read_log(log: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Finished runs; a line cut off by a kill is dropped."""
    done = {}
    if log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            done[tuple(row[name] for name in KEY)] = row
    return done


def _compare(done: dict[tuple[Any, ...], dict[str, Any]], out: Path) -> int:
    """Print how far runs are from the recorded ones; 1 if one differs or there is none."""
    recorded = {
        tuple(row[name] for name in KEY): row["ndcg"]
        for row in json.loads(out.read_text(encoding="utf-8"))["results"]
    }
    known = [key for key in done if key in recorded]
    apart = {key: abs(done[key]["ndcg"] - recorded[key]) for key in known}
    differing = [key for key in known if apart[key] > TOLERANCE]
    for key in differing:
        print("differs:", *key, f"{done[key]['ndcg']:.5f}, recorded {recorded[key]:.5f}")
    print(f"{len(known)} of {len(done)} runs are recorded in {out}; largest difference of nDCG@10 "
          f"{max(apart.values(), default=0):.5f}, {len(differing)} above {TOLERANCE}")  # fmt: skip
    return int(not known or bool(differing))


def _append(log: Path, row: dict[str, Any]) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row for the results file; the log alone keeps every query."""
    return {name: value for name, value in row.items() if name != "per_query"}


def _tell(row: dict[str, Any]) -> None:
    print(
        f"{row['model'][:10]:10s} {row['fit']:8s} {row['collection']:9s} {row['method']:20s} "
        f"{row['scorer'][:4]} {row['bytes']:4d} B {100 * row['retention']:6.1f} "
        f"[{100 * row['retention_low']:.1f}, {100 * row['retention_high']:.1f}] "
        f"{row['seconds']:6.1f} s  seed {row['seed']}  {row['variant']}",
        flush=True,
    )


if __name__ == "__main__":
    main()
