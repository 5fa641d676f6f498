"""nDCG@10 of what the speeds are compared with, on real collections: ours, FAISS, the funnel."""

import faiss
import numpy as np
from quality_data import COLLECTIONS, MODELS, data_folder, general_passages, load_scene, vectors

import qama
from qama.evaluation.baselines import float_hits
from qama.evaluation.judge import judge

K = 10
NBYTES = 48
FEW = 200  # candidates of a funnel over 50,000 rows
FUNNELS = {NBYTES: "wide", 96: "wide, 96 B", 192: "wide, 192 B"}  # settings by bytes


def available():
    """The collections that lie in QAMA_DATA; none where there is no such folder."""
    try:
        folder = data_folder()
    except SystemExit:
        return []
    return [name for name in COLLECTIONS if (folder / "data" / name).is_dir()]


def small(name):
    """One collection, everything fitted on its own documents."""
    scene = load_scene(MODELS[0], name, "small")
    codec = qama.fit(scene.docs, codes="all", steps=0)
    found = {
        "float32": float_hits(scene.docs, scene.queries, K).ids,
        "FAISS PQ fast-scan": pq(scene),
        "FAISS RaBitQ fast-scan": rabitq(scene),
        "asymmetric": searched(codec, scene, "asymmetric", nbytes=NBYTES),
        "Hamming": searched(codec, scene, "hamming", **grid()),
    }
    return [scored(engine, scene, ids) for engine, ids in found.items()]


def general(codec):
    """The codes of the general passages, of which shorter ones are the leading bytes."""
    return codec.encode(vectors(MODELS[0], "train-text"), nbytes=max(FUNNELS))


def funnel(codec, name, general):
    """One collection among general passages, whose codes are given: what a funnel loses.

    Also with so few candidates that 98 % of the flat scan's ten best are found, as at a million
    rows with a thousand candidates.
    """
    scene = load_scene(MODELS[0], name, "small")
    rows = []
    for nbytes, setting in FUNNELS.items():
        index = qama.Index(codec, nbytes=nbytes)
        index.add(scene.docs)
        index.add_codes(np.ascontiguousarray(general[general_passages([name]), :nbytes]))
        for engine, how in {"flat": False, "funnel": True, "funnel, few": FEW}.items():
            ids = index.search(scene.queries, K, funnel=how).ids
            rows.append(scored(engine, scene, ids, setting, nbytes))
    return rows


def grid():
    """The widest grid code of that many bytes: one bit a dim."""
    return {"dims": 8 * NBYTES, "level": "1"}


def searched(codec, scene, scorer, **code):
    index = qama.Index(codec, **code)
    index.add(scene.docs)
    return index.search(scene.queries, K, scorer=scorer).ids


def pq(scene):
    index = faiss.IndexPQFastScan(scene.docs.shape[1], 2 * NBYTES, 4, faiss.METRIC_INNER_PRODUCT)
    return filled(index, scene)


def rabitq(scene):
    """One bit a dim after a random rotation, as its authors use it."""
    d = scene.docs.shape[1]
    turn = faiss.RandomRotationMatrix(d, d)
    turn.init(0)
    index = faiss.IndexRaBitQFastScan(d, faiss.METRIC_INNER_PRODUCT)
    return filled(faiss.IndexPreTransform(turn, index), scene)


def filled(index, scene):
    index.train(scene.docs)
    index.add(scene.docs)
    return index.search(scene.queries, K)[1].astype(np.int64)


def scored(engine, scene, ids, setting="small", nbytes=NBYTES):
    ndcg = judge(ids, scene.collection, ks=(K,)).ndcg10.mean()
    return {
        "engine": engine, "setting": setting, "collection": scene.collection.name,
        "nbytes": nbytes, "ndcg": float(ndcg),
    }  # fmt: skip


def means(rows, setting):
    """The mean nDCG@10 of each engine over the collections."""
    own = [row for row in rows if row["setting"] == setting]
    return {
        engine: float(np.mean([row["ndcg"] for row in own if row["engine"] == engine]))
        for engine in dict.fromkeys(row["engine"] for row in own)
    }
