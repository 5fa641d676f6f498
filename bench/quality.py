"""Quality at equal stored bytes: qama and its peers on real collections.

Settings: *sample*: fitted on a random half of the collection and general passages, searched in the
collection; *transfer*: fitted on the general passages alone; *wide*: the collection plus general
passages, fitted on all of it and searched in all of it; *small*: fitted on the collection alone,
which flatters. Passages that come from the collection itself are left out. The first measure is the
share of the floats' ten nearest that are found, the second nDCG@10 in % of the floats'.

Runs the plan (``bench/quality_plan.py``; some nine hours of one core), or what is asked for of it
by ``--models``, ``--settings``, ``--collections``, ``--seeds`` and ``--bytes``; with ``--methods``
these, whether the plan has them or not.

Every finished run is appended to a ``.jsonl`` file beside ``--out``; a killed run continues there.
The data lie under ``QAMA_DATA`` (default ``../shared`` beside the checkout). ``--check`` measures
what is asked for anew and compares it with ``--out``.

Examples:
    python bench/quality.py --models all-minilm-l6-v2 --settings small --methods rq lsq
    python bench/quality.py --check --collections cisi --settings small --seeds 0
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums of several threads are rounded otherwise

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peers
from _record import write_record
from numpy.typing import NDArray
from quality_data import COLLECTIONS, MODELS, Scene, load_scene
from quality_jobs import METHODS, Job, jobs
from quality_plan import BUDGETS, PLAN, SEEDS, SETTINGS, Part, narrowed
from quality_summary import KEY, gaps, print_averages, print_gaps

from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.judge import judge
from qama.evaluation.topk import chunked_top_k

TOLERANCE = 0.002  # of nDCG@10: other machines round otherwise while they fit
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    args = _arguments()
    peers.set_threads(args.threads)
    log = args.out.with_suffix(".jsonl")
    done = {} if args.check else _read_log(log)
    parts = list(_parts(args))
    for model, setting, collection in itertools.product(
        args.models, args.settings, args.collections
    ):
        mine = [p for p in parts if model in p.models and setting in p.settings]
        scene = load_scene(model, collection, setting)
        reference = _reference(scene)
        for job in jobs(mine, scene, args.threads):
            key = (model, setting, collection, job.method, job.scorer, job.nbytes, job.variant,
                   job.seed)  # fmt: skip
            if key not in done:
                done[key] = _run(job, scene, reference)
                if not args.check:
                    _append(log, done[key])
            _tell(done[key])
    if args.check:
        sys.exit(_compare(done, args.out))
    done |= _read_log(log)  # another process may have added to it
    rows = [done[key] for key in sorted(done, key=str)]
    found = gaps(rows)
    write_record(
        args.out,
        [_short(row) for row in rows],
        seed=sorted({row["seed"] for row in rows}),
        gaps=found,
    )
    print(f"\n{len(rows)} runs in {args.out}\n")
    print_averages(rows)
    print_gaps(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="these, not the plan's")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--bytes", nargs="+", type=int, default=list(BUDGETS), dest="budgets")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument(
        "--variants", nargs="+", default=(), help="with --methods: only peers' that contain one of"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="compare with --out, write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/quality.json")
    return parser.parse_args()


# --- what is run --------------------------------------------------------------------------------


def _parts(args: argparse.Namespace) -> Iterator[Part]:
    """What is run: of the plan, or of everything where methods are named, what was asked for."""
    asked = (args.models, args.settings, args.seeds, args.budgets)
    if args.methods:
        models, settings, seeds, budgets = asked
        yield Part(args.methods, budgets, models, settings, seeds, args.variants)
    else:
        yield from narrowed(PLAN, *asked)


class Reference(NamedTuple):
    """What exact float32 search finds.

    Attributes:
        ids: int64 (m, 10), rows.
        ndcg: nDCG@10 of each query, float64 (m,).
    """

    ids: NDArray[np.int64]
    ndcg: NDArray[np.float64]


def _reference(scene: Scene) -> Reference:
    hits = chunked_top_k(
        lambda part: scene.queries[part] @ scene.docs.T, len(scene.queries), len(scene.docs), 10
    )
    return Reference(hits.ids, judge(hits.ids, scene.collection, ks=(10,)).ndcg10)


def _run(job: Job, scene: Scene, reference: Reference) -> dict[str, Any]:
    start = time.perf_counter()
    hits, model_bytes = job.run()
    found = (hits.ids[:, :10, None] == reference.ids[:, None, :]).any(axis=1).mean(axis=1)
    recall = paired_bootstrap(found, np.zeros(len(found)), samples=2_000)
    ndcg = judge(hits.ids[:, :10], scene.collection, ks=(10,)).ndcg10
    kept = paired_bootstrap(ndcg, reference.ndcg, "ratio", samples=2_000)
    return {
        "model": scene.model,
        "collection": scene.collection.name,
        "fit": scene.setting,
        "method": job.method,
        "scorer": job.scorer,
        "bytes": job.nbytes,
        "variant": job.variant,
        "seed": job.seed,
        "recall": round(recall.estimate, 5),
        "recall_low": round(recall.low, 5),
        "recall_high": round(recall.high, 5),
        "ndcg": round(float(ndcg.mean()), 5),
        "ndcg_float32": round(float(reference.ndcg.mean()), 5),
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
        f"{row['scorer'][:4]} {row['bytes']:4d} B {100 * row.get('recall', np.nan):6.1f} "
        f"{100 * row['retention']:6.1f} "
        f"[{100 * row['retention_low']:.1f}, {100 * row['retention_high']:.1f}] "
        f"{row['seconds']:6.1f} s  seed {row['seed']}  {row['variant']}",
        flush=True,
    )


if __name__ == "__main__":
    main()
