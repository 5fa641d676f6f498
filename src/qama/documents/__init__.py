"""Documents: string ids, texts, fields and codes in one folder, searched by vector and by words."""

from qama.documents.documents import Documents
from qama.documents.hits import Document, Hit, Hits

__all__ = ["Document", "Documents", "Hit", "Hits"]
