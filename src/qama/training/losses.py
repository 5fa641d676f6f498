"""The losses of QAMA (CIKM 2025, section 4), one pure function each.

Shapes: X (batch, d) base embeddings; Z (batch, d) adapted ones in training's scale (rows of length
sqrt(d)); Y a prefix of Z. Gram matrices are of L2-normalised rows. Every function returns a scalar
tensor to be minimised. Sums over pairs of rows are divided by their number, so that a loss weight
means the same at every batch size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_TINY = 1e-6


def gram(X: Tensor) -> Tensor:
    """Cosine of every pair of rows: (batch, batch)."""
    unit = F.normalize(X, dim=1)
    return unit @ unit.T


def similarity_mse(base: Tensor, adapted: Tensor) -> Tensor:
    """Keep pairwise cosines: |S_X - S_Y|_F^2 / batch^2 (paper: similarity preservation)."""
    return (base - adapted).square().mean()


def symmetric_kl(base: Tensor, adapted: Tensor, temperature: float) -> Tensor:
    """Keep the distribution over neighbours: (KL(P_X|P_Y) + KL(P_Y|P_X)) / 2, mean over rows.

    P is the row softmax of S / temperature; the diagonal, a row's cosine with itself, is masked.
    """
    p = F.log_softmax(_off_diagonal(base) / temperature, dim=1)
    q = F.log_softmax(_off_diagonal(adapted) / temperature, dim=1)
    return ((p.exp() - q.exp()) * (p - q)).sum(dim=1).mean() / 2


def _off_diagonal(S: Tensor) -> Tensor:
    """Return the rows of S (n, n) without their diagonal entry: (n, n - 1)."""
    n = len(S)
    return S.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)


def rank_preservation(
    base: Tensor, adapted: Tensor, triples: Tensor, sharpness: float = 10.0
) -> Tensor:
    """Keep the order of neighbours over sampled triples (i, j, k): (3, count) row numbers.

    The paper multiplies the two sigmoids sigmoid(t (s_ij - s_ik)) of X and Y, which rewards
    agreement only if it is maximised. This is the Bernoulli KL between them instead: 0, its
    minimum, exactly where the two agree.
    """
    i, j, k = triples
    wanted = torch.sigmoid(sharpness * (base[i, j] - base[i, k]))
    margin = sharpness * (adapted[i, j] - adapted[i, k])
    cross = F.binary_cross_entropy_with_logits(margin, wanted)
    entropy = F.binary_cross_entropy(wanted, wanted)
    return cross - entropy.detach()


def contrastive(anchors: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Pull each anchor (b, m) to its positive (b, m), away from the other rows' positives.

    -log exp(s_p / tau) / (exp(s_p / tau) + sum_n exp(s_n / tau)), mean over anchors.
    """
    scores = F.normalize(anchors, dim=1) @ F.normalize(positives, dim=1).T / temperature
    return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def information_bottleneck(Z: Tensor, x0: float = 0.1, alpha: float = 0.3) -> Tensor:
    """Push late, unimportant dims towards 0: sum_i w_i (z_i^2 / (x0 + |z_i|))^alpha, w_i = i / d.

    Mean over rows and dims. The argument is kept above 1e-6, where the power's slope is infinite.
    """
    size = Z.shape[1]
    weights = torch.arange(1, size + 1, device=Z.device, dtype=Z.dtype) / size
    return (weights * (Z.square() / (x0 + Z.abs()) + _TINY).pow(alpha)).mean()


def inter_level_orthogonality(Z: Tensor, dims: Sequence[int]) -> Tensor:
    """Let new dims carry new information: sum over levels l >= 2, j < l of |D_l^T E_j|_F.

    D_l are the dims that level l adds, E_j = z[:, :d_j]; both are normalised by column over the
    batch. Divided by the number of (l, j) terms and by sqrt(columns of D_l * columns of E_j), so
    that it is a root mean square of correlations.
    """
    unit = F.normalize(Z, dim=0)
    order = sorted(dims)
    terms = []
    for last, (before, upto) in enumerate(itertools.pairwise(order), start=1):
        added = unit[:, before:upto]
        for j in order[:last]:
            product = added.T @ unit[:, :j]
            terms.append(product.norm() / math.sqrt(product.numel()))
    return torch.stack(terms).mean() if terms else Z.sum() * 0


def variance_control(Z: Tensor, progress: float) -> Tensor:
    """Prevent collapse: max(0.2, (e^progress - 1) / (e - 1)) * mean over dims of exp(-sigma).

    Args:
        Z: Adapted rows (batch, d).
        progress: Step over steps, 0 to 1: weak early, strong late.
    """
    strength = max(0.2, math.expm1(progress) / math.expm1(1.0))
    return strength * torch.exp(-(Z.var(dim=0, unbiased=False) + _TINY).sqrt()).mean()


def quantization_regularisation(
    values: Tensor,
    thresholds: Tensor,
    progress: float,
    low: float = -3.0,
    high: float = 3.0,
    outside_weight: float = 0.1,
) -> Tensor:
    """Stay away from thresholds and inside the range, mean over values.

    w (exp(-min_i |x - theta_i|) + outside_weight (relu(low - x)^2 + relu(x - high)^2)), w rising
    from 0.2 to 1.

    Args:
        values: (batch, n).
        thresholds: (n, count).
        progress: Step over steps, 0 to 1.
        low: Lower end of the range.
        high: Upper end of the range.
        outside_weight: lambda, the weight of leaving the range.
    """
    nearest = (values.unsqueeze(2) - thresholds).abs().amin(dim=2)
    outside = F.relu(low - values).square() + F.relu(values - high).square()
    return (0.2 + 0.8 * progress) * (torch.exp(-nearest) + outside_weight * outside).mean()


def sample_triples(rows: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw (3, count) row numbers with three different rows in each column."""
    first = torch.randint(rows, (count,), generator=generator)
    steps = torch.randint(1, rows, (2, count), generator=generator)
    second, third = (first + steps[0]) % rows, (first + steps[1]) % rows
    distinct = second != third
    return torch.stack((first, second, third))[:, distinct]
