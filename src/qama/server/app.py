"""The routes, and the application around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib import metadata
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from qama import kernels
from qama.server import metrics, page, refusals, shapes
from qama.server.guard import App, Guard
from qama.server.keys import Keys
from qama.server.observing import Observed
from qama.server.refusals import RequestError
from qama.server.service import Service

_HANDLED = (
    RequestError, RequestValidationError, HTTPException, ValueError, RecursionError, OSError,
    MemoryError, Exception,
)  # fmt: skip
_FAILURE = {"model": shapes.Failure, "description": "What was wrong."}


def application(service: Service, keys: Keys, origins: Sequence[str] = ()) -> App:
    """Return the application: everything that a server of ASGI needs.

    Args:
        service: What it serves; it is closed when the application ends.
        keys: Of which a request must hold one, if there are any.
        origins: Web pages of which origins may use it, ``https://example.org``; none.
    """
    api = FastAPI(
        title="qama", version=metadata.version("qama"), docs_url=None, redoc_url=None,
        lifespan=_lifespan(service),
    )  # fmt: skip
    api.include_router(_routes(service))
    api.include_router(page.routes())
    for kind in _HANDLED:
        api.add_exception_handler(kind, _answered)
    paths = {"/openapi.json", *api.openapi()["paths"], *page.PATHS}
    app: App = Guard(api, service, keys)
    if origins:
        app = CORSMiddleware(
            app, allow_origins=origins, allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )  # fmt: skip
    return Observed(app, service.metrics, paths)


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    return lifespan


async def _answered(_: Request, error: Exception) -> JSONResponse:
    return refusals.response(error)


def _routes(service: Service) -> APIRouter:
    """Return every route. They answer with ready bodies: what a model says is for the OpenAPI."""
    routes = APIRouter(responses={"4XX": _FAILURE, "5XX": _FAILURE})

    @routes.post("/v1/embeddings", response_model=shapes.EmbeddingResponse)
    async def embeddings(asked: shapes.EmbeddingRequest) -> Response:
        """Make vectors of texts, as OpenAI's endpoint does."""
        data = [
            {"object": "embedding", "index": index, "embedding": embedding}
            for index, embedding in enumerate(await service.embeddings(asked))
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return JSONResponse({"object": "list", "data": data, "model": asked.model, "usage": usage})

    @routes.post("/v1/search", response_model=shapes.SearchResponse)
    async def search(asked: shapes.SearchRequest) -> Response:
        """Find the k nearest documents of each query."""
        return JSONResponse({"results": await service.search(asked)})

    @routes.post("/v1/add", response_model=shapes.Ids)
    async def add(asked: shapes.AddRequest) -> Response:
        """Add documents, all of them or none."""
        return JSONResponse({"ids": await service.add(asked)})

    @routes.post("/v1/upsert", response_model=shapes.Ids)
    async def upsert(asked: shapes.UpsertRequest) -> Response:
        """Replace documents as a whole, or add them."""
        return JSONResponse({"ids": await service.upsert(asked)})

    @routes.post("/v1/delete", response_model=shapes.Deleted)
    async def delete(asked: shapes.DeleteRequest) -> Response:
        """Remove documents; ids that are not there are ignored."""
        return JSONResponse({"deleted": await service.delete(asked)})

    @routes.post("/v1/get", response_model=shapes.GetResponse)
    async def get(asked: shapes.GetRequest) -> Response:
        """Return documents by id, by filter, or the first ones."""
        return JSONResponse({"documents": await service.get(asked)})

    @routes.post("/v1/count", response_model=shapes.Count)
    async def count(asked: shapes.CountRequest) -> Response:
        """Return how many there are."""
        return JSONResponse({"count": await service.count(asked)})

    @routes.post("/v1/curve", response_model=shapes.CurveResponse)
    async def curve(asked: shapes.CurveRequest) -> Response:
        """Measure how much of the best hits a search by fewer bytes finds."""
        return JSONResponse(await service.curve(asked))

    @routes.post("/v1/inspect", response_model=shapes.InspectResponse)
    async def inspect(asked: shapes.InspectRequest) -> Response:
        """Return what a collection is and costs: rows, lengths, sizes, drift, kernel."""
        return JSONResponse(await service.inspect(asked))

    @routes.get("/v1/info", response_model=shapes.Info)
    async def info() -> Response:
        """Return what is served, and the limits."""
        collections = [await service.read(each.info) for each in service.served.values()]
        return JSONResponse({
            "version": metadata.version("qama"), "kernel": kernels.info(),
            "limits": asdict(service.limits), "collections": collections,
        })  # fmt: skip

    @routes.get("/health", response_model=shapes.Status)
    async def health() -> Response:
        """Say that the process answers."""
        return JSONResponse({"status": "ok"})

    @routes.get("/ready", response_model=shapes.Status)
    async def ready() -> Response:
        """Say that every collection can be read."""
        for each in service.served.values():
            await service.read(each.count)
        return JSONResponse({"status": "ok"})

    @routes.get("/metrics", response_class=Response)
    async def measured() -> Response:
        """Return what Prometheus reads."""
        return Response(await service.read(service.metrics.text), media_type=metrics.KIND)

    return routes
