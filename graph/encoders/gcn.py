"""The graph convolutional network with edge features.

Letters: ``S`` rows that send, ``T`` rows that receive, ``E`` directed edges, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graph.encoders.categories import CategoricalEmbedding
from graph.encoders.layers import AlignedLinear
from graph.encoders.neighbourhoods import Neighbourhood
from graph.encoders.stack import ConvolutionStack


class GCNConvolution(nn.Module):
    """``x_v ← Σ_{u → v} w_uv ReLU(z_u + e_uv) / √(d_u d_v) + ReLU(z_v + r) / d_v`` with ``z = W x + b``.

    d counts the edges from a node, plus one; r is learned. Semi-Supervised Classification with Graph Convolutional Networks
    (Kipf and Welling, 2017, https://arxiv.org/abs/1609.02907), with edge features, r and ReLU as in OGB.

    Args:
        width: D.
        bonds: values of each categorical edge feature; e = 0 where ``None``.
    """

    def __init__(self, width: int, *, bonds: Sequence[int] | None) -> None:
        super().__init__()
        self.bonds = None if bonds is None else CategoricalEmbedding(bonds, width)
        self.linear = AlignedLinear(width, width)
        self.root = nn.Parameter(torch.empty(width))
        nn.init.normal_(self.root)

    def forward(self, x: Tensor, around: Neighbourhood, *, weight: Tensor | None = None) -> Tensor:
        """States ``[T, D]`` from states ``[S, D]``; messages are multiplied with ``weight [E]``."""
        z: Tensor = self.linear(x)  # [S, D]
        own = z if around.own is None else z[around.own]  # [T, D]
        scale = (around.sender_degree * around.receiver_degree).to(z.dtype).rsqrt()  # [E]
        arrived = around.gather(z, self.bonds, weight=scale if weight is None else scale * weight)
        return arrived + (own + self.root).relu_() / around.degree[:, None].to(z.dtype)


class GCN(ConvolutionStack):
    """A stack of `GCNConvolution`; see `ConvolutionStack` for what surrounds them."""

    def convolution(self) -> nn.Module:
        """One more layer."""
        return GCNConvolution(self.width, bonds=self.bonds)
