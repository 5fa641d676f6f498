"""Collections, models and settings of the quality comparison."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qama.evaluation.beir import Collection, load_collection

Floats = NDArray[np.float32]
COLLECTIONS = ("scifact", "nfcorpus", "cranfield", "cosqa", "npl", "cisi")
LSA = "lsa-768"
MPNET, E5 = "all-mpnet-base-v2", "multilingual-e5-small"
MODELS = ("all-minilm-l6-v2", "wordllama-l2-supercat-256", LSA)
_SAMPLED = (MPNET, E5)  # slow to embed, so that a sample is: bench/samples.py
_SAMPLED_COLLECTIONS, _SAMPLED_PASSAGES = ("nfcorpus", "cranfield"), 20_000
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Scene:
    """Vectors of one model, collection and setting.

    Attributes:
        model: Name of the model.
        setting: ``sample``, ``transfer``, ``wide`` or ``small``.
        collection: Texts and judgements.
        fit: Vectors to fit on, float32 (n_fit, d), unit length.
        docs: Vectors to search, float32 (n, d); the collection's own come first.
        queries: Vectors of the judged queries, float32 (m, d).
    """

    model: str
    setting: str
    collection: Collection
    fit: Floats
    docs: Floats
    queries: Floats


def data_folder() -> Path:
    """Where the data lie; ends the program with a reason where they do not."""
    folder = Path(os.environ.get("QAMA_DATA", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        raise SystemExit(f"no data under {folder}: set QAMA_DATA to the folder that holds data/")
    return folder


def load_scene(model: str, name: str, setting: str) -> Scene:
    """Load what one run needs."""
    collection = load_collection(data_folder() / "data" / name)
    docs = vectors(model, f"{name}.docs")
    queries = vectors(model, f"{name}.queries")[list(collection.query_rows)]
    if setting == "small":
        return Scene(model, setting, collection, docs, docs, queries)
    general = vectors(model, "train-text")[general_passages((name,))]
    if setting == "transfer":
        return Scene(model, setting, collection, general, docs, queries)
    both = np.concatenate([docs, general])
    if setting == "sample":
        half = np.random.default_rng(0).permutation(len(both))[: len(both) // 2]
        return Scene(model, setting, collection, both[np.sort(half)], docs, queries)
    return Scene(model, setting, collection, both, both, queries)


def collections_of(model: str) -> tuple[str, ...]:
    """The collections that there are vectors of a model for."""
    return _SAMPLED_COLLECTIONS if model in _SAMPLED else COLLECTIONS


def passages_of(model: str) -> NDArray[np.int64]:
    """Which general passages a model's "train-text" is of."""
    if model not in _SAMPLED:
        return np.arange(len(_passages()))
    rows = general_passages(COLLECTIONS)
    return np.sort(np.random.default_rng(0).choice(rows, _SAMPLED_PASSAGES, replace=False))


def general_passages(without: Sequence[str]) -> NDArray[np.int64]:
    """Rows of the general passages that do not come from these collections."""
    left_out = {f"corpus:{name}" for name in without}
    return np.flatnonzero([source not in left_out for source, _ in _passages()])


def _passages() -> list[tuple[str, str]]:
    """Source and text of each general passage."""
    path = data_folder() / "data/train-text/passages.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [(row["source"], row["text"]) for row in map(json.loads, stream)]


def vectors(model: str, stem: str) -> Floats:
    """Unit vectors in float32; a zero vector (a text without a known word) stays zero.

    Args:
        model: One of MODELS, or any other: the name on a hub or the folder of a
            sentence-transformers model, whose vectors are made once (hours for a large one).
        stem: ``NAME.docs`` or ``NAME.queries`` of a collection, or ``train-text``.
    """
    if model == LSA:
        folder = _lsa_folder()
    elif model in _SAMPLED:
        folder = _sampled(model)
    elif model in MODELS:
        folder = data_folder() / "embeddings" / model
    else:
        folder = _embedded(model, stem)
    return _unit(np.load(folder / f"{stem}.npy").astype(np.float32))


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _sampled(model: str) -> Path:
    from samples import make

    make(model)
    return cache(model)


def texts_of(stem: str) -> list[str]:
    """The texts that vectors of that name are of."""
    if stem == "train-text":
        return [text for _, text in _passages()]
    name, part = stem.split(".")
    folder = data_folder() / "data" / name
    if part == "queries":
        return _query_texts(folder / "queries.jsonl")
    return list(load_collection(folder).doc_texts)


def cache(model: str) -> Path:
    """Where what is made of a model is kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "qama-bench" / model.strip("/").replace("/", "--")


def model_name(text: str) -> str:
    """Check a model's name from the command line.

    Raises:
        ValueError: neither one of MODELS nor a hub's ``owner/name`` nor a folder.
    """
    if text in MODELS or "/" in text:
        return text
    raise ValueError(text)


# --- any sentence-transformers model --------------------------------------------------------------

PREFIXES = {  # of queries and of documents, as the model's card asks for
    "nomic-ai/modernbert-embed-base": ("search_query: ", "search_document: "),
}


def _embedded(model: str, stem: str) -> Path:
    """Folder of a model's vectors; those of this name are made if they are not there."""
    from qama.evaluation.embed import embed

    folder = cache(model)
    path = folder / f"{stem}.npy"
    if not path.exists():
        prefix = PREFIXES.get(model, ("", ""))[0 if stem.endswith(".queries") else 1]
        made = embed([prefix + text for text in texts_of(stem)], model)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, made.astype(np.float16))
    return folder


# --- LSA: a family of 768 dims that needs no download ---------------------------------------------


def _lsa_folder() -> Path:
    """Folder of the LSA vectors, made at the first call (some minutes).

    One model for all collections: tf-idf and a truncated SVD fitted on the documents of every
    collection and on the general passages. No query takes part in the fit.
    """
    folder = cache(LSA)
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make_lsa(folder)
        (folder / "done").touch()
    return folder


def _make_lsa(folder: Path) -> None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    stems = ["train-text", *(f"{name}.docs" for name in COLLECTIONS)]
    texts = {stem: texts_of(stem) for stem in stems}
    fitted_on = [text for part in texts.values() for text in part]
    words = TfidfVectorizer(sublinear_tf=True, min_df=3, max_df=0.3, stop_words="english")
    svd = TruncatedSVD(768, n_iter=4, random_state=0)
    svd.fit(words.fit_transform(fitted_on))
    texts |= {f"{name}.queries": texts_of(f"{name}.queries") for name in COLLECTIONS}
    for stem, part in texts.items():
        np.save(folder / f"{stem}.npy", _encode(words, svd, part))


def _encode(words: object, svd: object, texts: Sequence[str]) -> NDArray[np.float16]:
    """LSA vectors, float16 and of unit length."""
    raw = svd.transform(words.transform(texts)).astype(np.float32)  # type: ignore[attr-defined]
    return _unit(raw).astype(np.float16)


def _query_texts(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line)["text"] for line in stream if line.strip()]
