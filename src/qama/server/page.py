"""The page at `/`: files of this package, the same for everybody, which ask the routes.

They are plain HTML, CSS and JavaScript modules, as they stand in ``static``. What they may do is
said by the header Content-Security-Policy: load from this server, ask this server, nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from fastapi import APIRouter
from fastapi.responses import Response

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _files() -> dict[str, tuple[str, bytes]]:
    """Return the media type and the bytes of each file by its path."""
    found = {}
    for file in resources.files("qama.server").joinpath("static").iterdir():
        kind = _KINDS.get(file.name.rpartition(".")[2])
        if kind is not None:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            found[path] = kind, file.read_bytes()
    return found


_FILES = _files()
PATHS = frozenset(_FILES)


def routes() -> APIRouter:
    """Return the routes of the page; the OpenAPI is of the others alone."""
    router = APIRouter(include_in_schema=False)
    for path, (kind, body) in _FILES.items():
        router.get(path)(_answering(kind, body))
    return router


def _answering(kind: str, body: bytes) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return Response(body, media_type=kind, headers=_HEADERS)

    return answer
