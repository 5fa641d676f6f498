"""Codecs as safetensors, and in folders with a card as the hub has them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from qama import FormatError, MissingExtraError
from qama.integrations import hub, safetensors


@pytest.mark.parametrize("name", ["codec", "paper_codec", "bytes_codec", "byte_codec"])
def test_a_codec_in_safetensors_comes_back_whole(request, tmp_path, name, rows):
    codec = request.getfixturevalue(name)
    safetensors.save(codec, tmp_path / "x.safetensors")
    again = safetensors.load(tmp_path / "x.safetensors")
    assert again.fingerprint == codec.fingerprint
    assert again.facts == codec.facts
    assert (again.encode(rows) == codec.encode(rows)).all()
    tensors = load_file(tmp_path / "x.safetensors")
    assert {name: array.tolist() for name, array in tensors.items()} == {
        name: array.tolist() for name, array in codec.parts()[1].items()
    }


def test_what_is_no_codec_in_safetensors_is_refused(bytes_codec, tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.save(bytes_codec, path)
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])  # a weight: the fingerprint is another one
    for raw in (b"", b"x" * 99, whole[:-5], whole[: 8 + header], flipped):
        path.write_bytes(raw)
        with pytest.raises(FormatError, match=r"x\.safetensors is no codec in safetensors"):
            safetensors.load(path)
    with pytest.raises(FileNotFoundError):
        safetensors.load(tmp_path / "y.safetensors")


def test_a_codec_of_another_model_is_refused(rows, tmp_path):
    import qama

    codec = qama.fit(rows, max_bytes=4, threads=1, model="one")
    safetensors.save(codec, tmp_path / "x.safetensors")
    hub.save_pretrained(codec, tmp_path / "folder")
    for load, place in ((safetensors.load, "x.safetensors"), (hub.from_pretrained, "folder")):
        assert load(tmp_path / place, model="one").model == "one"
        with pytest.raises(ValueError, match="was fitted on vectors of 'one'"):
            load(tmp_path / place, model="two")


def test_a_folder_has_the_codec_and_a_card(bytes_codec, rows, tmp_path):
    hub.save_pretrained(bytes_codec, tmp_path / "new" / "folder", vectors=rows)
    again = hub.from_pretrained(tmp_path / "new" / "folder")
    assert again.fingerprint == bytes_codec.fingerprint
    text = (tmp_path / "new" / "folder" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: qama\n")
    for line in ("| dims | 32 |", "| fitted on | 300 rows (300 used) |", "| seed | 0 |",
                 f"| fingerprint | {bytes_codec.fingerprint} |",
                 "| vectors of | a model that the fit was not told |"):  # fmt: skip
        assert line in text
    from qama.evaluation.quantisability import quantisability

    found = quantisability(rows, lambda _: bytes_codec)
    assert f"Estimated on {found.held_out} of 300 vectors" in text
    for budget in found.budgets:
        assert f"| {budget.nbytes} | {100 * budget.ndcg:.1f} (" in text


def test_a_card_without_vectors_says_that_nothing_was_estimated(codec):
    assert "Not estimated: no vectors were given" in hub.card(codec)


def test_missing_packages_are_named(bytes_codec, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call, extra in (
        (lambda: hub.push_to_hub(bytes_codec, "me/codec"), "hub"),
        (lambda: hub.from_pretrained("me/codec"), "hub"),
        (lambda: safetensors.save(bytes_codec, tmp_path / "x"), "safetensors"),
        (lambda: safetensors.load(tmp_path / "x"), "safetensors"),
    ):
        with pytest.raises(MissingExtraError, match=rf'pip install "qama\[{extra}\]"'):
            call()
    assert not np.any([file.name == "x" for file in tmp_path.iterdir()])
