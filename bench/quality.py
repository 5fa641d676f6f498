"""Quality at equal stored bytes, qama beside its peers: bench/results/quality.json.

    python bench/quality.py                                     what the tables show: hours
    python bench/quality.py --models all-minilm-l6-v2 --settings sample --methods qama opq
    python bench/quality.py --check --settings transfer --methods qama      measured anew, compared

The first measure is the share of the floats' ten nearest among the ten best (and of their hundred
among the hundred), the second nDCG@10 of judged queries in % of the floats'. Settings are those of
`quality_scenes.py`. Bytes count all that is stored of a vector: of 24 bytes qama's code has 23 and
the inverse norm one. Squared error over variance is that of fitted rows and of unseen ones of the
same source.

Peers are those of `peers.py` and `peers_libraries.py`, METRIC_L2 on unit vectors. OPQ is at its
best: principal axes dealt to its parts evenly, 25 iterations on all rows. Of others the variant
that finds most is recorded. Finished rows are kept: a run that was cut goes on, and two processes
may work on two models. `--check` measures what is asked for and compares it with the record.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums of several threads are rounded otherwise

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import peers
import peers_libraries
from _record import Rows
from quality_data import E5, MODELS, MPNET, ROOT
from quality_methods import METHODS, Answer, lengths_of
from quality_scenes import SETTINGS, Scene, measured, scenes

LENGTHS = (12, 24, 48, 96)
KEY = ("model", "setting", "method", "bytes", "seed")
SHORT, DEAR = (12, 24), (12,)  # what FAISS's slower quantizers end with in minutes
PLAN = {
    **dict.fromkeys(("qama", "opq", "pq", "rabitq1", "sign-asym"), LENGTHS),
    **{"rabitq2": LENGTHS[1:], "pca-sign-asym": LENGTHS[:3], "prq": SHORT, "rq": DEAR},
    **dict.fromkeys((f"rabitq{bits}-all" for bits in (1, 2)), ()),
    **dict.fromkeys(peers_libraries.METHODS, ()),
}  # methods and their lengths; codes of all dims have one length alone
TOLERANCE = 0.004  # of recall and nDCG kept: other machines round otherwise while they fit


def main() -> None:
    args = _arguments()
    peers.set_threads(1)
    recorded = Rows(args.out, KEY)
    apart: list[float] = []
    for model, setting in itertools.product(args.models, args.settings):
        many: list[Scene] = []
        for method, seed in itertools.product(args.methods or PLAN, args.seeds):
            asked = args.lengths or PLAN.get(method, LENGTHS)
            wanted = _wanted(recorded, (model, setting, method), asked, seed, args.check)
            if wanted is None:
                continue
            many = many or list(scenes(model, setting))
            for row in _rows(method, many, lengths_of(method, wanted, many), seed):
                row = {"model": model, "setting": setting, "method": method, "seed": seed} | row
                if args.check:
                    apart.append(_difference(row, recorded.rows[tuple(row[c] for c in KEY)]))
                else:
                    recorded.add(**row)
    if args.check:
        sys.exit(_verdict(apart, args.out))


def _wanted(
    recorded: Rows, where: tuple[str, str, str], asked: Sequence[int], seed: int, again: bool
) -> list[int] | None:
    """Return the lengths to measure: those that are not recorded, or again those that are.

    None: nothing. The one length of codes of all dims is not known before their vectors are.
    """
    there = {n for *key, n, s in recorded.rows if (*key, s) == (*where, seed)}
    if where[-1].endswith("-all"):
        return [] if bool(there) == again else None
    return [n for n in asked if (n in there) == again] or None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all of PLAN")
    parser.add_argument("--models", nargs="+", default=[*MODELS[:2], MPNET, E5])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--bytes", nargs="+", type=int, dest="lengths")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--check", action="store_true", help="compare with --out, write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/quality.json")
    return parser.parse_args()


def _rows(
    method: str, many: Sequence[Scene], lengths: Sequence[int], seed: int
) -> Iterator[dict[str, Any]]:
    """Run a method on every scene of a setting; a row a length, of all collections together."""
    if not lengths:
        return
    searched = {name: there for scene in many for name, there in scene.searched.items()}
    answers = zip(*(METHODS[method](scene, lengths, seed) for scene in many), strict=True)
    try:
        for each in answers:
            found = {name: rows for answer in each for name, rows in answer.found.items()}
            fitted = [len(scene.fitted) for scene in many]
            yield {"bytes": each[0].nbytes, "rows": sum(fitted) // len(fitted), **_facts(each),
                   **measured(searched, found)}  # fmt: skip
    except ImportError as error:
        print(f"left out: {method}: {error}", file=sys.stderr)


def _facts(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the facts of one fit; of several the CPU seconds of all, and their settings."""
    facts = dict(answers[0].facts)
    facts["fit CPU s"] = round(sum(answer.facts["fit CPU s"] for answer in answers), 1)
    if "variant" in facts:
        facts["variant"] = "; ".join(dict.fromkeys(a.facts["variant"] for a in answers))
    return facts


def _difference(row: dict[str, Any], recorded: dict[str, Any]) -> float:
    """Print how far a row's means are from the recorded ones, and return the larger one."""
    gaps = {what: row[what]["mean"][0] - recorded[what]["mean"][0] for what in ("recall", "kept")}
    print(*(row[name] for name in KEY), *(f"{what} {gap:+.4f}" for what, gap in gaps.items()),
          flush=True)  # fmt: skip
    return max(abs(gap) for gap in gaps.values())


def _verdict(apart: list[float], out: Path) -> int:
    """Print what came of a check; 1 where a row differs or none is recorded."""
    far = sum(gap > TOLERANCE for gap in apart)
    print(f"{len(apart)} rows of {out} measured anew: largest difference "
          f"{max(apart, default=0):.4f}, {far} above {TOLERANCE}")  # fmt: skip
    return int(not apart or far > 0)


if __name__ == "__main__":
    main()
