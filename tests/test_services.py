"""What all services that make vectors have in common; their clients are in tests/integrations."""

from __future__ import annotations

import sys
import traceback
import types

import numpy as np
import pytest

import qama
from qama import EmbeddingError, MissingExtraError
from qama.embedders import Cohere, OpenAI, Service, Voyage

KEY = "sk-secret"


class Made(Service):
    """A service in memory: a text is its length and its first letter; a request has 3 texts."""

    package = extra = "madeup"
    key = "MADEUP_KEY"
    max_texts, max_bytes = 3, 20

    def _connected(self, package, key, url, retries):
        self.given = (key, url, retries)
        self.asked = []

    def _request(self, texts, query):
        self.asked.append((texts, query))
        return [[len(text), ord(text[0])] for text in texts], 2 * sum(map(len, texts))


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A key, and a package of that name."""
    monkeypatch.setenv("MADEUP_KEY", f"{KEY}\n")
    monkeypatch.setitem(sys.modules, "madeup", types.ModuleType("madeup"))


def test_texts_are_sent_in_requests_of_so_many_texts_and_bytes():
    made = Made("m", url="http://here", retries=2)
    assert made.given == (KEY, "http://here", 2)
    texts = ["aa", "b", "c", "d", "e" * 19, "f", "é" * 10, "g" * 50, "h"]
    X = made.encode(texts)
    assert X.dtype == np.float32
    assert X.tolist() == [[len(text), ord(text[0])] for text in texts]
    parts = [["aa", "b", "c"], ["d", "e" * 19], ["f"], ["é" * 10], ["g" * 50], ["h"]]
    assert made.asked == [(part, False) for part in parts]
    assert made.encode_query(["q"]).tolist() == [[1, ord("q")]]
    assert made.asked[-1] == (["q"], True)


def test_an_estimate_counts_requests_and_learns_how_many_tokens_texts_have():
    made = Made("m")
    texts = ["word"] * 100
    guessed = made.estimate(texts, price=3.0)
    assert (guessed.texts, guessed.requests, guessed.tokens) == (100, 34, 100)
    assert guessed.usd == pytest.approx(3e-4)
    assert made.asked == []
    made.encode(["ab"])  # two tokens a byte
    assert made.estimate(texts).tokens == 800
    assert str(made.estimate(texts)) == "100 texts in 34 requests, about 800 tokens"
    assert str(made.estimate(texts, price=5e3)).endswith("about 800 tokens, about $4.00")


def test_a_service_serves_fits_and_documents(tmp_path):
    embed = Made("some-model")
    texts = [chr(97 + i % 26) * (1 + i // 26) for i in range(60)]
    codec = qama.fit(embed, texts, threads=1)
    assert codec.model == "some-model"
    assert not any(query for _, query in embed.asked)
    with qama.Documents.create(tmp_path / "docs", codec, nbytes=2, embed=embed) as docs:
        docs.add(texts=texts)
        embed.asked.clear()
        assert len(docs.search("what", k=3)) == 3
    assert embed.asked == [(["what"], True)]


@pytest.mark.parametrize("raised", [ValueError(f"header 'Bearer {KEY}'"), KeyError(KEY)])
def test_no_message_and_no_repr_shows_the_key(raised):
    made = Made("m")
    assert repr(made) == "<qama.embedders.Made 'm'>"

    def refuse(texts, query):
        raise raised

    made._request = refuse
    with pytest.raises(EmbeddingError, match=r"'m' made no vectors of 1 texts: \w+Error: ") as said:
        made.encode(["a"])
    assert "***" in str(said.value)
    shown = "".join(traceback.format_exception(said.value))
    assert KEY not in shown
    assert said.value.__context__ is None


def test_fewer_vectors_than_texts_are_refused():
    made = Made("m")
    made._request = lambda texts, query: ([[1.0]], 1)
    with pytest.raises(EmbeddingError, match=r"<qama\.embedders\.Made 'm'> sent 1 vectors of 2"):
        made.encode(["a", "b"])


@pytest.mark.parametrize(("texts", "message"), [
    ("one", "texts is 'one'; give a list of strings"),
    ([], "texts is empty"),
    (["a", 3], r"texts\[1\] is 3"),
])  # fmt: skip
def test_what_are_no_texts_is_refused_before_it_is_sent(texts, message):
    made = Made("m")
    for call in (made.encode, made.encode_query, made.estimate):
        with pytest.raises(ValueError, match=message):
            call(texts)
    assert made.asked == []


@pytest.mark.parametrize(("service", "package", "extra"), [
    (OpenAI, "openai", "openai"), (Cohere, "cohere", "cohere"), (Voyage, "voyageai", "voyage"),
])  # fmt: skip
def test_a_missing_client_names_the_command(monkeypatch, service, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        service("some-model")
    name = service.__name__
    said = f'qama.embedders.{name} needs {package}: pip install "qama[{extra}]"'
    assert str(caught.value) == said


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_key_names_its_variable(monkeypatch, value):
    monkeypatch.delenv("MADEUP_KEY") if value is None else monkeypatch.setenv("MADEUP_KEY", value)
    with pytest.raises(ValueError, match="MADEUP_KEY is not set: give the key in the environment"):
        Made("m")


@pytest.mark.parametrize("value", ["sk-\nsecret", "sk secret", "sk-\u201csecret", "sk-\x00secret"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(monkeypatch, value):
    monkeypatch.setattr("os.environ", {"MADEUP_KEY": value})
    with pytest.raises(ValueError, match=r"MADEUP_KEY holds a space, .* the key alone") as said:
        Made("m")
    assert "secret" not in str(said.value)


@pytest.mark.parametrize("options", [{"dims": 0}, {"retries": -1}, {"dims": "many"}])
def test_options_that_do_not_fit_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is .*; give a whole number"):
        Made("m", **options)
