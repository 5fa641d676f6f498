"""What makes vectors of texts: models that users hold, and services.

embed = qama.embedders.OpenAI("text-embedding-3-small")
print(embed.estimate(texts, price=0.02))
codec = qama.fit(embed, texts)
docs = qama.Documents.create("library", codec, embed=embed)
"""

from __future__ import annotations

from qama.embedders.cohere import Cohere
from qama.embedders.embedder import Embedder
from qama.embedders.openai import OpenAI
from qama.embedders.service import Estimate, Service
from qama.embedders.voyage import Voyage

__all__ = ["Cohere", "Embedder", "Estimate", "OpenAI", "Service", "Voyage"]
