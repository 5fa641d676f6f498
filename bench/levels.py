"""What serving every level from one fit costs: preset paper, one fit for all levels beside one fit
for each level (as the paper has it), Hamming distance, retention of nDCG@10.

    python bench/levels.py --collections cranfield cisi nfcorpus
"""

import argparse
import os
from pathlib import Path

import numpy as np

import qama
from qama.evaluation import provenance
from qama.evaluation.beir import load_collection
from qama.evaluation.runner import evaluate

DATA = Path(os.environ.get("QAMA_DATA", Path(__file__).parents[2] / "shared"))
LEVELS = ("0.5", "1", "1.5", "2")


def judged(name, levels, seed):
    """Fit for some levels; return retention by (dims, level)."""
    folder = DATA / "embeddings" / "all-minilm-l6-v2"
    docs, queries = (
        np.load(folder / f"{name}.{part}.npy").astype(np.float32) for part in ("docs", "queries")
    )
    codec = qama.fit(docs, preset="paper", seed=seed, levels=levels)
    records = evaluate(
        codec, docs, queries, load_collection(DATA / "data" / name),
        levels=levels, scorers=("hamming",), baselines=False,
    )  # fmt: skip
    return {(r.dims, r.level): r.retention for r in records if r.method == "qama"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", nargs="+", default=["cranfield"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench/results/levels.json"))
    args = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: no collections in QAMA_DATA={DATA}")
        return
    rows = []
    for name in args.collections:
        together = judged(name, LEVELS, args.seed)
        for level in LEVELS:
            alone = judged(name, (level,), args.seed)
            for (dims, _), kept in alone.items():
                row = {"collection": name, "dims": dims, "level": level}
                rows.append({**row, "alone": kept, "together": together[dims, level]})
                print(rows[-1], flush=True)
            provenance.write(args.out, rows, args.seed)


if __name__ == "__main__":
    main()
