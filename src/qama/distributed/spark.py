"""Spark: a DataFrame of vectors into a DataFrame of codes, and a codec of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qama import fitting
from qama.codec import Codec, checked
from qama.distributed.columns import Columns, Encoder
from qama.distributed.places import needed
from qama.engines import arrow
from qama.engines.label import Label

_ROWS = 262_144  # that a fit draws


def encode(
    frame: Any,
    codec: Codec,
    *,
    column: str = "embedding",
    id: str = "id",
    dims: int | None = None,
    level: object | None = None,
    nbytes: int | None = None,
) -> Any:
    """Return a DataFrame of codes: columns ``id``, a long or a string, and ``code``, binary.

    Nothing runs before the result is asked for. The label of `qama.engines` is the metadata of the
    column ``code``, which Spark keeps in the files that it writes.

    Args:
        frame: A `pyspark.sql.DataFrame` with both columns.
        codec: What encodes; each worker gets it, and needs qama and pyarrow.
        column: Of vectors: arrays of float or double.
        id: Of ids: whole numbers from 0 to 2^63 - 1, or strings.
        dims: See `Codec.encode`.
        level: See `Codec.encode`.
        nbytes: See `Codec.encode`.

    Raises:
        ValueError: no such column or code; and, when it runs, a row that cannot be encoded.
        MissingExtraError: pyspark is not installed.
    """
    types = needed("pyspark.sql.types", "spark")
    code = checked(codec).code(dims, level, nbytes)
    chosen = _chosen(frame, id, column)
    is_text = isinstance(chosen.schema[id].dataType, types.StringType)
    encoder = Encoder(codec, code.request, Columns(vectors=column, ids=id))

    def encoded(batches: Iterator[Any]) -> Iterator[Any]:
        first = 0
        for batch in batches:
            ids, codes = encoder.encode(batch, "the partition", first)
            first += len(batch)
            made = arrow.table(ids, codes)
            plain = made.set_column(1, "code", made.column(1).cast("binary"))
            yield from plain.to_batches()

    made = chosen.mapInArrow(encoded, f"id {'string' if is_text else 'long'}, code binary")
    return made.withMetadata("code", {arrow.KEY.decode(): Label.of(codec, code).to_json()})


def fit(
    frame: Any,
    *,
    column: str = "embedding",
    id: str = "id",
    rows: int = _ROWS,
    seed: int = 0,
    **options: Any,
) -> Codec:
    """Fit a codec on an even sample of a DataFrame, which comes into the memory of this process.

    The sample is the rows whose ids have the lowest hashes: it follows from the ids and the seed,
    whatever the order of the rows.

    Args:
        frame: A `pyspark.sql.DataFrame` with both columns.
        column: See `encode`.
        id: See `encode`.
        rows: How many are drawn.
        seed: Of every random draw.
        **options: Others of `qama.fit`.

    Raises:
        ValueError: no such column, or see `qama.fit`.
        MissingExtraError: pyspark is not installed.
    """
    functions = needed("pyspark.sql.functions", "spark")
    chosen = _chosen(frame, id, column)
    order = functions.xxhash64(functions.lit(seed), functions.col(id)), functions.col(id)
    drawn = chosen.orderBy(*order).limit(rows).select(column).toArrow()
    options.setdefault("max_rows", rows)
    return fitting.fit(drawn, seed=seed, **options)


def _chosen(frame: Any, *columns: str) -> Any:
    """Return some columns of a frame, refusing those that it lacks."""
    for column in columns:
        if column not in frame.columns:
            listed = ", ".join(map(repr, frame.columns))
            raise ValueError(f"the frame has no column {column!r}; it has {listed}")
    return frame.select(*columns)
