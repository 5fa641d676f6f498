"""Run an MTEB retrieval task on codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from qama import checks
from qama.checks import Floats
from qama.codec import Codec
from qama.errors import MissingExtraError
from qama.search.index import Index

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.models import EncoderProtocol
    from mteb.models.model_meta import ModelMeta
    from sentence_transformers import SentenceTransformer

__all__ = ["CodeSearch", "run_task"]


class _Table(Protocol):
    """A ``datasets.Dataset``: columns by name."""

    def __getitem__(self, column: str, /) -> Iterable[object]:
        """Return one column."""


class CodeSearch:
    """MTEB's search protocol around an `Index`: embeds, encodes, searches.

    Args:
        encoder: An MTEB encoder (``mteb.models.SentenceTransformerEncoderWrapper`` makes one).
        codec: The codec, fitted on vectors of the same model.
        request: ``dims`` and ``level``, or ``nbytes``, of the code.
        scorer: ``asymmetric`` or ``hamming``.
        threads: Threads of the search; 0 uses all cores.
    """

    def __init__(
        self,
        encoder: EncoderProtocol,
        codec: Codec,
        request: Mapping[str, Any] | None = None,
        scorer: str = "asymmetric",
        threads: int = 0,
    ) -> None:
        self._encoder = encoder
        self._codec = codec
        self._request = dict(request or {})
        self._scorer = scorer
        self._threads = checks.threads(threads)
        self._index = Index(codec, **self._request)
        self._doc_ids: list[str] = []

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """MTEB's description of what is judged: the code, named after its codec."""
        from mteb.models.model_meta import ModelMeta

        name = f"qama/{self._codec.preset}-{self._index.code_size}B-{self._scorer}"
        return ModelMeta.create_empty({"name": name, "revision": self._codec.fingerprint})

    def index(
        self,
        corpus: _Table,
        *,
        task_metadata: object,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, Any],
        num_proc: int | None = None,
        **_: object,
    ) -> None:
        """Embed and encode the corpus; replaces what was indexed before."""
        where = {"task_metadata": task_metadata, "hf_split": hf_split, "hf_subset": hf_subset}
        vectors = self._embed(corpus, "document", where, encode_kwargs)
        self._index = Index(self._codec, **self._request)
        self._index.add(vectors)
        self._doc_ids = [str(key) for key in corpus["id"]]

    def search(
        self,
        queries: _Table,
        *,
        task_metadata: object,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, Any],
        top_ranked: Mapping[str, list[str]] | None = None,
        num_proc: int | None = None,
        **_: object,
    ) -> dict[str, dict[str, float]]:
        """Search the index; scores are minus the rank, so ties stay in our order.

        Raises:
            ValueError: The task re-ranks given candidates instead of searching.
        """
        if top_ranked is not None:
            raise ValueError("re-ranking tasks give their own candidates; use a retrieval task")
        where = {"task_metadata": task_metadata, "hf_split": hf_split, "hf_subset": hf_subset}
        vectors = self._embed(queries, "query", where, encode_kwargs)
        found = self._index.search(vectors, top_k, scorer=self._scorer, threads=self._threads)
        return {
            str(query): {self._doc_ids[row]: -float(rank) for rank, row in enumerate(rows)}
            for query, rows in zip(queries["id"], found.ids.tolist(), strict=True)
        }

    def _embed(
        self, texts: _Table, kind: str, where: Mapping[str, Any], encode_kwargs: Mapping[str, Any]
    ) -> Floats:
        from mteb._create_dataloaders import create_dataloader
        from mteb.types import PromptType

        options = dict(encode_kwargs)
        batches = create_dataloader(
            texts,
            task_metadata=where["task_metadata"],
            prompt_type=PromptType(kind),
            batch_size=options.get("batch_size", 32),
        )
        vectors = self._encoder.encode(batches, prompt_type=PromptType(kind), **where, **options)
        return np.asarray(vectors, dtype=np.float32)


def run_task(
    task: str | AbsTask,
    model: str | SentenceTransformer,
    codec: Codec,
    *,
    request: Mapping[str, Any] | None = None,
    scorer: str = "asymmetric",
    threads: int = 0,
) -> float:
    """Run one MTEB retrieval task and return its main score, nDCG@10.

    Args:
        task: Name of the task (its data are fetched from the hub), or a task object.
        model: Name or folder of a sentence-transformers model, or the model itself.
        codec: The codec, fitted on vectors of the same model.
        request: ``dims`` and ``level``, or ``nbytes``, of the code.
        scorer: ``asymmetric`` or ``hamming``.
        threads: Threads of the search; 0 uses all cores.

    Returns:
        The main score of the task.

    Raises:
        MissingExtraError: mteb is not installed.
        ValueError: The task is unknown, or its data cannot be fetched (offline).
    """
    try:
        import mteb
        from mteb.models import SentenceTransformerEncoderWrapper
    except ImportError as error:
        raise MissingExtraError("an MTEB task", "mteb", "mteb") from error
    chosen = _task(mteb, task)
    encoder = SentenceTransformerEncoderWrapper(model)
    searcher = CodeSearch(encoder, codec, request, scorer, threads)
    try:
        results = mteb.evaluate(
            searcher, [chosen], cache=None, show_progress_bar=False, co2_tracker=False
        )
    except (ConnectionError, FileNotFoundError) as error:
        raise ValueError(
            f"the data of the MTEB task {chosen.metadata.name!r} cannot be fetched: {error}; "
            "go online, or evaluate a local BEIR folder"
        ) from error
    return float(results.task_results[0].get_score())


def _task(mteb: ModuleType, task: str | AbsTask) -> AbsTask:
    if not isinstance(task, str):
        return task
    try:
        return mteb.get_task(task)
    except KeyError as error:
        raise ValueError(f"MTEB has no task {task!r}: {error}") from error
