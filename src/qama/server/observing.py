"""Every request is logged and counted, whatever becomes of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from qama.server import logs, refusals
from qama.server.guard import App, Receive, Scope, Send
from qama.server.metrics import Metrics


class Observed:
    """An application whose requests are told of: path, status, time, and never what they held.

    Args:
        app: The application.
        metrics: What counts.
        paths: Those that there are; others are told as "other", because clients choose them.
    """

    def __init__(self, app: App, metrics: Metrics, paths: set[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and tell of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        key, began, status = uuid.uuid4().hex, time.perf_counter(), 0

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", key.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            logs.note_defect(error, id=key)
            if not status:
                await refusals.response(error)(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - began
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.answered(path, status, seconds)
            logs.note(
                "request", id=key, method=_method(scope), path=path, status=status,
                ms=round(1000 * seconds, 3),
            )  # fmt: skip


def _method(scope: Scope) -> str:
    """Return the method, if it is one of those that there are."""
    method = str(scope["method"])
    return method if method in ("GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE") else "other"
