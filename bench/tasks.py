"""Beyond search: every task of `qama.tasks` on codes beside float32, with retention and time.

classify    k-NN over banking77 and clinc150 (there with out-of-scope detection): accuracy
cluster     spherical k-means of the test sentences, true number of clusters: V-measure
similarity  STS pairs, codec fitted on general passages: Spearman, and the score's error
duplicates  all pairs of a collection above a cosine: precision and recall; the codes' threshold,
            on a scale of their own, is matched on pairs of the first 1,000 documents
bridge      WordLlama queries against MiniLM documents, through a linear map fitted on the
            collection's documents by both models: nDCG@10

    python bench/tasks.py classify cluster --models wordllama-l2-supercat-256

Every row is written as it comes; a killed run goes on. Vectors of texts are cached in the user's
cache folder. The data lie under QAMA_DATA.
"""

import argparse
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
from _record import Rows
from quality_data import COLLECTIONS, ROOT, data_folder, load_scene
from tasks_data import INTENTS, MINILM, STS, WORDLLAMA, embedded, intents, sts_pairs

import qama
from qama.evaluation.baselines import float_hits
from qama.evaluation.judge import judge
from qama.quantizers.vectors import unit
from qama.search.index import SearchResult
from qama.tasks import Bridge, CodeSet, classify, groups, kmeans, near_duplicates, similarity

KEY = ("task", "model", "data", "method", "seed")
K = 10  # neighbours that vote
DUPLICATES = ("cosqa", "npl", "nfcorpus")
ALIKE = 0.8  # cosine above which two documents count as near-duplicates


class FloatIndex:
    """What `classify` needs of an index, exact and in float32."""

    def __init__(self, X):
        self.X, self.ids = unit(X), np.arange(len(X))

    def __len__(self):
        return len(self.X)

    def search(self, Q, k, **_):
        hits = float_hits(self.X, unit(Q), k)
        return SearchResult(hits.ids, hits.scores)


def requests(d):
    """Codes that are compared: name, arguments of the codec, scorer."""
    yield from ((f"{n} bytes", {"nbytes": n}, "asymmetric") for n in (24, 48, 96))
    for scorer in ("asymmetric", "hamming"):
        yield f"{d} dims, 2 bit, {scorer}", {"dims": d, "level": "2"}, scorer


@lru_cache(maxsize=16)
def fitted(model, name, seed, threads):
    """Fit on what a task searches; of general passages a sample of 16,384."""
    if name == "train-text":
        X = np.load(data_folder() / "embeddings" / model / "train-text.npy")
        options = {"max_rows": 16_384}
    elif name in INTENTS:
        X, options = embedded(model, f"{name}-train", intents(name, "train").texts), {}
    else:
        X, options = load_scene(model, name, "small").docs, {}
    return qama.fit(X, seed=seed, threads=threads, codes="all", **options)


def timed(function, *args, **options):
    started = time.perf_counter()
    result = function(*args, **options)
    return result, time.perf_counter() - started


# --- one function a task: yields rows without task, model, seed ---------------------------------


def run_classify(model, name, codec, threads):
    parts = {p: intents(name, p) for p in ("train", "test")}
    if name == "clinc150":
        parts |= {p: intents(name, p) for p in ("val", "oos_val", "oos_test")}
    X = {p: embedded(model, f"{name}-{p}", part.texts) for p, part in parts.items()}
    labels = {p: part.labels for p, part in parts.items()}

    def row(method, searched, size, scorer):
        def say(part):
            return classify(searched, labels["train"], X[part], K, scorer=scorer, threads=threads)

        found, seconds = timed(say, "test")
        return {
            "method": method,
            "bytes": size,
            "accuracy": float((found.labels == labels["test"]).mean()),
            "us_per_query": 1e6 * seconds / len(X["test"]),
            **(scope(say, labels) if name == "clinc150" else {}),
        }

    d = X["train"].shape[1]
    yield row("float32", FloatIndex(X["train"]), 4 * d, "cosine")
    for method, request, scorer in requests(d):
        index = qama.Index(codec(), **request)
        index.add(X["train"])
        yield row(method, index, index.code_size, scorer)


