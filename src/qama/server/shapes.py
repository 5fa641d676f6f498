"""The shapes of requests and answers, as the OpenAPI has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Vector = list[float]


def _kind(queries: object) -> str:
    """Return which of the two queries are meant as, so that a refusal speaks of that alone."""
    first = queries[0] if isinstance(queries, list) and queries else queries
    return "questions" if isinstance(first, str) else "vectors"


Queries = Annotated[
    Annotated[
        Annotated[list[str], Field(min_length=1), Tag("questions")]
        | Annotated[list[Vector], Field(min_length=1), Tag("vectors")],
        Discriminator(_kind),
    ]
    | None,
    Field(description="A list of vectors; or of questions, where texts are embedded."),
]
Like = Annotated[
    list[str] | list[int] | None,
    Field(min_length=1, description="Instead of queries: ids, whose vectors are the queries."),
]
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
    queries: Queries = None
    like: Like = None
    words: Annotated[
        list[str] | None, Field(min_length=1, description="One string for each query.")
    ] = None
    k: Annotated[int, Field(ge=1, le=2**31)] = 10
    where: Where = None
    scorer: Literal["asymmetric", "hamming"] = "asymmetric"
    funnel: bool | Annotated[int, Field(ge=1, le=2**31)] = False
    nprobe: Annotated[int | None, Field(ge=1, le=2**31, description="Of an index file.")] = None
    rescore: Annotated[
        int, Field(ge=0, le=100_000, description="Order so many best by their kept vectors.")
    ] = 0
    nbytes: Annotated[
        int | None,
        Field(ge=1, le=2**20, description="Search by the first bytes of codes: one of lengths."),
    ] = None


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
    lengths: list[int]
    keeps: str | None
    fulltext: bool
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


class CurveRequest(Asked):
    """With what the curve is measured: queries, documents by id, or an even sample of them."""

    collection: Collection = None
    queries: Queries = None
    like: Like = None
    sample: Annotated[int, Field(ge=1, le=2**31, description="Documents, if nothing is said.")] = 64
    k: Annotated[int, Field(ge=1, le=100)] = 10


class CurvePoint(BaseModel):
    """How much of the reference a search by so many bytes finds."""

    nbytes: int
    overlap: Annotated[float, Field(description="Of the k best of the reference, the mean share.")]
    low: Annotated[float, Field(description="Of its 95 % interval over the queries.")]
    high: float


class CurveResponse(BaseModel):
    """Quality against bytes, and what it was measured with and against."""

    source: Literal["sample", "like", "queries"]
    queries: int
    k: int
    reference: Annotated[
        str, Field(description="float16 or int8: kept vectors; code: the longest code.")
    ]
    candidates: Annotated[
        int, Field(description="How many best by the longest code the kept vectors order.")
    ]
    points: list[CurvePoint]


class InspectRequest(Asked):
    """Which collection to look into."""

    collection: Collection = None


class DriftFound(BaseModel):
    """Whether a sample of the kept vectors is still like those that the codec was fitted on."""

    rows: int
    mean: float
    fitted: float
    deviation: float
    shift: float
    drifted: bool


class InspectResponse(BaseModel):
    """What a collection is and costs; sizes are bytes."""

    collection: CollectionInfo
    kernel: dict[str, Any]
    codes_size: Annotated[int, Field(description="Of all codes: what a search reads.")]
    float32_size: Annotated[int, Field(description="What the vectors would take.")]
    disk_size: Annotated[int, Field(description="Of its files: texts and kept vectors count.")]
    process_size: Annotated[
        int | None, Field(description="Memory of the whole server now, where that is known.")
    ]
    lists: int | None
    drift: DriftFound | None
    drift_note: Annotated[str, Field(description="Why there is no drift to tell, or what it says.")]
    examples: Annotated[list[str] | list[int], Field(description="Some ids.")]
