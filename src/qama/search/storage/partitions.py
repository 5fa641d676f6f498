"""Files of kind "partitions", which partitioned indexes had before they were `qama.Index`.

They are read as the index files of today with inverted lists, and written no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, container
from qama.codec import Code, Codec
from qama.quantizers.vectors import unit
from qama.search.rows.blocks import BLOCK_ROWS

KIND = "partitions"
FORMAT = 1


def of_today(
    contents: container.Contents, codec: Codec, code: Code
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return header and sections as an index file of today would have them.

    Centroids were in the space of the vectors: they are brought to that of the codes. Ids lay by
    place; the rows of all places are numbered in their order.

    Raises:
        KeyError, ValueError, TypeError: the parts of the file do not fit each other.
    """
    arrays, meta = dict(contents.arrays), contents.meta
    used = len(arrays["owners"])
    nlist = checks.integer(meta["nlist"], "nlist", 1, len(arrays["centres"]))
    following = checks.integer(meta["following"], "following", 0, 2**63 - 1)
    wanted = {
        "owners": ((used,), np.int64), "centres": ((nlist, codec.dims_in), np.float32),
        "live": ((used,), np.uint64), "ids": ((used * BLOCK_ROWS,), np.int64),
    }  # fmt: skip
    for name, (shape, dtype) in wanted.items():
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ValueError(f"{name}: {arrays[name].dtype} {arrays[name].shape}, not {shape}")
    if used and not 0 <= arrays["owners"].min() <= arrays["owners"].max() < nlist:
        raise ValueError("owners name lists that do not exist")
    live = arrays["live"].astype("<u8", copy=False).view(np.uint8)
    places = np.flatnonzero(np.unpackbits(live, bitorder="little"))
    rows_at = np.full(used * BLOCK_ROWS, -1, dtype=np.int32)
    rows_at[places] = np.arange(len(places))
    made: dict[str, npt.NDArray[Any]] = {
        "owners": arrays["owners"].astype(np.int32), "rows": rows_at,
        "centroids": unit(code.coordinates(arrays.pop("centres"))),
        "ids": arrays["ids"][places],
    }  # fmt: skip
    now = {"rows": len(places), "following": max(following, len(places))}
    return meta | now, arrays | made
