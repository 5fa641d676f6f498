"""What is answered where something fails: the one home of statuses and of the error's shape."""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from qama.errors import FormatError, LockedError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "method_not_allowed_error",
    408: "timeout_error",
    413: "too_large_error",
    415: "content_type_error",
    500: "server_error",
    503: "unavailable_error",
    504: "timeout_error",
    507: "storage_error",
}
_DEFECT = "a defect of the server: its log has the place, under the X-Request-Id of this answer"


class RequestError(Exception):
    """A request that is not served.

    Args:
        status: Of the answer, one of `TYPES`.
        message: What was wrong, what it was, and what would do.
        headers: Further ones of the answer.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


def of(error: BaseException) -> RequestError:
    """Return how a failure is told.

    What a request is to blame for is 400; what the disk is to blame for 507: a change was not made.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, RequestValidationError):
        return RequestError(400, _unfitting(error))
    if isinstance(error, HTTPException):
        status = error.status_code if error.status_code in TYPES else 400
        return RequestError(status, str(error.detail), dict(error.headers or {}))
    if isinstance(error, FormatError):
        return RequestError(500, "what is served is damaged: see qama verify")
    if isinstance(error, ValueError):
        return RequestError(400, str(error))
    if isinstance(error, RecursionError):
        return RequestError(400, "values lie too deep within each other")
    if isinstance(error, LockedError):
        return RequestError(503, "the documents are locked by another process; try again")
    if isinstance(error, OSError):
        return RequestError(507, f"the disk failed, and nothing was changed: {error}")
    if isinstance(error, MemoryError):
        return RequestError(503, "there is not enough memory for this request; ask for less")
    return RequestError(500, _DEFECT)


def _unfitting(error: RequestValidationError) -> str:
    """Return what does not fit first, without the value."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"the body is no JSON: {first['ctx']['error']} at character {first['loc'][-1]}"
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return f"{place or 'the body'}: {first['msg']}"


def response(error: BaseException) -> JSONResponse:
    """Return a failure as an answer in OpenAI's shape: an object ``error``."""
    refused = of(error)
    message = refused.message.encode(errors="backslashreplace").decode()  # lone surrogates
    body: dict[str, Any] = {"error": {"type": TYPES[refused.status], "message": message}}
    return JSONResponse(body, refused.status, refused.headers)
