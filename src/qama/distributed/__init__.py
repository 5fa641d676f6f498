"""Fits and encodes folders of Parquet files on many machines; see docs/distributed.md.

    from qama import distributed

    codec = distributed.fit("s3://bucket/vectors", column="embedding")
    distributed.encode("s3://bucket/vectors", codec, "s3://bucket/codes", id="id", nbytes=48)

What is done with one file (`job`) knows of no engine; Ray and processes call it (`running`), Spark
encodes batches of its own (`spark`). Shards are searched behind Ray Serve (`serving`).
"""

from __future__ import annotations

from qama.distributed import spark as spark
from qama.distributed.encoding import Progress, encode
from qama.distributed.records import Manifest, Record
from qama.distributed.sampling import fit

__all__ = ["Manifest", "Progress", "Record", "encode", "fit"]
