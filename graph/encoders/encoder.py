"""What graph encoders share: embeddings of nodes from their own features.

Letters: ``B`` graphs, ``N`` nodes, ``E`` directed edges, ``F`` features, ``D`` width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from graph.batch import Graph
from graph.encoders.categories import CategoricalEmbedding, distinct
from graph.encoders.neighbourhoods import Bonds
from graph.messages import incidence, sum_rows
from rationalizers.batch import Batch
from rationalizers.encoders import Encoder


class GraphEncoder(Encoder):
    """Embeds nodes by their features; what they see of each other is up to the subclass.

    Args:
        atoms: values of each categorical node feature, where nodes have categories; or else
        features: number of node features, where they are numbers.
        bonds: values of each categorical edge feature; ``None`` where edges have none, or none that shall be seen.
        width: D, of embeddings and states.

    Raises:
        ValueError: both or neither of ``atoms`` and ``features``.
    """

    def __init__(self, *, atoms: Sequence[int] | None, features: int | None, bonds: Sequence[int] | None, width: int) -> None:
        super().__init__()
        if (atoms is None) == (features is None):
            raise ValueError(
                "nodes have categories ('atoms') or numbers ('features'), exactly one of the two; "
                f"got atoms={atoms}, features={features}"
            )
        self.width = self.embedding_width = width
        self.bonds = None if bonds is None else tuple(bonds)
        # One more value of the first category, or one more number, says that a node is absent.
        self.atoms = None if atoms is None else CategoricalEmbedding(atoms, width, spare=1)
        self.numbers = None if features is None else nn.Linear(features + 1, width)

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings ``[N, D]``: the sum of one row per categorical feature, or a linear map of the numbers.

        Raises:
            TypeError: not a batch of graphs, or numbers where categories are expected.
            ValueError: node features that do not fit.
        """
        x = graphs(batch).x
        if self.atoms is not None:
            one, kind = self.kinds(batch)
            rows = incidence(kind, torch.arange(kind.numel(), device=kind.device), sources=one.numel(), targets=kind.numel())
            return sum_rows(self.atoms(x[one]), rows)
        assert self.numbers is not None
        weight = self.numbers.weight[:, :-1]
        if x.dim() != 2 or x.shape[1] != weight.shape[1]:
            raise ValueError(f"'x' must hold {weight.shape[1]} numbers per node, got shape {tuple(x.shape)}")
        return linear(x.to(weight.dtype), weight, self.numbers.bias)

    @abstractmethod
    def encode(self, e: Tensor, batch: Batch, *, weight: Tensor | None = None) -> Tensor:
        """States ``[N, D]`` in context.

        Args:
            e: embeddings ``[N, D]``.
            batch: graphs with N nodes.
            weight: what messages are multiplied with, per edge ``[E]``; ones where not given.

        Raises:
            TypeError: not a batch of graphs.
            ValueError: ``weight`` is not ``[E]``, or edges lack the features that the encoder was made for.
        """

    def encode_weighted(self, e: Tensor, batch: Batch, mask: Tensor) -> Tensor:
        """States ``[N, D]`` where the message along an edge u → v is multiplied by m_u · m_v, ``mask [N]``."""
        source, target = graphs(batch).edge_index
        return self.encode(e, batch, weight=mask[source] * mask[target])

    def mask_embedding(self) -> Tensor:
        """A learned vector ``[D]``: a row of the first table that no node has, or what one more number adds to zeros."""
        if self.atoms is not None:
            return self.atoms.tables[0].weight[-1]  # type: ignore[index]
        assert self.numbers is not None
        return self.numbers.weight[:, -1] + self.numbers.bias

    def kinds(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One node of each combination of features ``[U]``, and the combination that every node has ``[N]``.

        Raises:
            TypeError: not a batch of graphs, nodes are described by numbers, or they have no categories.
            ValueError: categories outside those that the encoder was made for.
        """
        if self.atoms is None:
            raise TypeError("nodes are described by numbers here ('features'), hence not of few kinds")
        return distinct(graphs(batch).x, self.atoms.sizes, name="x")

    def bonds_of(self, batch: Batch) -> Bonds | None:
        """The kind of every edge; ``None`` where the encoder looks at no edge features.

        Raises:
            ValueError: the encoder was made for edge features that the batch does not have.
        """
        if self.bonds is None:
            return None
        features = graphs(batch).edge_attr
        if features is None:
            raise ValueError(f"the encoder was made for edge features of {self.bonds} values, but the batch has no 'edge_attr'")
        one, kind = distinct(features, self.bonds, name="edge_attr")
        return Bonds(kind, features[one])


def graphs(batch: Batch) -> Graph:
    """The batch, if it is one of graphs.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(batch, Graph):
        raise TypeError(f"a graph encoder reads a graph.batch.Graph, got {type(batch).__name__}")
    return batch


def check_edges(batch: Batch, e: Tensor, weight: Tensor | None) -> None:
    """Raise unless there is one embedding per node, and one weight per edge where there are weights."""
    nodes, edges = graphs(batch).x.shape[0], graphs(batch).edge_index.shape[1]
    if e.shape[0] != nodes:
        raise ValueError(f"'e' must be [N={nodes}, D], got {tuple(e.shape)}")
    if weight is not None and weight.shape != (edges,):
        raise ValueError(f"'weight' must be [E={edges}], got {tuple(weight.shape)}")
