"""MTEB's search protocol, on a stand-in for MTEB."""

from __future__ import annotations

import sys
import types

import pytest

from qama import Index
from qama.errors import MissingExtraError


def test_mteb_absent_names_the_command(monkeypatch):
    from qama.integrations.mteb import run_task

    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qama\[mteb\]"'):
        run_task("SciFact", "some/model", codec=None)


class Fake:
    """What of MTEB is asked for: a task searches, a wrapper encodes batches of texts."""

    def __init__(self, monkeypatch, docs, queries):
        self.metadata = types.SimpleNamespace(name="Fake")
        self.docs = {"id": [f"d{i}" for i in range(len(docs))], "text": docs}
        self.queries = {"id": [f"q{i}" for i in range(len(queries))], "text": queries}
        for name in ("mteb", "mteb.models", "mteb.models.model_meta", "mteb.types",
                     "mteb._create_dataloaders"):  # fmt: skip
            setattr(self, name.rpartition(".")[2], types.ModuleType(name))
            monkeypatch.setitem(sys.modules, name, getattr(self, name.rpartition(".")[2]))
        self.mteb.get_task = {"Fake": self}.__getitem__
        self.mteb.evaluate = self.evaluate
        self.models.SentenceTransformerEncoderWrapper = lambda model: self
        self.types.PromptType = str
        self._create_dataloaders.create_dataloader = lambda texts, **options: texts["text"]
        self.model_meta.ModelMeta = types.SimpleNamespace(create_empty=lambda given: given)
        self.prompts = []

    def encode(self, batches, prompt_type, task_metadata, hf_split, hf_subset, batch_size):
        assert (task_metadata, hf_split, hf_subset, batch_size) == ("m", "test", "en", 8)
        self.prompts.append(prompt_type)
        return batches

    def evaluate(self, searcher, tasks, **options):
        where = {"task_metadata": "m", "hf_split": "test", "hf_subset": "en",
                 "encode_kwargs": {"batch_size": 8}}  # fmt: skip
        self.meta = searcher.mteb_model_meta
        searcher.index(self.docs, **where)
        self.found = searcher.search(self.queries, top_k=4, **where)
        with pytest.raises(ValueError, match="re-ranking tasks give their own candidates"):
            searcher.search(self.queries, top_k=4, top_ranked={"q0": ["d0"]}, **where)
        result = types.SimpleNamespace(get_score=lambda: 0.5)
        return types.SimpleNamespace(task_results=[result])


def test_an_mteb_task_is_searched_by_codes(monkeypatch, byte_codec, rows, queries):
    from qama.integrations.mteb import run_task

    fake = Fake(monkeypatch, rows, queries)
    request = {"dims": 16, "level": "2"}
    score = run_task("Fake", "some/model", byte_codec, request=request, scorer="hamming", threads=1)
    assert score == 0.5
    assert fake.prompts == ["document", "query"]
    assert fake.meta == {"name": "qama/default-4B-hamming", "revision": byte_codec.fingerprint}
    index = Index(byte_codec, **request)
    index.add(rows)
    for query, ids in enumerate(index.search(queries, 4, scorer="hamming").ids):
        expected = {f"d{row}": -float(rank) for rank, row in enumerate(ids)}
        assert fake.found[f"q{query}"] == expected
    assert run_task(fake, "some/model", byte_codec, request=request, threads=1) == 0.5


def test_mteb_tasks_that_are_unknown_or_out_of_reach_are_refused(monkeypatch, codec, rows):
    from qama.integrations.mteb import run_task

    fake = Fake(monkeypatch, rows, rows)
    with pytest.raises(ValueError, match="MTEB has no task 'Nothing'"):
        run_task("Nothing", "some/model", codec)

    def offline(*given, **options):
        raise ConnectionError("no route")

    fake.mteb.evaluate = offline
    with pytest.raises(ValueError, match=r"data of the MTEB task 'Fake' cannot be .* no route; go"):
        run_task("Fake", "some/model", codec)
