"""The graph isomorphism network with edge features.

Letters: ``S`` rows that send, ``T`` rows that receive, ``E`` directed edges, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graph.encoders.categories import CategoricalEmbedding
from graph.encoders.layers import Perceptron
from graph.encoders.neighbourhoods import Neighbourhood
from graph.encoders.stack import ConvolutionStack


class GINConvolution(nn.Module):
    """``x_v ← MLP((1 + ε) x_v + Σ_{u → v} w_uv ReLU(x_u + e_uv))`` with ``MLP = Linear – batch normalisation – ReLU – Linear``.

    How Powerful are Graph Neural Networks? (Xu et al., 2019, https://arxiv.org/abs/1810.00826), with the edge features of
    Strategies for Pre-training Graph Neural Networks (Hu et al., 2020, https://arxiv.org/abs/1905.12265) and ReLU as in OGB.

    Args:
        width: D.
        bonds: values of each categorical edge feature; e = 0 where ``None``.
    """

    def __init__(self, width: int, *, bonds: Sequence[int] | None) -> None:
        super().__init__()
        self.bonds = None if bonds is None else CategoricalEmbedding(bonds, width)
        self.eps = nn.Parameter(torch.zeros(1))
        self.mlp = Perceptron(width)

    def forward(self, x: Tensor, around: Neighbourhood, *, weight: Tensor | None = None) -> Tensor:
        """States ``[T, D]`` from states ``[S, D]``; messages are multiplied with ``weight [E]``."""
        own = x if around.own is None else x[around.own]
        out: Tensor = self.mlp((1 + self.eps) * own + around.gather(x, self.bonds, weight=weight), around.count)
        return out


class GIN(ConvolutionStack):
    """A stack of `GINConvolution`; see `ConvolutionStack` for what surrounds them."""

    def convolution(self) -> nn.Module:
        """One more layer."""
        return GINConvolution(self.width, bonds=self.bonds)
