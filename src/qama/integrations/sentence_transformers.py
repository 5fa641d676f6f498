"""Codes as the last module of a SentenceTransformer.

model.append(CodeModule(codec, nbytes=48))
codes = model.encode(texts, precision="ubinary")     # uint8 (n, 48): those of codec.encode
floats = model.encode(questions, codes=False)        # the model's own vectors
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from qama.codec import Codec, checked
from qama.errors import MissingExtraError

try:
    from sentence_transformers.base.modules import Module
except ImportError as error:
    raise MissingExtraError(
        "qama.integrations.sentence_transformers", "sentence-transformers",
        "sentence-transformers",
    ) from error  # fmt: skip

__all__ = ["CodeModule"]

_FILE = "codec.qama"


class CodeModule(Module):
    """Turn embeddings into the bits of their codes, each -1 or +1.

    Packed by ``precision="ubinary"`` they are the codes that `Codec.encode` returns, bit for bit.
    Of grid codes, the dot product of the bits ranks as Hamming distance does; of byte codes it says
    nothing, they are for `qama.Index`. ``truncate_dim=8 * n`` cuts a code to its first n bytes,
    which are a code of their own: of byte codes always, of grid codes where they hold whole dims.
    Gradients end here.

    ``encode`` takes ``nbytes``, or ``dims`` and ``level``, for codes of another kind, and
    ``codes=False`` for the vectors themselves, such as those of queries.

    Args:
        codec: A codec, fitted on vectors that the modules before this one make.
        dims: Dims of a grid code; see `Codec.code`.
        level: Level of a grid code.
        nbytes: Length of a byte code.

    Raises:
        ValueError: the codec has no such code.
    """

    config_keys = ["dims", "level", "nbytes"]  # noqa: RUF012 - as the class above has it
    forward_kwargs = {"codes", "dims", "level", "nbytes"}  # noqa: RUF012 - the same

    def __init__(
        self,
        codec: Codec,
        dims: int | None = None,
        level: str | None = None,
        nbytes: int | None = None,
    ) -> None:
        super().__init__()
        self.codec = checked(codec)
        self._code = codec.code(dims, level, nbytes)
        request = self._code.request
        self.dims, self.level, self.nbytes = map(request.get, self.config_keys)

    def forward(
        self,
        features: dict[str, Any],
        *,
        codes: bool = True,
        dims: int | None = None,
        level: str | None = None,
        nbytes: int | None = None,
    ) -> dict[str, Any]:
        """Replace ``sentence_embedding`` (n, d) by the bits of its codes (n, 8 bytes of a code).

        Args:
            features: What the modules before this one made.
            codes: False leaves it as it is.
            dims: Dims of grid codes of another kind than the module's.
            level: Their level.
            nbytes: Length of byte codes of another kind.

        Raises:
            ValueError: the codec has no such code, or is of vectors of another width.
        """
        if codes:
            vectors = features["sentence_embedding"]
            asked = (dims, level, nbytes) != (None, None, None)
            code = self.codec.code(dims, level, nbytes) if asked else self._code
            packed = self.codec.encode(vectors.detach(), **code.request)
            bits = np.unpackbits(packed, axis=1).astype(np.float32)
            features["sentence_embedding"] = vectors.new_tensor(2 * bits - 1)
        return features

    def get_embedding_dimension(self) -> int:
        """Return how many bits a code has."""
        return 8 * self._code.nbytes

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the codec and which code it is into a folder."""
        self.save_config(output_path)
        self.codec.save(Path(output_path) / _FILE)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **options: Any) -> Self:
        """Read what `save` wrote.

        Args:
            model_name_or_path: Folder of the model, or its name on the Hugging Face Hub.
            subfolder: Folder of the module in it.
            **options: ``token``, ``cache_folder``, ``revision`` and ``local_files_only``, as
                SentenceTransformer takes them; what else it passes on is ignored.

        Raises:
            FileNotFoundError: there is no codec.
            FormatError: the codec is damaged.
        """
        names = ("token", "cache_folder", "revision", "local_files_only")
        where = {name: options[name] for name in names if name in options}
        config = cls.load_config(model_name_or_path, subfolder, **where)
        path = cls.load_file_path(model_name_or_path, _FILE, subfolder, **where)
        if path is None:
            raise FileNotFoundError(f"{model_name_or_path} has no {Path(subfolder, _FILE)}")
        return cls(Codec.load(path), **config)
