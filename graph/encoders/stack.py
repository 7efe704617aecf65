"""Layers of message passing with batch normalisation, dropout, residual connections and a virtual node, as in OGB and GREA.

Letters: ``B`` graphs, ``N`` nodes, ``E`` directed edges, ``D`` width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graph.encoders.encoder import GraphEncoder, check_edges, graphs
from graph.encoders.layers import BitDropout, NodeNorm, Perceptron
from graph.encoders.neighbourhoods import Neighbourhood, environments, neighbourhood
from graph.messages import Incidence, incidence, sum_rows
from rationalizers.batch import Batch
from rationalizers.segment import owners


@dataclass(frozen=True)
class Graphs:
    """Which node is in which graph: the pattern that sums nodes ``[N] → [B]``, and the one that copies back ``[B] → [N]``."""

    owner: Tensor
    nodes: Incidence
    copies: Incidence


class ConvolutionStack(GraphEncoder):
    """A stack of convolutions: ``x ← dropout(ReLU(norm(conv(x)))) + x``, without ReLU in the last layer.

    Open Graph Benchmark: Datasets for Machine Learning on Graphs (Hu et al., 2020, https://arxiv.org/abs/2005.00687), as used in
    Graph Rationalization with Environment-based Augmentations (Liu et al., 2022, https://arxiv.org/abs/2206.02886).

    With a virtual node, every graph has a vector v that is added to its nodes before each layer; after each layer but the last,
    ``v ← dropout(MLP(Σ x + v)) + v``, where the sum is over what the layer read.

    Args:
        atoms: values of each categorical node feature, where nodes have categories; or else
        features: number of node features, where they are numbers.
        bonds: values of each categorical edge feature; ``None`` where edges have none, or none that shall be seen (e_uv = 0).
        hidden: D, of embeddings and states.
        layers: convolutions.
        dropout: of nodes and virtual nodes, after every layer.
        residual: add what was read to what comes out, of nodes and virtual nodes; OGB's own encoders do not, GREA's do.
        virtual_node: give every graph one.

    Raises:
        ValueError: both or neither of ``atoms`` and ``features``, no layer, or ``dropout`` outside of [0, 1).
    """

    def __init__(
        self,
        *,
        atoms: Sequence[int] | None,
        features: int | None,
        bonds: Sequence[int] | None,
        hidden: int = 300,
        layers: int = 5,
        dropout: float = 0.5,
        residual: bool = True,
        virtual_node: bool = False,
    ) -> None:
        super().__init__(atoms=atoms, features=features, bonds=bonds, width=hidden)
        if layers < 1:
            raise ValueError(f"'layers' must be at least 1, got {layers}")
        self.convolutions = nn.ModuleList(self.convolution() for _ in range(layers))
        self.norms = nn.ModuleList(NodeNorm(hidden) for _ in range(layers))
        self.dropout, self.residual = BitDropout(dropout), residual
        self.virtual_start = nn.Parameter(torch.zeros(hidden)) if virtual_node else None
        self.virtual = nn.ModuleList(Perceptron(hidden) for _ in range(layers - 1 if virtual_node else 0))
        self.virtual_norms = nn.ModuleList(NodeNorm(hidden) for _ in self.virtual)

    @abstractmethod
    def convolution(self) -> nn.Module:
        """One more layer, called with ``x [S, D]``, a `Neighbourhood` and ``weight=`` of its edges; returns ``[T, D]``."""

    def encode(self, e: Tensor, batch: Batch, *, weight: Tensor | None = None) -> Tensor:
        """States ``[N, D]``; see `GraphEncoder.encode`."""
        check_edges(batch, e, weight)
        nodes = e.shape[0]
        if nodes == 0:
            return e.new_zeros(0, self.width)
        around = neighbourhood(graphs(batch).edge_index, nodes, bonds=self.bonds_of(batch))
        return self._continue(e, self._start(batch), around, _graphs_of(batch), first=0, weight=weight)

    def states(self, batch: Batch) -> Tensor:
        """States ``[N, D]`` of whole graphs, the same as ``encode(embed(batch), batch)``.

        Nodes of one kind with the same neighbours leave the first layer in the same state, so that it is computed once for all
        of them. That spares nearly all of one layer: of 9,466 nodes in 256 polymers, 456 differ.
        """
        nodes = graphs(batch).x.shape[0]
        if self.atoms is None or nodes == 0:
            return super().states(batch)
        edge_index, bonds = graphs(batch).edge_index, self.bonds_of(batch)
        found = environments(self.kinds(batch)[1], edge_index, bonds=bonds)
        if 2 * found.around.degree.numel() > nodes:  # too little in common
            return super().states(batch)
        of, v = _graphs_of(batch), self._start(batch)
        read = self.atoms(graphs(batch).x[found.senders])  # [S, D]
        if self.virtual_start is not None:
            read = read + self.virtual_start
        out = self._convolve(0, read, found.around)  # [T, D]
        x = self.dropout(_spread(out, found.environment))  # [N, D]
        if self.residual:
            x = x + _spread(read, found.kind)
        if v is not None:
            pool = incidence(found.kind, of.owner, sources=read.shape[0], targets=v.shape[0])
            v = self._update(0, v, sum_rows(read, pool))
        return self._continue(x, v, neighbourhood(edge_index, nodes, bonds=bonds), of, first=1)

    def _continue(
        self, x: Tensor, v: Tensor | None, around: Neighbourhood, of: Graphs, *, first: int, weight: Tensor | None = None
    ) -> Tensor:
        """All layers from ``first`` on."""
        for layer in range(first, len(self.convolutions)):
            read = x if v is None else x + sum_rows(v, of.copies)
            x = self.dropout(self._convolve(layer, read, around, weight=weight))
            if self.residual:
                x = x + read
            if v is not None:
                v = self._update(layer, v, sum_rows(read, of.nodes))
        return x

    def _convolve(self, layer: int, x: Tensor, around: Neighbourhood, *, weight: Tensor | None = None) -> Tensor:
        out: Tensor = self.norms[layer](self.convolutions[layer](x, around, weight=weight), around.count)
        # In place, because normalisation keeps its input, not its output.
        return out if layer + 1 == len(self.convolutions) else out.relu_()

    def _start(self, batch: Batch) -> Tensor | None:
        return None if self.virtual_start is None else self.virtual_start.expand(batch.ptr.numel() - 1, -1)

    def _update(self, layer: int, v: Tensor, read: Tensor) -> Tensor:
        """The virtual nodes ``[B, D]`` after a layer, from the sum over what it read ``[B, D]``."""
        if layer == len(self.virtual):  # nothing reads them after the last layer
            return v
        out: Tensor = self.dropout(self.virtual_norms[layer](self.virtual[layer](read + v)).relu_())
        return v + out if self.residual else out


def _spread(x: Tensor, row: Tensor) -> Tensor:
    """Rows of ``x [S, D]`` by number ``[N]``, as ``[N, D]``."""
    each = torch.arange(row.numel(), device=row.device)
    return sum_rows(x, incidence(row, each, sources=x.shape[0], targets=row.numel()))


def _graphs_of(batch: Batch) -> Graphs:
    nodes = graphs(batch).x.shape[0]
    each, owner, count = torch.arange(nodes, device=batch.ptr.device), owners(batch.ptr, nodes), batch.ptr.numel() - 1
    return Graphs(
        owner=owner,
        nodes=incidence(each, owner, sources=nodes, targets=count),
        copies=incidence(owner, each, sources=count, targets=nodes),
    )
