"""What a request passes before its route: stop, host, key, number, body and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from qama.server import page, refusals
from qama.server.keys import Keys, is_loopback
from qama.server.refusals import RequestError
from qama.server.service import Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_ALIVE = "/health"
_PROBES = {_ALIVE, "/ready"}
_OPEN = {*_PROBES, *page.PATHS}  # without a key
_UNCOUNTED = {*_PROBES, "/metrics"}  # answered however much there is to do
_LATER = {"Retry-After": "1"}


class Guard:
    """An application behind limits.

    Args:
        app: The application.
        service: Of what it serves.
        keys: Of which a request must hold one, if there are any.
    """

    def __init__(self, app: App, service: Service, keys: Keys) -> None:
        self._app, self._service, self._keys = app, service, keys
        self._at_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refused = self._refused(scope["path"], headers) or _kind(scope, headers)
        if refused is not None:
            await refusals.response(refused)(scope, receive, send)
            return
        counted = scope["path"] not in _UNCOUNTED
        self._count(counted)
        try:
            await self._timed(scope, receive, send, headers)
        finally:
            self._count(-counted)

    def _count(self, more: int) -> None:
        self._at_work += more
        self._service.metrics.at_work.set(self._at_work)

    def _refused(self, path: str, headers: dict[bytes, bytes]) -> RequestError | None:
        """Return why a request is not looked at, if it is not."""
        if self._service.stopping and path != _ALIVE:
            return RequestError(503, "the server is stopping", {"Connection": "close"})
        if not self._keys and not is_loopback(_host(headers.get(b"host", b""))):
            return RequestError(403, "a server without API keys answers to localhost alone")
        given = headers.get(b"authorization", b"")
        if self._keys and path not in _OPEN and not self._keys.accept(given):
            wanted = {"WWW-Authenticate": "Bearer"}
            return RequestError(401, "give an API key as Authorization: Bearer KEY", wanted)
        if self._at_work >= self._service.limits.requests and path not in _UNCOUNTED:
            return RequestError(503, f"{self._at_work} requests are at work; try again", _LATER)
        return None

    async def _timed(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]
    ) -> None:
        """Read the body and let the application answer, within the time that there is."""
        limits = self._service.limits
        status, slow = 408, f"the request did not arrive within {limits.seconds} s"
        answering = False

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            async with asyncio.timeout(limits.seconds):
                body = await _body(receive, headers, limits.body)
                status, slow = (
                    504,
                    (f"not done within {limits.seconds} s; a change may still be made"),
                )
                await self._app(scope, _again(body, receive), answer)
        except TimeoutError:
            if answering:
                raise  # half an answer: the connection is closed
            refused = RequestError(status, slow, {"Connection": "close"})
            await refusals.response(refused)(scope, receive, send)
        except RequestError as refused:
            await refusals.response(refused)(scope, receive, send)
        except ConnectionResetError:
            pass  # nobody is there to be answered


def _kind(scope: Scope, headers: dict[bytes, bytes]) -> RequestError | None:
    """Return why a body is not read: web pages may send others than JSON without asking before."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if scope["method"] == "POST" and kind != b"application/json":
        return RequestError(415, "send JSON, with Content-Type: application/json")
    return None


def _host(header: bytes) -> str:
    """Return the host that a request names, without the port."""
    name = header.decode("latin-1")
    return name.rpartition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]


async def _body(receive: Receive, headers: dict[bytes, bytes], most: int) -> bytes:
    """Return the body of a request.

    Raises:
        RequestError: it is larger than it may be.
        ConnectionResetError: the client went away.
    """
    large = RequestError(413, f"the body is larger than {most} bytes", {"Connection": "close"})
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > most:
        raise large
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise large
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what hands on a body that was read, once."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return received
