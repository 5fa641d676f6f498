"""What the fuzzing of `tests/long/fuzz.py` found and kept is refused or used; signatures are right.

`tests/corpus` has a folder for each kind of file: inputs that reached something new, and what once
was a finding.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from damage import damaged, signed
from targets import TARGETS, place, use, whole_files

from qama import Codec, FormatError
from qama.search.storage import log

CORPUS = Path(__file__).parent / "corpus"
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Whole files by kind."""
    return whole_files(tmp_path_factory.mktemp("whole"))


@pytest.mark.filterwarnings("ignore::qama.RecoveryWarning", "ignore::qama.DriftWarning")
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # numbers of no sense
@pytest.mark.filterwarnings("ignore:Reading .*npy:UserWarning")  # NumPy, of headers like Python 2's
@pytest.mark.parametrize("kind", TARGETS)
def test_what_fuzzing_found_is_refused_or_used(kind, tmp_path):
    inputs = sorted((CORPUS / kind).iterdir())
    assert inputs
    for file in inputs:
        path = place(kind, tmp_path)
        path.write_bytes(file.read_bytes())
        use(kind, path)


@pytest.mark.filterwarnings("ignore::qama.DriftWarning")
def test_whole_files_are_used(whole, tmp_path):
    assert set(whole) == set(TARGETS)
    for kind, pairs in whole.items():
        for raw, _ in pairs:
            path = place(kind, tmp_path)
            path.write_bytes(raw)
            assert not use(kind, path), kind


def test_whole_files_are_signed_already(whole):
    for pairs in whole.values():
        for raw, logged in pairs:
            assert signed(raw) == raw
            assert signed(logged) == logged


def test_a_signed_damage_passes_for_whole(tmp_path):
    """A fuzzing that could not sign would end at the checksums."""
    path, stored = tmp_path / "codec", Codec.load(GOLDEN / "codec.qama").thermometer.transform.w
    raw = bytearray((GOLDEN / "codec.qama").read_bytes())
    raw[raw.index(stored.tobytes()) + 3] ^= 0x80  # another sign of the first weight
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"'transform\.w' is damaged"):
        Codec.load(path)
    path.write_bytes(signed(bytes(raw)))
    assert Codec.load(path).thermometer.transform.w[0, 0] == -stored[0, 0]

    raw = bytearray((GOLDEN / "index-2.qama.log").read_bytes())
    raw[-1] ^= 1
    whole = len(log.read(np.frombuffer(bytes(raw), np.uint8), "log").records)
    assert len(log.read(np.frombuffer(signed(bytes(raw)), np.uint8), "log").records) == whole + 1


def test_a_seed_makes_the_same_damage():
    raw = (GOLDEN / "index-1.qama").read_bytes()
    once, again, other = (
        [damaged(random.Random(seed + n), raw, raw) for n in range(20)] for seed in (0, 0, 100)
    )
    assert once == again != other
    assert raw not in once
