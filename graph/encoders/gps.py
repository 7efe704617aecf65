"""Message passing and attention side by side.

Letters: ``B`` graphs, ``L`` nodes of the largest, ``N`` nodes, ``E`` directed edges, ``W`` steps of a walk, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import GPSConv
from torch_geometric.utils import to_dense_adj

from graph.encoders.encoder import GraphEncoder, check_edges, graphs
from graph.encoders.gin import GINConvolution
from graph.encoders.neighbourhoods import neighbourhood
from rationalizers.batch import Batch
from rationalizers.segment import owners


class GPS(GraphEncoder):
    """Layers that add a convolution along edges to attention over all nodes of a graph: PyG's ``GPSConv`` with our GIN.

    ``x ← norm(y + MLP(y))`` with ``y = norm(GIN(x) + x) + norm(attention(x) + x)``.

    Recipe for a General, Powerful, Scalable Graph Transformer (Rampášek et al., 2022, https://arxiv.org/abs/2205.12454).
    Attention pads every graph to L nodes, so that a batch takes memory for B · L² weights and as many walk probabilities.

    Args:
        atoms: values of each categorical node feature, where nodes have categories; or else
        features: number of node features, where they are numbers.
        bonds: values of each categorical edge feature; ``None`` where edges have none, or none that shall be seen.
        hidden: D, of embeddings and states.
        layers: such layers.
        heads: of attention.
        dropout: after the convolution, the attention and in the MLP.
        attention_dropout: of attention weights.
        walk: W, the length of `random_walk` encodings that a linear map adds to the embeddings; 0 for none.

    Raises:
        ValueError: both or neither of ``atoms`` and ``features``, no layer, or ``hidden`` is no multiple of ``heads``.
    """

    def __init__(
        self,
        *,
        atoms: Sequence[int] | None,
        features: int | None,
        bonds: Sequence[int] | None,
        hidden: int = 64,
        layers: int = 5,
        heads: int = 4,
        dropout: float = 0.1,
        attention_dropout: float = 0.5,
        walk: int = 0,
    ) -> None:
        super().__init__(atoms=atoms, features=features, bonds=bonds, width=hidden)
        if layers < 1:
            raise ValueError(f"'layers' must be at least 1, got {layers}")
        if heads < 1 or hidden % heads:
            raise ValueError(f"'hidden' is shared by all heads and must be a multiple of 'heads', got {hidden} and {heads}")
        self.walk = walk
        self.positions = nn.Linear(walk, hidden) if walk else None
        self.layers = nn.ModuleList(
            GPSConv(
                hidden,
                GINConvolution(hidden, bonds=bonds),
                heads=heads,
                dropout=dropout,
                attn_kwargs={"dropout": attention_dropout},
            )
            for _ in range(layers)
        )

    def encode(self, e: Tensor, batch: Batch, *, weight: Tensor | None = None) -> Tensor:
        """States ``[N, D]``; see `GraphEncoder.encode`. Attention is not weighted."""
        check_edges(batch, e, weight)
        nodes, edge_index = e.shape[0], graphs(batch).edge_index
        if nodes == 0:
            return e.new_zeros(0, self.width)
        around = neighbourhood(edge_index, nodes, bonds=self.bonds_of(batch))
        owner = owners(batch.ptr, nodes)
        x = e
        if self.positions is not None:
            x = x + self.positions(random_walk(edge_index, owner, steps=self.walk).to(x.dtype))
        for layer in self.layers:
            # It hands its second argument and the weights on to its convolution.
            x = layer(x, around, owner, weight=weight)
        return x


def random_walk(edge_index: Tensor, owner: Tensor, *, steps: int) -> Tensor:
    """Probability that a random walk from a node is back after 1, …, W steps, zero where a node has no edge: ``[N, W]``.

    It is computed from the edges that are there, not read from the data, so that it says nothing of nodes that were removed.

    Args:
        edge_index: ``[2, E]``, source above target.
        owner: the graph of each node ``[N]``, rising.
        steps: W.
    """
    step = to_dense_adj(edge_index, owner)  # [B, L, L]
    step = step / step.sum(2, keepdim=True).clamp(min=1)
    place = torch.arange(owner.numel(), device=owner.device) - torch.searchsorted(owner, owner)
    walk, back = step, []
    for _ in range(steps):
        back.append(walk.diagonal(dim1=1, dim2=2)[owner, place])  # [N]
        walk = walk @ step
    return torch.stack(back, dim=1)
