"""Codecs on the Hugging Face Hub, each with a card that says what it was fitted on.

    push_to_hub(codec, "me/my-codec", vectors=X)
    codec = from_pretrained("me/my-codec")

The token is the hub's own: ``HF_TOKEN`` in the environment, or that of ``hf auth login``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from qama.codec import Codec
from qama.errors import MissingExtraError
from qama.evaluation.quantisability import Quantisability, quantisability

__all__ = ["card", "from_pretrained", "push_to_hub", "save_pretrained"]

_FILE = "codec.qama"


def save_pretrained(
    codec: Codec, folder: str | os.PathLike[str], *, vectors: object = None
) -> None:
    """Write a codec and its card into a folder, as a repository of the hub has them.

    Args:
        codec: The codec.
        folder: A folder; it is made where it is not there.
        vectors: Vectors for the card's estimate of what byte codes keep; see `quantisability`.
            None: the card has none.

    Raises:
        ValueError: unfitting vectors, or a codec without byte codes.
        OSError: the folder cannot be written.
    """
    found = None if vectors is None else quantisability(vectors, lambda _: codec)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    codec.save(place / _FILE)
    (place / "README.md").write_text(card(codec, found), encoding="utf-8")


def push_to_hub(
    codec: Codec, repo_id: str, *, vectors: object = None, private: bool | None = None
) -> str:
    """Put a codec and its card into a repository of the hub, which is made where it is not there.

    Args:
        codec: The codec.
        repo_id: "owner/name".
        vectors: See `save_pretrained`.
        private: Whether a new repository is private; None: what is usual for its owner.

    Returns:
        The address of the commit.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ValueError: see `save_pretrained`.
        OSError: the hub cannot be reached, or refuses.
    """
    api = _client().HfApi()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(codec, folder, vectors=vectors)
        api.create_repo(repo_id, private=private, exist_ok=True)
        message = f"Codec {codec.fingerprint}"
        done = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
    return str(done.commit_url)


def from_pretrained(
    name: str | os.PathLike[str], *, revision: str | None = None, model: str | None = None
) -> Codec:
    """Return the codec of a folder that `save_pretrained` wrote, or of a repository of the hub.

    Args:
        name: A folder, or "owner/name".
        revision: A branch, tag or commit of the repository; None: its main branch.
        model: Name of the model whose vectors will be encoded, to be checked.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        FormatError, ValueError: see `Codec.load`.
        OSError: there is no codec, or the hub cannot be reached.
    """
    if Path(name).is_dir():
        return Codec.load(Path(name) / _FILE, model)
    path = _client().hf_hub_download(os.fspath(name), _FILE, revision=revision)
    return Codec.load(path, model)


def card(codec: Codec, found: Quantisability | None = None) -> str:
    """Return the card of a codec, in Markdown.

    Args:
        codec: The codec.
        found: What its byte codes keep, as estimated; None: the card does not say.
    """
    facts = codec.facts
    offers = "; ".join(quantizer.offers for quantizer in codec.quantizers)
    rows = {
        "vectors of": codec.model or "a model that the fit was not told",
        "dims": codec.dims_in,
        "codes": offers,
        "fitted on": f"{facts.get('rows', '?')} rows ({facts.get('rows_used', '?')} used)",
        "seed": facts.get("seed", "?"),
        "preset": codec.preset,
        "fingerprint": codec.fingerprint,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return _CARD.format(table=table, kept=_kept(found))


def _kept(found: Quantisability | None) -> str:
    if found is None:
        return "Not estimated: no vectors were given with the codec."
    lines = "\n".join(
        f"| {budget.nbytes} | {100 * budget.ndcg:.1f} ({100 * budget.low:.1f} to "
        f"{100 * budget.high:.1f}) | {100 * budget.overlap:.1f} |"
        for budget in found.budgets
    )
    return (
        f"Estimated on {found.held_out} of {found.rows} vectors that searched {found.searched} "
        f"others, the float32 neighbours being the truth. The fit may have seen them.\n\n"
        f"| bytes | nDCG@10 kept, % (95 % interval) | of the ten nearest, % |\n"
        f"|--:|--:|--:|\n{lines}"
    )


def _client() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("qama.integrations.hub", "huggingface_hub", "hub") from error
    return huggingface_hub


_CARD = """---
library_name: qama
tags:
- qama
- embeddings
- quantization
---

# A codec of qama

It makes codes of a few dozen bytes of the vectors of one embedding model, for search.

| | |
|---|---|
{table}

## What codes keep

{kept}

## To use it

```python
from qama.integrations.hub import from_pretrained

codec = from_pretrained("OWNER/NAME")   # the name of this repository
codes = codec.encode(vectors)
```
"""