def scope(say, labels):
    """Out-of-scope detection; the threshold is chosen on the validation part."""
    from sklearn.metrics import roc_auc_score

    inside, outside = say("val"), say("oos_val")
    right = inside.labels == labels["val"]
    cuts = np.unique(np.concatenate([inside.scores, outside.scores]))
    accuracy = [(right & (inside.scores >= c)).mean() + (outside.scores < c).mean() for c in cuts]
    cut = cuts[int(np.argmax(accuracy))]
    inside, outside = say("test"), say("oos_test")
    right = inside.labels == labels["test"]
    truth = np.repeat([1, 0], [len(inside.scores), len(outside.scores)])
    return {
        "threshold": float(cut),
        "accuracy_with_rejection": float((right & (inside.scores >= cut)).mean()),
        "oos_recall": float((outside.scores < cut).mean()),
        "oos_auroc": float(roc_auc_score(truth, np.concatenate([inside.scores, outside.scores]))),
    }


def run_cluster(model, name, codec, threads):
    from sklearn.metrics import v_measure_score

    test = intents(name, "test")
    X = embedded(model, f"{name}-test", test.texts)
    k = len(set(test.labels))
    sets = [("float32", 4 * X.shape[1], lambda: X)]
    for method, request, scorer in requests(X.shape[1]):
        if scorer == "asymmetric":  # clusters come from decoded vectors: the scorer plays no part
            made = method.removesuffix(", asymmetric"), codec().code(**request).stored_bytes
            sets.append((*made, lambda r=request: CodeSet.encode(codec(), X, **r)))
    for method, size, make in sets:
        what = make()
        runs = [timed(kmeans, what, k, seed=s) for s in range(3)]
        scores = [v_measure_score(test.labels, found.labels) for found, _ in runs]
        yield {"method": method, "bytes": size, "v_measure": float(np.mean(scores)),
               "spread": float(np.std(scores)),
               "seconds": float(np.mean([s for _, s in runs]))}  # fmt: skip


def run_similarity(model, name, codec, threads):
    from scipy.stats import spearmanr

    left, right, gold = sts_pairs(name)
    both = embedded(model, name, left + right)
    A, B = unit(both[: len(left)]), unit(both[len(left) :])
    exact = (A * B).sum(axis=1)

    def row(method, size, scores, seconds):
        return {"method": method, "bytes": size,
                "spearman": float(spearmanr(scores, gold).statistic),
                "error": float(np.abs(scores - exact).mean()),
                "us_per_pair": 1e6 * seconds / len(gold)}  # fmt: skip

    yield row("float32", 4 * A.shape[1], *timed(lambda: (A * B).sum(axis=1)))
    for method, request, scorer in requests(A.shape[1]):
        if scorer == "hamming":
            continue
        b = CodeSet.encode(codec(), B, **request)
        a = CodeSet.encode(codec(), A, **request)
        plain = method.removesuffix(", asymmetric")
        for kind, query in (("float against code", A), ("code against code", a)):
            scores, seconds = timed(similarity, query, b, threads=threads)
            yield row(f"{plain}, {kind}", b.code.stored_bytes, scores, seconds)


