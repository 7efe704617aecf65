"""Graphs as a packed batch: PyG's ``Data``, read through the names that text and graphs share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from rationalizers.batch import Positions, copies_of
from rationalizers.segment import lengths, members, offsets, owners

FIELD = "field_"
# One row for each graph; with as many graphs as nodes or edges PyG could not tell.
PER_GRAPH = ("y", "row", "labelled", "annotated", "ptr")


class Graph(Data):  # type: ignore[misc]
    """One graph, or a batch of them; nodes are the units.

    `collate` joins graphs and batches of them, as PyG's loader joins graphs; what the contract asks for and is not there is
    filled in as `rationalizers.batch.Packed` does it. Keys of the store:

    =================== ============================================================================================
    x                   node features ``[N, F]``
    edge_index          ``[2, E]``, source above target; an undirected edge is there in both directions
    edge_attr           edge features ``[E, K]``, where there are any
    y                   classes ``[B]``, or numbers ``[B, T]``, NaN where unknown
    field_evidence      nodes that people (or the generating rule) marked, ``[N]`` bool; other ``field_…`` likewise
    field_alternatives  equally valid evidence ``[N, A]`` bool, of which ``field_evidence`` is the union
    edge_evidence       the same for edges ``[E]`` bool
    position, fixed     as in `Packed`, per node
    labelled, annotated as in `Packed`, per graph
    row                 of each graph in its split ``[B]``
    id, source          name, and what it was made from (a SMILES string); a list in a batch
    =================== ============================================================================================
    """

    @property
    def units(self) -> Tensor:
        """Node features ``[N, F]``."""
        features: Tensor = self.x
        return features

    @property
    def ptr(self) -> Tensor:
        """Offsets ``[B+1]``."""
        found: Tensor | None = self._store.get("ptr")
        return torch.tensor([0, self.x.shape[0]], device=self.x.device) if found is None else found

    @property
    def position(self) -> Tensor:
        """Original place of each node in its graph, ``[N]``."""
        found: Tensor | None = self._store.get("position")
        if found is not None:
            return found
        n = self.x.shape[0]
        return torch.arange(n, device=self.x.device) - self.ptr[:-1][owners(self.ptr, n)]

    @property
    def fixed(self) -> Tensor:
        """Nodes that are always visible and never selectable, ``[N]`` bool."""
        return self._filled("fixed", self.x.shape[0], False)

    @property
    def fields(self) -> Mapping[str, Tensor]:
        """Facts per node by name."""
        return {name.removeprefix(FIELD): self._store[name] for name in self._store if name.startswith(FIELD)}

    @property
    def labelled(self) -> Tensor:
        """Graphs whose evidence may be trained on, ``[B]`` bool."""
        return self._filled("labelled", self.ptr.numel() - 1, False)

    @property
    def annotated(self) -> Tensor:
        """Graphs whose evidence is known, ``[B]`` bool."""
        return self._filled("annotated", self.ptr.numel() - 1, f"{FIELD}evidence" in self._store)

    @property
    def spans(self) -> None:
        """Nodes have no order, hence no intervals."""
        return None

    @property
    def edge_evidence(self) -> Tensor | None:
        """Edges that people marked ``[E]`` bool, where known."""
        found: Tensor | None = self._store.get("edge_evidence")
        return found

    @property
    def index(self) -> Tensor:
        """Row of each graph in its split, ``[B]``."""
        found: Tensor | None = self._store.get("row")
        return torch.arange(self.ptr.numel() - 1, device=self.x.device) if found is None else found

    def select(self, mask: Tensor, *, positions: Positions) -> Graph:
        """The same graphs with only the nodes where ``mask [N]`` is true, and the edges between those.

        Args:
            mask: nodes to keep, bool ``[N]``.
            positions: ``fresh`` numbers the kept nodes of a graph from 0, ``kept`` leaves their places.

        Raises:
            ValueError: ``mask`` is not bool ``[N]``.
        """
        n = self.x.shape[0]
        if mask.dtype != torch.bool or mask.shape != (n,):
            raise ValueError(f"'mask' must be bool [{n}], got {mask.dtype} {tuple(mask.shape)}")
        edge_index, _, kept = subgraph(mask, self.edge_index, relabel_nodes=True, num_nodes=n, return_edge_mask=True)
        ptr = offsets(mask.long())[self.ptr]
        found = {name: value for name, value in self._store.items() if name not in ("batch", "position")}
        for name, value in found.items():
            if isinstance(value, Tensor) and name not in ("edge_index", *PER_GRAPH):
                if self.is_node_attr(name):
                    found[name] = value[mask]
                elif self.is_edge_attr(name):
                    found[name] = value[kept]
        found |= {"edge_index": edge_index, "ptr": ptr}
        if positions == "kept":
            found["position"] = self.position[mask]
        return Graph(**found)

    def gather(self, index: Tensor, ptr: Tensor, *, positions: Positions, rows: Tensor | None = None) -> Graph:
        """Copies of graphs, each with only some of its nodes and the edges between those.

        Args:
            index: where the nodes of each copy come from, int64 ``[M]``, in rising order; as `rationalizers.kernels.perturb`
                gives it.
            ptr: offsets ``[R+1]`` of the copies.
            positions: as in `select`.
            rows: the graph that each copy is of, int64 ``[R]``; all graphs once, then all again where not given.

        Raises:
            TypeError: ``index``, ``ptr`` or ``rows`` is not int64.
            ValueError: what `rationalizers.batch.copies_of` refuses.
        """
        rows, owner = copies_of(self, index, ptr, rows)  # [R], [M]
        # Every node of every copy has a cell, which holds its place where it is there.
        cells = offsets(lengths(self.ptr)[rows])  # [R+1]
        cell = torch.full((int(cells[-1]),), -1, device=index.device)
        cell[cells[owner] + index - self.ptr[rows[owner]]] = torch.arange(index.shape[0], device=index.device)
        graph = owners(self.ptr, self.x.shape[0])[self.edge_index[0]]  # [E]
        by_graph = torch.argsort(graph, stable=True)
        copy, which = members(rows, offsets(torch.bincount(graph, minlength=self.ptr.numel() - 1)))  # [J], an edge of each copy
        edge = by_graph[which]
        ends = cell[self.edge_index[:, edge] + (cells[copy] - self.ptr[rows[copy]])]  # [2, J]
        there = (ends >= 0).all(0)
        edge = edge[there]  # [E']
        found: dict[str, Any] = {"edge_index": ends[:, there], "ptr": ptr}
        for name, value in self._store.items():
            if name in ("edge_index", "ptr", "batch", "position"):
                continue
            if not isinstance(value, Tensor):
                each = value if isinstance(value, list) else [value]
                found[name] = [each[row] for row in rows.tolist()]
            elif name not in PER_GRAPH and self.is_node_attr(name):
                found[name] = value[index]
            elif name not in PER_GRAPH and self.is_edge_attr(name):
                found[name] = value[edge]
            else:
                found[name] = value[rows]
        if positions == "kept":
            found["position"] = self.position[index]
        return Graph(**found)

    def with_units(self, units: Tensor) -> Graph:
        """The same graphs with other node features ``[N, F]`` on the same edges."""
        return Graph(**{**self._store, "x": units})

    @classmethod
    def collate(cls, graphs: Sequence[Graph]) -> Graph:
        """One batch of all graphs in order.

        Raises:
            ValueError: nothing to collate, or the graphs do not carry the same facts.
        """
        if not graphs:
            raise ValueError("'graphs' must hold at least one graph, got none")
        keys = [frozenset(graph._store) - {"batch", "ptr", "position"} for graph in graphs]
        if len(set(keys)) > 1:
            odd = sorted(frozenset.union(*keys) - frozenset.intersection(*keys))
            raise ValueError(f"graphs disagree on what they carry: only some have {', '.join(odd)}")
        before = offsets(torch.tensor([graph.x.shape[0] for graph in graphs])).tolist()
        ptr = offsets(torch.cat([lengths(graph.ptr) for graph in graphs]))
        found: dict[str, Any] = {"ptr": ptr, "batch": owners(ptr, before[-1])}
        if any("position" in graph._store for graph in graphs):
            found["position"] = torch.cat([graph.position for graph in graphs])
        for name in (name for name in graphs[0]._store if name in keys[0]):
            values = [graph._store[name] for graph in graphs]
            if name == "edge_index":
                found[name] = torch.cat([edges + first for edges, first in zip(values, before, strict=False)], 1)
            elif isinstance(values[0], Tensor):
                found[name] = torch.cat(values)
            else:
                found[name] = [each for value in values for each in (value if isinstance(value, list) else [value])]
        return cls(**found)

    def _filled(self, name: str, count: int, value: bool) -> Tensor:
        found: Tensor | None = self._store.get(name)
        return torch.full((count,), value, device=self.x.device) if found is None else found
