"""Documents for models that use tools: an MCP server (https://modelcontextprotocol.io).

    qama mcp library

It offers two tools, ``search`` and ``get``, and changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

from qama.documents import Documents
from qama.documents.hits import Document, Hit
from qama.errors import MissingExtraError

try:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from pydantic import Field
except ImportError as error:
    raise MissingExtraError("qama.integrations.mcp", "mcp", "mcp") from error

__all__ = ["server"]

MOST = 100  # documents of an answer: a model reads them all

Many = Annotated[int, Field(ge=1, le=MOST)]
Where = Annotated[
    dict[str, Any] | None,
    Field(
        description='Which documents: {"year": {"$gte": 2010}, "source": "wiki"}. Operators: $eq '
        "$ne $gt $gte $lt $lte $in $nin $contains $exists $not $and $or."
    ),
]


def server(documents: Documents) -> MCPServer:
    """Return a server whose ``run("stdio")`` serves a model.

    Args:
        documents: What it searches; with an embedder by meaning and by words, else by words alone.
            They stay the caller's to close.
    """
    offered = MCPServer("qama", instructions=f"Search and read {len(documents)} documents.")
    by = "meaning and words" if documents.embedder else "words"

    @offered.tool(description=f"Find the documents nearest to a question, by {by}.")
    def search(question: str, k: Many = 5, where: Where = None) -> list[Hit]:
        query = question if documents.embedder else None
        try:
            return [*documents.search(query, k, text=question, where=where)]
        except (ValueError, OSError) as error:
            raise ToolError(str(error)) from error

    @offered.tool(description="Return documents by id; ids that there are not are passed over.")
    def get(ids: Annotated[list[str], Field(max_length=MOST)]) -> list[Document]:
        try:
            return documents.get(ids)
        except (ValueError, OSError) as error:
            raise ToolError(str(error)) from error

    return offered