def run_duplicates(model, name, codec, threads):
    X = unit(load_scene(model, name, "small").docs)
    X = X[(X != 0).any(axis=1)]

    def exact():
        found = []
        for start in range(0, len(X), 512):
            left, right = np.nonzero(X[start : start + 512] @ X.T >= ALIKE)
            found.append(np.stack([left + start, right], axis=1))
        rows = np.concatenate(found)
        return rows[rows[:, 0] < rows[:, 1]]

    true, seconds = timed(exact)
    wanted = set(map(tuple, true.tolist()))
    count = len(np.unique(groups(true, len(X))))
    yield {"method": "float32", "bytes": 4 * X.shape[1], "pairs": len(true), "precision": 1.0,
           "recall": 1.0, "f1": 1.0, "groups": count, "seconds": seconds}  # fmt: skip
    for method, request, _ in requests(X.shape[1]):
        if "nbytes" not in request:
            continue  # a Hamming similarity has a scale of its own: no threshold in common
        codes = CodeSet.encode(codec(), X, **request)
        threshold = matched(X[:1000], codes[:1000])
        found, seconds = timed(near_duplicates, codes, threshold, threads=threads)
        both = len(wanted & set(map(tuple, found.rows.tolist())))
        yield {
            "method": method,
            "bytes": codes.code.stored_bytes,
            "threshold": threshold,
            "pairs": len(found.rows),
            "precision": both / max(len(found.rows), 1),
            "recall": both / max(len(true), 1),
            "f1": 2 * both / max(len(found.rows) + len(true), 1),
            "groups": len(np.unique(groups(found.rows, len(X)))),
            "seconds": seconds,
        }


def matched(X, codes):
    """Return the score that as many pairs of codes reach as pairs of floats reach ALIKE."""
    upper = np.triu_indices(len(X), 1)
    count = int((X @ X.T >= ALIKE)[upper].sum())
    V = unit(codes.vectors())
    return float(np.sort((V @ V.T)[upper])[-max(count, 1)])


def run_bridge(model, name, codec, threads):
    here, there = (load_scene(m, name, "small") for m in (WORDLLAMA, MINILM))
    bridge, seconds = timed(Bridge.fit, here.fit, there.fit)
    mapped = bridge(here.queries)

    def row(method, size, ids):
        return {"method": method, "bytes": size, "twins": bridge.found, "fit_seconds": seconds,
                "ndcg": float(judge(ids, here.collection).ndcg10.mean())}  # fmt: skip

    yield row("WordLlama alone, float32", 1024, float_hits(here.docs, here.queries, 10).ids)
    yield row("MiniLM alone, float32", 1536, float_hits(there.docs, there.queries, 10).ids)
    yield row("bridge, float32", 1536, float_hits(there.docs, mapped, 10).ids)
    for method, request, scorer in requests(384):
        index = qama.Index(codec(), **request)
        index.add(there.docs)
        found = index.search(mapped, 10, scorer=scorer, threads=threads)
        yield row(f"bridge, {method}", index.code_size, found.ids)


TASKS = {  # what runs, over which data, fitted on what
    "classify": (run_classify, INTENTS, None),
    "cluster": (run_cluster, INTENTS, None),
    "similarity": (run_similarity, STS, "train-text"),
    "duplicates": (run_duplicates, DUPLICATES, None),
    "bridge": (run_bridge, COLLECTIONS, None),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--models", nargs="+", default=[MINILM, WORDLLAMA])
    parser.add_argument("--data", nargs="+", help="only these sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/tasks.json")
    args = parser.parse_args()
    args.tasks = args.tasks or list(TASKS)
    if not set(args.tasks) <= set(TASKS):
        parser.error(f"tasks are {', '.join(TASKS)}")
    rows = Rows(args.out, KEY, args.seeds)
    for task in args.tasks:
        run, sets, fit_on = TASKS[task]
        # a bridge goes from one model to the other: there is one
        for model in args.models if task != "bridge" else [MINILM]:
            for name in sets if args.data is None else [n for n in sets if n in args.data]:
                for seed in args.seeds:
                    fill(rows, run, task, model, name, fit_on or name, seed, args.threads)


def fill(rows, run, task, model, name, fit_on, seed, threads):
    """Run one task on one set unless its last row is there: rows come in a fixed order."""
    done = rows.rows.get((task, model, name, "(all)", seed))
    if done:
        return
    started = time.perf_counter()
    for row in run(model, name, lambda: fitted(model, fit_on, seed, threads), threads):
        rows.add(task=task, model=model, data=name, seed=seed, **row)
    rows.add(task=task, model=model, data=name, seed=seed, method="(all)",
             seconds=time.perf_counter() - started)  # fmt: skip


if __name__ == "__main__":
    main()
