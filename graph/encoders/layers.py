"""Layers over the nodes of a whole batch, as torch has them, but quicker on CPU or for rows that stand for several nodes.

Letters: ``N`` rows, ``D`` width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

ROWS, ALIGNED = 2048, 8


class AlignedLinear(nn.Linear):
    """A linear layer that is as quick for widths that are no multiple of eight.

    Products of many rows that are 300 wide, the usual width of graph encoders, run at 60 instead of 90 GFLOP/s in MKL, because
    each of their rows begins elsewhere in a vector register: 67 ms for ``[9466, 600] @ [600, 300]``, 42 ms with four columns of
    zeros that are then dropped (one core with AVX-512, torch 2.13).
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[N, in] → [N, out]``."""
        more_in, more_out = -self.in_features % ALIGNED, -self.out_features % ALIGNED
        if not input.is_cpu or input.shape[0] < ROWS or not (more_in or more_out):
            return super().forward(input)
        weight = pad(self.weight, (0, more_in, 0, more_out))
        bias = None if self.bias is None else pad(self.bias, (0, more_out))
        out = linear(pad(input, (0, more_in)) if more_in else input, weight, bias)
        return out[:, : self.out_features].contiguous()


class NodeNorm(nn.BatchNorm1d):
    """Batch normalisation over all nodes of a batch, of which one row may stand for several.

    Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift (Ioffe and Szegedy, 2015,
    https://arxiv.org/abs/1502.03167).
    """

    def forward(self, input: Tensor, count: Tensor | None = None) -> Tensor:
        """Normalised rows ``[N, D]``.

        Args:
            input: ``[N, D]``.
            count: nodes that each row stands for ``[N]``; one each where not given.

        Raises:
            ValueError: one node in training, whose variance is zero.
        """
        if self.training and (input.shape[0] if count is None else int(count.sum())) == 1:
            raise ValueError(
                "batch normalisation needs at least two rows in training, got one; use larger batches, or `.eval()` to predict"
            )
        if count is None or not self.training:
            return super().forward(input)
        share = count.to(input.dtype)[:, None] / count.sum()  # [N, 1]
        mean = (share * input).sum(0)  # [D]
        centred = input - mean
        variance = (share * centred.square()).sum(0)
        self._track(mean.detach(), variance.detach(), nodes=count.sum().to(input.dtype))
        return centred * (variance + self.eps).rsqrt() * self.weight + self.bias

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, *, nodes: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance * (nodes / (nodes - 1)), rate)


class BitDropout(nn.Module):
    """Dropout whose random bits cost one byte per entry on CPU: ``x_i ← x_i · 1[kept_i] / (1 − p)``.

    A byte below ``⌊256 (1 − p)⌋`` keeps its entry; of those that are equal to it, the share that is missing is kept by a second
    draw, so that every p is met as exactly as by torch, which draws a whole number of the Mersenne twister for every entry: 33 ms
    for ``[9466, 300]`` instead of 2 (one core, torch 2.13).

    Args:
        p: probability of dropping an entry.

    Raises:
        ValueError: ``p`` is not in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"'p' must be in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``x`` in evaluation; in training, with entries dropped at random."""
        if not self.training or self.p == 0:
            return x
        if not x.is_cpu:
            return nn.functional.dropout(x, self.p)
        return x * kept(x, self.p).mul_(1 / (1 - self.p))

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        return f"p={self.p}"


class Perceptron(nn.Module):
    """``Linear(D, 2D) – batch normalisation – ReLU – Linear(2D, D)``.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = AlignedLinear(width, 2 * width)
        self.norm = NodeNorm(2 * width)
        self.outer = AlignedLinear(2 * width, width)

    def forward(self, x: Tensor, count: Tensor | None = None) -> Tensor:
        """``[N, D] → [N, D]``, where each row stands for ``count [N]`` nodes, or for one."""
        # In place, because normalisation keeps its input, not its output.
        out: Tensor = self.outer(self.norm(self.inner(x), count).relu_())
        return out


class NodeScorer(nn.Sequential):
    """A score of every node, ``[N, D] → [N, 1]``: ``Linear(D, 2D) – batch normalisation – ReLU – dropout – Linear(2D, 1)``.

    Args:
        width: D.
        dropout: of the hidden layer.
    """

    def __init__(self, width: int, *, dropout: float) -> None:
        hidden = 2 * width
        super().__init__(
            AlignedLinear(width, hidden), NodeNorm(hidden), nn.ReLU(inplace=True), BitDropout(dropout), nn.Linear(hidden, 1)
        )


def kept(x: Tensor, p: float) -> Tensor:
    """Independent draws, one with probability 1 − p and else zero, of the shape and type of ``x``, on CPU."""
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    byte = words.view(torch.uint8)[: x.numel()].view(x.shape)
    level = int(256 * (1 - p))
    share = 256 * (1 - p) - level
    mask = torch.lt(byte, level, out=torch.empty(x.shape, dtype=x.dtype))
    if share > 0:
        tied = (byte == level).flatten().nonzero().flatten()
        mask.view(-1)[tied] = torch.empty_like(tied, dtype=x.dtype).bernoulli_(share)
    return mask
