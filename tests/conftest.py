"""Data and codecs that several files share: small, seeded, made once."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import typer
from hypothesis import settings

SEED = 0

settings.register_profile("qama", deadline=None)  # a busy machine is not a failure
settings.load_profile("qama")


def mixture(n, d, seed=SEED):
    """Rows of a low-rank Gaussian mixture with a common direction, as embeddings have."""
    random = np.random.default_rng(seed)
    shapes = np.random.default_rng(SEED)  # the same mixture for every seed: other rows of it
    centers = shapes.standard_normal((8, d))
    basis = shapes.standard_normal((d // 2, d)) / np.sqrt(d)
    rows = centers[random.integers(8, size=n)] + random.standard_normal((n, d // 2)) @ basis
    return (rows + 0.2 * random.standard_normal((n, d)) + 0.5).astype(np.float32)


@pytest.fixture(scope="session", autouse=True)
def commands_built_once():
    """Let the runner of the command line build its commands once, not at every call."""
    with pytest.MonkeyPatch.context() as patch:
        build = functools.cache(typer.main.get_command)
        patch.setattr("typer.testing._get_command", build, raising=False)
        yield


@pytest.fixture(scope="session")
def rows():
    """300 vectors of 32 dims that both codecs were fitted on."""
    return mixture(300, 32)


@pytest.fixture(scope="session")
def queries():
    """20 other vectors of the same mixture."""
    return mixture(20, 32, seed=1)


def _fit(rows, preset):
    import qama

    return qama.fit(rows, preset=preset, steps=4, epochs=0, threads=1, device="cpu", codes="grid")


@pytest.fixture(scope="session")
def codec(rows):
    """A codec of the default preset, linear, without byte codes."""
    return _fit(rows, "default")


@pytest.fixture(scope="session")
def paper_codec(rows):
    """A codec of the paper preset: feed-forward."""
    return _fit(rows, "paper")


@pytest.fixture(scope="session")
def bytes_codec(rows):
    """A codec of byte codes alone, fitted."""
    import qama

    return qama.fit(rows, max_bytes=16, threads=1)


@pytest.fixture(scope="session")
def byte_codec(codec):
    """A codec of both, whose byte codes are steps along the axes: no fit."""
    from qama import Codec
    from qama.quantizers.additive.quantizer import AdditiveQuantizer, whole

    signs = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1)[:, 4:] * 2.0 - 1
    axes = np.eye(32).reshape(8, 4, 32)  # a codeword steps along four axes
    codewords = np.concatenate([signs @ axes / step for step in (6, 12, 24, 48)])
    lengths = np.ones(16, np.float32)
    coder = AdditiveQuantizer(whole(np.zeros(32)), whole(codewords).reshape(-1, 32), lengths)
    return Codec(coder, codec.thermometer)


@pytest.fixture(params=["default", "paper"])
def any_codec(request, codec, paper_codec):
    """Each of the two codecs."""
    return codec if request.param == "default" else paper_codec
