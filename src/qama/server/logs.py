"""What the server logs: lines of JSON on stderr, without vectors, texts, keys and values."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

_logger = logging.getLogger("qama.server")


class Lines(logging.Formatter):
    """A record as one line of JSON; of an error its type and place, never what it says."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[0]:
            frames = traceback.extract_tb(record.exc_info[2])
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line)


def set_up() -> None:
    """Let this server, uvicorn and Python's warnings write such lines to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.captureWarnings(True)
    for name, level in (
        ("qama.server", logging.INFO), ("uvicorn", logging.WARNING), ("py.warnings", logging.INFO),
    ):  # fmt: skip
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def note(event: str, **facts: Any) -> None:
    """Write one line."""
    _logger.info(event, extra={"facts": facts})


def note_defect(error: BaseException, **facts: Any) -> None:
    """Write the type and the place of an exception that nobody expected."""
    about = (type(error), error, error.__traceback__)
    _logger.error("defect", exc_info=about, extra={"facts": facts})
