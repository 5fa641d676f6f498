"""Fine-tune a SentenceTransformer so that its vectors survive a few bits.

codec = qama.fit(model, texts, codes="grid")
loss = LowBitLoss(model, codec, steps=300)
SentenceTransformerTrainer(model, args, train_dataset=pairs, loss=loss).train()
codec = qama.fit(model, texts, codes="grid")     # anew: the vectors have moved
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qama.codec import Codec, checked
from qama.integrations.sentence_transformers import CodeModule
from qama.recipe import LossWeights
from qama.training.tuning import GridLosses

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LowBitLoss"]


class LowBitLoss(GridLosses):
    """Every loss of QAMA (CIKM 2025, section 4) as a loss of sentence-transformers' trainer.

    The paper trains an adapter behind a frozen model; here the adapter of a fitted codec is frozen
    and the model learns to make vectors that stay what they are at every dims and level of it. The
    training set has one column of texts or several, of which the second answers the first, for the
    contrastive loss (with one column it is left out). In a column ``label`` it may have what a
    teacher, such as the model before, makes of a row's texts: floats (columns, d), as lists, whose
    neighbourhoods are kept; without, those that the model's own vectors have at each moment.

    Args:
        model: The SentenceTransformer that is trained, without a `CodeModule`.
        codec: Fitted on its vectors, with grid codes.
        steps: Batches to come: some losses rise with the share of them that is done.
        weights: Of the losses; see `qama.recipe.LossWeights`. 0 leaves a loss out.
        seed: Of random draws.

    Raises:
        ValueError: the codec has no grid codes, the model ends in a `CodeModule` or makes vectors
            of another width, or steps below 1.
    """

    def __init__(
        self,
        model: Any,
        codec: Codec,
        steps: int,
        weights: LossWeights = LossWeights(),  # noqa: B008 - it is frozen
        seed: int = 0,
    ) -> None:
        grid = checked(codec).thermometer
        if grid is None:
            raise ValueError('this codec has byte codes only; fit one with codes="grid"')
        if any(isinstance(module, CodeModule) for module in model):
            raise ValueError("model ends in a CodeModule, where gradients end; take it off")
        width = model.get_embedding_dimension()
        if width != grid.dims_in:
            raise ValueError(
                f"model makes vectors of {width} dims, but this codec was fitted on {grid.dims_in}"
            )
        super().__init__(grid, weights, steps, seed)
        self.model = model

    def forward(
        self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the losses of a batch by name, each times its weight; their sum is minimised.

        Args:
            sentence_features: The tokens of each column.
            labels: What a teacher makes of them, float (b, columns, d); (b, d) of one column.

        Raises:
            ValueError: labels of another shape.
        """
        columns = [self.model(features)["sentence_embedding"] for features in sentence_features]
        return self.of_batch(columns, _kept(labels, columns))

    def get_config_dict(self) -> dict[str, Any]:
        """Return what model cards say of this loss."""
        config = self.adapter.config
        return {
            "dims": list(self.adapter.dims),
            "levels": list(config.levels),
            "steps": self.steps,
            "weights": vars(config.weights),
        }


def _kept(labels: Tensor | None, columns: list[Tensor]) -> Tensor | None:
    """Return a teacher's vectors in the order of the columns behind each other."""
    if labels is None:
        return None
    size, count = len(columns[0]), len(columns)
    shape = tuple(labels.shape)
    if shape[:-1] != (size, count) and (count > 1 or len(shape) != 2 or len(labels) != size):
        raise ValueError(
            f"labels have shape {shape}; give a teacher's vectors, ({size}, {count}, d), or none"
        )
    return labels.reshape(size, count, shape[-1]).transpose(0, 1).reshape(size * count, shape[-1])
