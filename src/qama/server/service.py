"""What routes do, away from HTTP: threads to work in, and limits of what is asked.

Searches of all collections run in some threads. What changes a collection runs in one of its own,
because changes wait for each other anyway, and what embeds in one for all: a model need not bear
two threads. So does what measures curves, which are many searches that nobody is in a hurry for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from qama import checks
from qama.checks import Floats
from qama.documents import Documents
from qama.server import embedding, inspecting
from qama.server.batching import Batcher
from qama.server.curve import CANDIDATES, Curve
from qama.server.limits import Limits
from qama.server.metrics import Metrics
from qama.server.refusals import RequestError
from qama.server.served import Hits, Options, Question, Served
from qama.server.shapes import (
    AddRequest,
    CountRequest,
    CurveRequest,
    DeleteRequest,
    EmbeddingRequest,
    GetRequest,
    InspectRequest,
    SearchRequest,
)

P = ParamSpec("P")
T = TypeVar("T")


class Service:
    """Collections, and threads that work on them.

    Args:
        served: The collections; `close` closes them.
        limits: What a request may ask for.
    """

    def __init__(self, served: Sequence[Served], limits: Limits) -> None:
        self.served = {each.name: each for each in served}
        self.limits = limits
        self.metrics = Metrics(served)
        self.stopping = False
        calls = max(2, checks.threads(0))  # each has the work of all cores, if it is large
        self._searching = ThreadPoolExecutor(calls + 4, "search")  # some are left for short reads
        self._embedding = ThreadPoolExecutor(1, "embed")
        self._measuring = ThreadPoolExecutor(1, "curve")
        self._changing = {name: ThreadPoolExecutor(1, f"change-{name}") for name in self.served}
        self._batcher: Batcher[tuple[str, Options, bool, bool], Question, Hits] = Batcher(
            lambda kind, questions: self.served[kind[0]].search(kind[1], questions),
            self._searching,
            wait=limits.wait_ms / 1000,
            most=limits.rows,
            calls=calls,
            seen=self.metrics.batched,
        )

    def close(self) -> None:
        """Finish what began, and close the collections."""
        pools = (self._searching, self._embedding, self._measuring, *self._changing.values())
        for pool in pools:
            pool.shutdown(wait=True)
        for each in self.served.values():
            each.close()

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function that changes nothing returns, in a thread."""
        return await _run(self._searching, function, *args, **kwargs)

    def named(self, name: str | None) -> Served:
        """Return a collection; None is the only one.

        Raises:
            RequestError: there is none of that name, or several.
        """
        names = ", ".join(self.served)
        if name is None and len(self.served) == 1:
            return next(iter(self.served.values()))
        if name is None:
            raise RequestError(400, f"collection is missing; name one of {names}")
        if name not in self.served:
            raise RequestError(404, f"there is no collection {name!r}; there are {names}")
        return self.served[name]

    # -- what is asked ----------------------------------------------------------------------

    async def embeddings(self, asked: EmbeddingRequest) -> list[Any]:
        """Return what an answer carries of each text."""
        served = self.named(asked.model)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        self._check_rows("input", texts)
        A = await self._embedded(served, texts, asked.input_type == "query")
        return await self.read(embedding.written, served, A, asked)

    async def search(self, asked: SearchRequest) -> list[Hits]:
        """Return the hits of each query."""
        served = self.named(asked.collection)
        given = _either(asked)
        if given is None and asked.words is None:
            raise RequestError(400, "a search needs queries, words, or both; or like")
        count = len(given if given is not None else asked.words or ())
        self._check_rows("queries", range(count))
        self._check_k(asked.k, count)
        self._check_candidates(asked.rescore, count)
        if asked.words is not None and len(asked.words) != count:
            raise RequestError(400, f"words has {len(asked.words)} entries for {count} queries")
        questions = [
            Question(vector, words)
            for vector, words in zip(
                [None] * count if given is None else await self._queries(served, asked),
                [None] * count if asked.words is None else asked.words,
                strict=True,
            )
        ]
        kind = served.name, _options(asked), given is None, asked.words is None
        return list(await self._batcher.ask(kind, questions))

    async def add(self, asked: AddRequest) -> list[str]:
        """Add documents and return their ids, when they are on the disk."""
        return await self._given(asked, Documents.add)

    async def upsert(self, asked: AddRequest) -> list[str]:
        """Replace or add documents and return their ids, when they are on the disk."""
        return await self._given(asked, Documents.upsert)

    async def delete(self, asked: DeleteRequest) -> int:
        """Remove documents, and return how many."""
        served = self.named(asked.collection)
        documents = served.changeable()
        self._check_rows("ids", asked.ids or ())
        return await self._change(served, documents.delete, asked.ids, where=asked.where)

    async def get(self, asked: GetRequest) -> list[dict[str, Any]]:
        """Return documents."""
        documents = self.named(asked.collection).documents("get documents")
        self._check_rows("ids", asked.ids or ())
        limit = self.limits.rows if asked.limit is None else asked.limit
        self._check_rows("limit", range(limit))
        found = await self.read(documents.get, asked.ids, where=asked.where, limit=limit)
        return [vars(document) for document in found]

    async def count(self, asked: CountRequest) -> int:
        """Return how many documents pass a filter, or how many vectors there are."""
        served = self.named(asked.collection)
        if asked.where is None:
            return await self.read(served.count)
        return await self.read(served.documents("use where").count, asked.where)

    async def curve(self, asked: CurveRequest) -> dict[str, Any]:
        """Return how much of the reference a search by each length finds."""
        served = self.named(asked.collection)
        given = _either(asked)
        self._check_sample(asked.sample if given is None else len(given))
        source = "sample" if given is None else "like" if asked.queries is None else "queries"
        if given is None:
            sample = await self.read(served.sample, asked.sample)
            if not sample:
                raise RequestError(400, f"collection {served.name!r} is empty: nothing to measure")
            asked = asked.model_copy(update={"like": sample})
        vectors = await self._queries(served, asked)
        own = [None] * len(vectors) if asked.like is None else asked.like
        curve = Curve(asked.k, served.keeps, own)

        async def found(options: Options) -> list[Hits]:
            questions = [Question(vector, None) for vector in vectors]
            return await _run(self._measuring, served.search, options, questions)

        wanted = await found(curve.reference)  # one call for each length: who gives up, ends it
        points = [curve.point(n, await found(curve.by(n)), wanted) for n in served.lengths]
        return {
            "source": source, "queries": len(vectors), "k": asked.k,
            "reference": served.keeps or "code", "candidates": CANDIDATES if served.keeps else 0,
            "points": points,
        }  # fmt: skip

    async def inspect(self, asked: InspectRequest) -> dict[str, Any]:
        """Return what a collection is and costs."""
        return await self.read(inspecting.inspected, self.named(asked.collection))

    # -- inside -----------------------------------------------------------------------------

    async def _given(self, asked: AddRequest, change: Callable[..., list[str]]) -> list[str]:
        """Add or upsert; texts are embedded before, so that changes do not wait for it."""
        served = self.named(asked.collection)
        documents = served.changeable()
        for name in ("ids", "vectors", "texts", "metadata"):
            self._check_rows(name, getattr(asked, name) or ())
        if asked.vectors is not None:
            vectors = await self.read(_vectors, served, asked.vectors, "vectors")
        elif asked.texts is not None:
            vectors = await self._embedded(served, asked.texts, False)
        else:
            raise RequestError(400, "give vectors, or texts where texts are embedded")
        return await self._change(
            served, change, documents, asked.ids, vectors, asked.texts, asked.metadata
        )

    async def _queries(self, served: Served, asked: SearchRequest | CurveRequest) -> Floats:
        if asked.like is not None:
            return await self.read(served.vectors, asked.like)
        given = asked.queries or []
        if isinstance(given[0], str):
            return await self._embedded(served, given, True)
        return await self.read(_vectors, served, given, "queries")

    async def _embedded(self, served: Served, texts: Sequence[Any], queries: bool) -> Floats:
        return await _run(self._embedding, embedding.made, served, list(texts), queries)

    async def _change(
        self, served: Served, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await _run(self._changing[served.name], function, *args, **kwargs)

    def _check_rows(self, name: str, given: Sequence[Any]) -> None:
        if len(given) > self.limits.rows:
            raise RequestError(
                413, f"{name} is {len(given)}; this server takes {self.limits.rows} a request"
            )

    def _check_candidates(self, rescore: int, queries: int) -> None:
        if rescore * queries > self.limits.candidates:
            raise RequestError(
                413,
                f"{queries} queries times rescore = {rescore} is more than the "
                f"{self.limits.candidates} vectors that this server reads; ask in parts",
            )

    def _check_sample(self, count: int) -> None:
        if count > self.limits.sample:
            raise RequestError(
                413,
                f"the curve is asked for with {count} queries; this server measures it with at "
                f"most {self.limits.sample}",
            )

    def _check_k(self, k: int, queries: int) -> None:
        if k > self.limits.k:
            raise RequestError(413, f"k is {k}; this server returns at most {self.limits.k}")
        if k * queries > self.limits.hits:
            raise RequestError(
                413,
                f"{queries} queries times k = {k} is more than the {self.limits.hits} hits that "
                f"this server returns; ask in parts",
            )


def _either(asked: SearchRequest | CurveRequest) -> Sequence[Any] | None:
    """Return what is asked for: queries, or documents whose vectors are the queries, if any."""
    if asked.queries is not None and asked.like is not None:
        raise RequestError(400, "like excludes queries; give one of them")
    return asked.like if asked.queries is None else asked.queries


async def _run(pool: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns that runs in a thread of a pool.

    A request that is given up does not begin any more; what began is finished.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(pool, lambda: function(*args, **kwargs))


def _vectors(served: Served, given: object, name: str) -> Floats:
    return checks.vectors(given, name, served.codec.dims_in, empty=True)


def _options(asked: SearchRequest) -> Options:
    where = None if asked.where is None else json.dumps(asked.where, sort_keys=True)
    return Options(
        asked.k, asked.scorer, asked.funnel, asked.nprobe, asked.rescore, where, asked.nbytes
    )
