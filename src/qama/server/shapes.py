"""The shapes of requests and answers, as the OpenAPI has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Vector = list[float]
Where = Annotated[
    dict[str, Any] | None,
    Field(description='Which documents: {"year": {"$gte": 2010}}; see the page on documents.'),
]
Collection = Annotated[
    str | None, Field(description="The name of one; it may be left out where there is only one.")
]


class Asked(BaseModel):
    """A request: unknown fields and values of other types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class EmbeddingRequest(Asked):
    """OpenAI's request for embeddings, and what else there is."""

    model: Annotated[str, Field(description="The name of a collection.")]
    input: str | Annotated[list[str], Field(min_length=1)]
    encoding_format: Annotated[
        Literal["float", "base64", "ubinary"],
        Field(description="base64: of little-endian float32; ubinary: a packed code, as integers."),
    ] = "float"
    dimensions: Annotated[
        int | None, Field(ge=1, le=2**20, description="Nested dims, of a codec with grid codes.")
    ] = None
    nbytes: Annotated[
        int | None, Field(ge=1, le=2**20, description="With ubinary: the length of a byte code.")
    ] = None
    input_type: Annotated[
        Literal["document", "query"], Field(description="What a model may embed differently.")
    ] = "document"
    user: str | None = None


class Embedding(BaseModel):
    """One of them."""

    object: Literal["embedding"]
    index: int
    embedding: str | list[float]


class Usage(BaseModel):
    """Tokens, which are not counted: zeros."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingResponse(BaseModel):
    """OpenAI's answer."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class SearchRequest(Asked):
    """Queries, which are vectors or questions, words to look for, or both."""

    collection: Collection = None
    queries: Annotated[
        list[str] | list[Vector] | None,
        Field(min_length=1, description="Vectors; or questions, where texts are embedded."),
    ] = None
    words: Annotated[
        list[str] | None, Field(min_length=1, description="One string for each query.")
    ] = None
    k: Annotated[int, Field(ge=1, le=2**31)] = 10
    where: Where = None
    scorer: Literal["asymmetric", "hamming"] = "asymmetric"
    funnel: bool | Annotated[int, Field(ge=1, le=2**31)] = False
    nprobe: Annotated[int | None, Field(ge=1, le=2**31, description="Of an index file.")] = None
    rescore: Annotated[int, Field(ge=0, le=100_000, description="Of an index file.")] = 0


class Hit(BaseModel):
    """What was found; text and metadata are of documents."""

    id: str | int
    score: float
    text: str | None = None
    metadata: dict[str, Any] | None = None


class SearchResponse(BaseModel):
    """The hits of each query, best first."""

    results: list[list[Hit]]


class AddRequest(Asked):
    """Documents to add: vectors, or texts where texts are embedded; ids are made if left out."""

    collection: Collection = None
    ids: list[str] | None = None
    vectors: list[Vector] | None = None
    texts: list[str | None] | None = None
    metadata: list[dict[str, Any] | None] | None = None


class UpsertRequest(AddRequest):
    """Documents that replace those of the same ids, as a whole, or are added."""

    ids: list[str]


class Ids(BaseModel):
    """The ids of what was added or replaced, on the disk now."""

    ids: list[str]


class DeleteRequest(Asked):
    """Which documents to remove: ids, a filter, or both; the filter {} is every document."""

    collection: Collection = None
    ids: list[str] | None = None
    where: Where = None


class Deleted(BaseModel):
    """How many were removed."""

    deleted: int


class GetRequest(Asked):
    """Which documents to return; all that a limit allows, if nothing is said."""

    collection: Collection = None
    ids: list[str] | None = None
    where: Where = None
    limit: Annotated[int | None, Field(ge=0, le=2**31)] = None


class Document(BaseModel):
    """A document."""

    id: str
    text: str | None
    metadata: dict[str, Any]


class GetResponse(BaseModel):
    """Documents, in the order of the ids or in insertion order."""

    documents: list[Document]


class CountRequest(Asked):
    """Which to count."""

    collection: Collection = None
    where: Where = None


class Count(BaseModel):
    """How many there are."""

    count: int


class CollectionInfo(BaseModel):
    """One collection."""

    name: str
    kind: Literal["documents", "index"]
    count: int
    dims: int
    code: str
    code_bytes: int
    codec: str
    nested_dims: list[int]
    embeds: bool
    writable: bool


class Info(BaseModel):
    """The server."""

    version: str
    kernel: dict[str, Any]
    limits: dict[str, float]
    collections: list[CollectionInfo]


class Status(BaseModel):
    """That it is well."""

    status: Literal["ok"]


class Wrong(BaseModel):
    """What was wrong."""

    type: str
    message: str


class Failure(BaseModel):
    """Every answer that is not 200."""

    error: Wrong
