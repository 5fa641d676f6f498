"""Documents and indexes over HTTP: an OpenAI-compatible endpoint for embeddings, and search.

    qama serve library --write

Everything that `qama[serve]` brings is imported below this package alone.
"""

from __future__ import annotations

from qama.errors import MissingExtraError

try:
    import fastapi as _fastapi
    import prometheus_client as _prometheus
    import uvicorn as _uvicorn
except ImportError as error:
    packages = "fastapi, prometheus-client and uvicorn"
    raise MissingExtraError("qama serve", packages, "serve") from error

del _fastapi, _prometheus, _uvicorn
