"""MTEB's search protocol, on a stand-in for MTEB."""

from __future__ import annotations

import sys
import types

import pytest

import qama
from qama import Index
from qama.errors import MissingExtraError


def test_mteb_absent_names_the_command(monkeypatch):
    from qama.integrations.mteb import run

    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qama\[mteb\]"'):
        run("some/model", "SciFact", nbytes=48)


class Fake:
    """What of MTEB is asked for: a task searches, a wrapper encodes batches of texts."""

    def __init__(self, monkeypatch, docs, queries):
        self.metadata = types.SimpleNamespace(name="Fake")
        self.mteb_model_meta = types.SimpleNamespace(name="some/tiny", revision="1")
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
        assert tasks == [self]
        self.options = options
        self.meta = searcher.mteb_model_meta
        searcher.index(self.docs, **where)
        self.found = searcher.search(self.queries, top_k=4, **where)
        with pytest.raises(ValueError, match="re-ranking tasks give their own candidates"):
            searcher.search(self.queries, top_k=4, top_ranked={"q0": ["d0"]}, **where)
        result = types.SimpleNamespace(get_score=lambda: 0.5)
        return types.SimpleNamespace(task_results=[result])


def test_an_mteb_task_is_searched_by_codes(monkeypatch, byte_codec, rows, queries):
    from qama.integrations.mteb import run

    fake = Fake(monkeypatch, rows, queries)
    request = {"dims": 16, "level": "2"}
    results = run("some/model", "Fake", byte_codec, **request, scorer="hamming", threads=1)
    assert results.task_results[0].get_score() == 0.5
    assert fake.prompts == ["document", "query"]
    assert fake.meta == {"name": "qama/tiny-4B-hamming", "revision": byte_codec.fingerprint}
    index = Index(byte_codec, **request)
    index.add(rows)
    assert fake.found == ranked(index.search(queries, 4, scorer="hamming").ids)
    assert fake.options == {"cache": None, "show_progress_bar": False, "co2_tracker": False}
    run("some/model", [fake], byte_codec, threads=1, cache="there")
    assert fake.options["cache"] == "there"


def ranked(ids):
    """What MTEB is told of the rows that a search found."""
    return {
        f"q{query}": {f"d{row}": -float(rank) for rank, row in enumerate(found)}
        for query, found in enumerate(ids)
    }


def test_without_a_codec_each_corpus_gets_its_own(monkeypatch, rows, queries):
    from qama.integrations.mteb import CodeSearch, run

    fake = Fake(monkeypatch, rows, queries)
    run(fake, fake, nbytes=8, threads=1)
    assert fake.meta == {"name": "qama/tiny-8B-asymmetric", "revision": "1"}
    index = Index(qama.fit(rows, max_bytes=8, threads=1), nbytes=8)
    index.add(rows)
    assert fake.found == ranked(index.search(queries, 4).ids)
    for request in ({}, {"dims": 16}, {"nbytes": 8, "dims": 16}):
        with pytest.raises(ValueError, match=r"without a codec, .* give nbytes and neither dims"):
            run(fake, fake, **request)
    with pytest.raises(ValueError, match="no corpus to search: call index first"):
        CodeSearch(fake, request={"nbytes": 8}).search(
            fake.queries, task_metadata=None, hf_split="", hf_subset="", top_k=1, encode_kwargs={}
        )


def test_mteb_tasks_that_are_unknown_or_out_of_reach_are_refused(monkeypatch, codec, rows):
    from qama.integrations.mteb import run

    fake = Fake(monkeypatch, rows, rows)
    with pytest.raises(ValueError, match="MTEB has no task 'Nothing'"):
        run("some/model", "Nothing", codec)

    def offline(*given, **options):
        raise ConnectionError("no route")

    fake.mteb.evaluate = offline
    with pytest.raises(ValueError, match=r"data of the MTEB task 'Fake' cannot be .* no route; go"):
        run("some/model", "Fake", codec)
