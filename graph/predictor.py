"""The predictor of graphs, from a pooled state to logits, and its loss on every rationale beside every environment.

Letters: ``B`` rationales, ``K`` environments, ``D`` width of a state, ``H`` = 2D, ``T`` outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rationalizers.kernels.grid_entries import check_grid
from rationalizers.kernels.swap_grid import swap_grid
from rationalizers.kernels.swap_grid_linear import swap_grid_linear
from rationalizers.task import Task


class GraphPredictor(nn.Module):
    """GREA's predictor (Liu et al., 2022, https://arxiv.org/abs/2206.02886): a network with one hidden layer, or a linear layer.

    logits = W₂ · drop(relu(norm(W₁h + c₁))) + c₂ with a hidden layer of width 2D and batch normalization.

    Args:
        width: of a pooled state, D.
        outputs: logits of a graph, T.
        dropout: of the hidden layer; a linear predictor has none.
        linear: one linear layer instead.

    Raises:
        ValueError: ``dropout`` is outside [0, 1).
    """

    def __init__(self, width: int, *, outputs: int, dropout: float, linear: bool = False) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"'dropout' must be in [0, 1), got {dropout}")
        hidden = width if linear else 2 * width
        self.hidden = None if linear else nn.Linear(width, hidden)
        self.norm = None if linear else nn.BatchNorm1d(hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, h: Tensor) -> Tensor:
        """Logits of pooled states: ``[B, D] → [B, T]``.

        Raises:
            ValueError: a single state in training, which has no spread to be normalized by.
        """
        if self.hidden is not None and self.norm is not None:
            _refuse_one_row(self.norm, h.shape[0])
            h = self.dropout(self.norm(self.hidden(h)).relu())  # [B, H]
        logits: Tensor = self.head(h)
        return logits

    def swap_loss(
        self,
        rationale: Tensor,
        environment: Tensor,
        y: Tensor,
        task: Task,
        *,
        environments: Tensor | None = None,
        others_only: bool = False,
        seed: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of predicting y_i from r_i + e_j over all pairs (i, j), exactly as if their B · K rows had been formed.

        Loss, gradients and the running statistics of the normalization are those of ``task.loss(self(rows), y of the rows)``
        with rows r_i + e_j. A second derivative is refused.

        Args:
            rationale: r ``[B, D]``.
            environment: e ``[K, D]``.
            y: targets of the rationales, as ``task`` has them.
            task: what is predicted.
            environments: ``[K]``, the row of ``rationale`` that each row of ``environment`` comes from; row j where not given.
            others_only: leave out the pairs of a rationale with its own environment.
            seed: int64 scalar that decides on dropout; drawn from torch's generator where not given.

        Returns:
            Scalar, zero where no pair has a known target.

        Raises:
            ValueError: the shapes do not fit, or fewer than two pairs in training, which have no spread to be normalized by.
        """
        width = self.head.in_features if self.hidden is None else self.hidden.in_features
        if rationale.dim() != 2 or environment.dim() != 2 or rationale.shape[1] != width or environment.shape[1] != width:
            raise ValueError(
                f"'rationale' and 'environment' must be pooled states [B, {width}] and [K, {width}], "
                f"got {tuple(rationale.shape)} and {tuple(environment.shape)}; take both from the encoder of the predictor"
            )
        targets = task.targets(y)
        if self.hidden is None or self.norm is None:
            return swap_grid_linear(
                self.head(rationale),
                F.linear(environment, self.head.weight),
                targets,
                criterion=task.criterion,
                environments=environments,
                others_only=others_only,
            )
        # The grid of W₁(r_i + e_j) + c₁ is that of a_i + b_j.
        a, b = self.hidden(rationale), F.linear(environment, self.hidden.weight)  # [B, H], [K, H]
        own = check_grid(
            a,
            b,
            targets,
            outputs=self.head.out_features,
            criterion=task.criterion,
            environments=environments,
            others_only=others_only,
        )
        a, b = _normalized(self.norm, a, b, own)
        dropout = self.dropout.p if self.dropout.training else 0.0
        if dropout and seed is None:
            seed = torch.randint(2**62, ())
        return swap_grid(
            a,
            b,
            self.head.weight,
            self.head.bias,
            targets,
            criterion=task.criterion,
            environments=environments,
            others_only=others_only,
            dropout=dropout,
            seed=seed,
        )


def _normalized(norm: nn.BatchNorm1d, a: Tensor, b: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """Batch normalization of the grid a_i + b_j, folded into ``a [B, H]`` and ``b [K, H]``.

    With c_i and d_j pairs of row i and column j, n in all, and α and β the rows and columns less Σ c_i a_i / n and Σ d_j b_j / n,
    the mean over pairs is the sum of both means, and n times the variance is Σ c_i α_i² + Σ d_j β_j² + 2 Σ_(i,j) α_i β_j, whose
    last sum is that of all pairs less those left out.

    Args:
        norm: scale, shift and running statistics, which training updates.
        a: rows before normalization.
        b: columns before normalization.
        own: ``[K]``, the row that each column makes no pair with, or ``None``.
    """
    rows, columns = a.shape[0], b.shape[0]
    if not norm.training:
        mean, variance, _ = _running(norm)
        scale = norm.weight * (variance + norm.eps).rsqrt()
        return (a - mean) * scale + norm.bias, b * scale
    n = rows * columns - (0 if own is None else columns)
    _refuse_one_row(norm, n)
    of_row, of_column = a.new_full((rows, 1), columns), rows  # [B, 1], c and d
    if own is not None:
        of_row, of_column = of_row.index_add(0, own, a.new_full((columns, 1), -1)), rows - 1
    mean_a, mean_b = (of_row * a).sum(0) / n, of_column * b.sum(0) / n
    a, b = a - mean_a, b - mean_b
    product = a.sum(0) * b.sum(0)
    if own is not None:
        product = product - (a[own] * b).sum(0)
    variance = ((of_row * a.square()).sum(0) + of_column * b.square().sum(0) + 2 * product) / n
    _track(norm, mean_a + mean_b, variance, n)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return a * scale + norm.bias, b * scale


@torch.no_grad()
def _track(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, n: int) -> None:
    """Update running statistics as the module does on ``n`` rows; the running variance is the unbiased one."""
    running_mean, running_variance, batches = _running(norm)
    batches += 1
    new = 1 / batches.to(mean.dtype) if norm.momentum is None else norm.momentum
    # As torch's own kernel does, unseen by autograd: the rationales alone went through the same normalization a moment before.
    running_mean.data += new * (mean - running_mean)
    running_variance.data += new * (variance * (n / (n - 1)) - running_variance)


def _running(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor, Tensor]:
    mean, variance, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if mean is None or variance is None or batches is None:
        raise ValueError("the normalization of a GraphPredictor keeps running statistics, got one without 'track_running_stats'")
    return mean, variance, batches


def _refuse_one_row(norm: nn.BatchNorm1d, rows: int) -> None:
    if norm.training and rows < 2:
        raise ValueError(
            f"BatchNorm in training needs two rows at least, got {rows}; use larger batches, drop the last one, or 'linear'"
        )
