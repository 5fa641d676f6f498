"""Base codecs: fitted once on general text for a model, kept on this machine, taken by name.

A base needs no fit before the first code, and a fit that starts from it needs few vectors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qama.codec import Codec
from qama.fitting import fit

MAX_BYTES = 48  # such a codec of 384 dims is a file of 2.5 MB


def base(model: str) -> Codec:
    """Return the base codec of a model, which `make_base` or ``qama base`` made on this machine.

    Args:
        model: The model's name, such as "all-MiniLM-L6-v2".

    Returns:
        A codec of byte codes of up to 48 bytes; also what `qama.fit` takes as ``base``.

    Raises:
        ValueError: a name that cannot be one.
        FileNotFoundError: none was made; the message has the command that makes it.
        FormatError: the file is damaged.
    """
    path = base_path(model)
    if not path.exists():
        known = sorted(file.stem.replace("--", "/") for file in path.parent.glob("*.qama"))
        there = f"there are those of {', '.join(known)}" if known else "there is none of any model"
        raise FileNotFoundError(
            f"no base codec of {model!r} in {path.parent}, {there}; make it once: qama base {model}"
        )
    return Codec.load(path, model=model)


def make_base(
    model: str, embedder: Any, texts: Iterable[str], *, seed: int = 0, threads: int = 0,
    **options: Any,
) -> Codec:  # fmt: skip
    """Fit the base codec of a model on texts, and keep it for `base`, in place of an earlier one.

    Args:
        model: The model's name, recorded in the codec.
        embedder: An object with ``encode``, as a SentenceTransformer is, or a function from a list
            of texts to floats (n, d).
        texts: Some tens of thousands of texts, as general as what will be encoded may be.
        seed: See `qama.fit`.
        threads: See `qama.fit`.
        **options: See `qama.fit`; by default byte codes of at most 48 bytes.

    Returns:
        The codec.

    Raises:
        ValueError: a name that cannot be one, or what `qama.fit` refuses.
    """
    path = base_path(model)
    chosen = {"codes": "bytes", "max_bytes": MAX_BYTES, **options}
    codec = fit(embedder, texts, seed=seed, threads=threads, model=model, **chosen)
    path.parent.mkdir(parents=True, exist_ok=True)
    codec.save(path)
    return codec


def base_path(model: str) -> Path:
    """Return where the base codec of a model is kept: below $QAMA_HOME, or ~/.cache/qama.

    Raises:
        ValueError: a name that cannot be one.
    """
    if not (isinstance(model, str) and re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", model)):
        raise ValueError(f"model is {model!r}; give a name such as all-MiniLM-L6-v2")
    home = Path(os.environ.get("QAMA_HOME") or Path.home() / ".cache" / "qama")
    return home / "bases" / f"{model.replace('/', '--')}.qama"
