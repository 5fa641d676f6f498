"""Run MTEB's retrieval tasks on codes.

results = run("all-MiniLM-L6-v2", ["SciFact", "NFCorpus"], nbytes=48)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from qama import checks
from qama.checks import Floats
from qama.codec import Codec
from qama.errors import MissingExtraError
from qama.fitting import fit
from qama.search.index import Index

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.models import EncoderProtocol
    from mteb.models.model_meta import ModelMeta
    from mteb.results import ModelResult
    from sentence_transformers import SentenceTransformer

__all__ = ["CodeSearch", "run"]


class _Table(Protocol):
    """A ``datasets.Dataset``: columns by name."""

    def __getitem__(self, column: str, /) -> Iterable[object]:
        """Return one column."""


class CodeSearch:
    """MTEB's search protocol around an `Index`: embeds, encodes, searches.

    Args:
        encoder: An MTEB encoder (``mteb.models.SentenceTransformerEncoderWrapper`` makes one).
        codec: The codec, fitted on vectors of the same model; None: each corpus gets one of its
            own, of byte codes.
        request: ``dims`` and ``level``, or ``nbytes``, of the code.
        scorer: ``asymmetric`` or ``hamming``.
        threads: Threads of the search; 0 uses all cores.

    Raises:
        ValueError: the codec has no such code; or there is no codec, and no ``nbytes``.
    """

    def __init__(
        self,
        encoder: EncoderProtocol,
        codec: Codec | None = None,
        request: Mapping[str, Any] | None = None,
        scorer: str = "asymmetric",
        threads: int = 0,
    ) -> None:
        self._encoder = encoder
        self._codec = codec
        self._request = dict(request or {})
        self._scorer = scorer
        self._threads = checks.threads(threads)
        if codec is None and [*self._request] != ["nbytes"]:
            raise ValueError(
                "without a codec, one of byte codes is fitted on each corpus: give nbytes and "
                "neither dims nor level, or give a codec"
            )
        self._index = None if codec is None else Index(codec, **self._request)
        self._doc_ids: list[str] = []

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """MTEB's description of what is judged: model, bytes of a code, and scorer."""
        from mteb.models.model_meta import ModelMeta

        known = self._encoder.mteb_model_meta
        model = str(known.name).rpartition("/")[2]
        if self._codec is None:
            nbytes, revision = self._request["nbytes"], known.revision
        else:
            nbytes = self._codec.code(**self._request).stored_bytes
            revision = self._codec.fingerprint
        name = f"qama/{model}-{nbytes}B-{self._scorer}"
        return ModelMeta.create_empty({"name": name, "revision": revision})

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
        codec = self._codec
        if codec is None:
            codec = fit(vectors, max_bytes=self._request["nbytes"], threads=self._threads)
        self._index = Index(codec, **self._request)
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
            ValueError: the task re-ranks given candidates instead of searching, or `index` was not
                called.
        """
        if self._index is None:
            raise ValueError("there is no corpus to search: call index first")
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


def run(
    model: str | SentenceTransformer | EncoderProtocol,
    tasks: str | AbsTask | Sequence[str | AbsTask],
    codec: Codec | None = None,
    *,
    nbytes: int | None = None,
    dims: int | None = None,
    level: str | None = None,
    scorer: str = "asymmetric",
    threads: int = 0,
    **options: Any,
) -> ModelResult:
    """Run MTEB's retrieval tasks on codes.

    Args:
        model: Name or folder of a sentence-transformers model, the model itself, or an encoder of
            MTEB.
        tasks: Names of tasks (their data are fetched from the hub), or task objects; one or more.
        codec: The codec, fitted on vectors of the same model. None: each corpus gets one of its
            own, of byte codes; then give ``nbytes``.
        nbytes: Length of a byte code; see `Codec.code`.
        dims: Dims of a grid code.
        level: Level of a grid code.
        scorer: ``asymmetric`` or ``hamming``.
        threads: Threads of the search; 0 uses all cores.
        **options: Of ``mteb.evaluate``, such as ``cache`` and ``encode_kwargs``.

    Returns:
        MTEB's results, under a name that says the model, the bytes of a code and the scorer: the
        main score of the first task is ``run(…).task_results[0].get_score()``.

    Raises:
        MissingExtraError: mteb is not installed.
        ValueError: a task is unknown, or re-ranks candidates, or its data cannot be fetched; or the
            codec has no such code.
    """
    try:
        import mteb
        from mteb.models import SentenceTransformerEncoderWrapper
    except ImportError as error:
        raise MissingExtraError("qama.integrations.mteb", "mteb", "mteb") from error
    given = [tasks] if isinstance(tasks, str) or not isinstance(tasks, Sequence) else tasks
    chosen = [_task(mteb, task) for task in given]
    encoder = (
        model if hasattr(model, "mteb_model_meta") else SentenceTransformerEncoderWrapper(model)
    )
    request = {"nbytes": nbytes, "dims": dims, "level": level}
    asked = {name: value for name, value in request.items() if value is not None}
    searcher = CodeSearch(encoder, codec, asked, scorer, threads)
    quiet = {"cache": None, "show_progress_bar": False, "co2_tracker": False}
    try:
        return mteb.evaluate(searcher, chosen, **(quiet | options))
    except (ConnectionError, FileNotFoundError) as error:
        names = ", ".join(repr(task.metadata.name) for task in chosen)
        raise ValueError(
            f"the data of the MTEB task {names} cannot be fetched: {error}; go online, or evaluate "
            f"a local BEIR folder"
        ) from error


def _task(mteb: ModuleType, task: str | AbsTask) -> AbsTask:
    if not isinstance(task, str):
        return task
    try:
        return mteb.get_task(task)
    except KeyError as error:
        raise ValueError(f"MTEB has no task {task!r}: {error}") from error
