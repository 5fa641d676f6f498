"""`qama.fit(model, texts)`: texts in place of vectors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
import zlib

import numpy as np
import pytest

import qama

NAMES = ("red house", "blue house", "old house", "red tree", "blue tree", "old tree")
TEXTS = [f"{name} {i}" for i in range(20) for name in NAMES]


def embed(texts):
    """Words counted by their hash."""
    X = np.zeros((len(texts), 32), dtype=np.float32)
    for row, text in zip(X, texts, strict=True):
        for word in text.split():
            row[zlib.crc32(word.encode()) % 32] += 1
    return X


class Model:
    """As a SentenceTransformer is: passages are told from queries."""

    def __init__(self):
        self.model_card_data = types.SimpleNamespace(base_model="some/model")

    encode = staticmethod(lambda texts: 1 / 0)
    encode_document = staticmethod(embed)


def test_a_fit_on_texts_is_the_fit_on_their_vectors():
    expected = qama.fit(embed(TEXTS), threads=1)
    for texts in (TEXTS, tuple(TEXTS), iter(TEXTS), np.array(TEXTS)):
        assert qama.fit(embed, texts, threads=1).fingerprint == expected.fingerprint
    codec = qama.fit(Model(), TEXTS, threads=1)
    assert codec.fingerprint == expected.fingerprint
    assert codec.facts["rows"] == len(TEXTS)


def test_the_models_name_is_recorded_unless_another_is_given():
    assert qama.fit(Model(), TEXTS, threads=1).model == "some/model"
    assert qama.fit(embed, TEXTS, threads=1).model is None
    named = qama.fit(Model(), TEXTS, threads=1, model="mine")
    assert named.model == "mine"
    assert qama.fit(Model(), TEXTS, threads=1, base=named).model == "mine"


def test_of_many_texts_only_an_even_sample_is_embedded():
    asked = []
    texts = [f"{i} word" for i in range(4000)]
    codec = qama.fit(lambda part: asked.extend(part) or embed(part), texts, threads=1, max_rows=500)
    assert len(asked) == len(set(asked)) == 500
    assert codec.facts["rows"] == 4000
    numbers = [int(text.split()[0]) for text in asked]
    assert numbers == sorted(numbers)
    quarters = np.histogram(numbers, bins=4, range=(0, 4000))[0]
    assert (np.abs(quarters - 125) < 40).all()  # four standard deviations


@pytest.mark.parametrize(("given", "message"), [
    ((Model(),), r"X is a Model; give its texts too: qama\.fit\(model, texts\)"),
    ((embed, "paper"), r"texts is 'paper'; give a list of strings .* preset="),
    ((embed, 3), "texts is 3; give a list of strings"),
    ((embed, []), "texts is empty"),
    ((embed, ["a"] * 16 + [None]), r"texts\[16\] is None; give strings alone"),
    ((embed, ["a"] * 15), "X has 15 rows; a fit needs at least 16"),
    ((np.eye(16), TEXTS), r"^X is .{,40}; give a model"),
    ((json.dumps, TEXTS), r"^what embed made is the string or path .{,40}; fit and"),
    (("all-MiniLM-L6-v2", TEXTS), "X is 'all-MiniLM-L6-v2'; give a model"),
    ((lambda texts: embed(texts)[1:], TEXTS), "embed made 119 vectors of 120 texts"),
    ((lambda texts: texts, TEXTS), "what embed made has dtype"),
])  # fmt: skip
def test_what_is_no_model_and_no_texts_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        qama.fit(*given, threads=1)


@pytest.mark.parametrize("shown", [False, True])
def test_a_terminal_sees_how_far_it_is(shown):
    program = """
import zlib, numpy as np, qama
random = np.random.default_rng(0)
qama.fit(lambda texts: random.standard_normal((len(texts), 8)), ["a"] * 600, threads=1)
"""
    environment = {name: held for name, held in os.environ.items() if name != "FORCE_COLOR"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True,
        env=environment | ({"FORCE_COLOR": "1"} if shown else {}),
    )  # fmt: skip
    assert ("embedding texts" in done.stderr) == shown
    assert done.stdout == ""
