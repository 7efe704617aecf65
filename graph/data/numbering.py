"""The same graphs with their nodes numbered otherwise."""

from __future__ import annotations

import torch
from torch import Tensor

from graph.batch import PER_GRAPH, Graph
from rationalizers.metrics.floors import uniform_hash
from rationalizers.segment import owners, segment_rank, segment_sum


def mixed(graphs: Graph) -> Tensor:
    """The nodes of each graph in an order that the row of the graph and the place of a node decide, ``[N]``."""
    owner = owners(graphs.ptr, graphs.x.shape[0])
    rank = segment_rank(uniform_hash(graphs.index[owner], graphs.position), graphs.ptr)
    return _inverse(graphs.ptr[:-1][owner] + rank)


def moved(graphs: Graph, order: Tensor) -> Tensor:
    """Nodes of each graph that are not where they were, ``[B]``."""
    return segment_sum((order != torch.arange(order.shape[0])).long(), graphs.ptr)


def renumbered(graphs: Graph, order: Tensor) -> Graph:
    """The same graphs without targets, counted anew.

    Args:
        graphs: on the CPU.
        order: which node stands at each place ``[N]``, those of a graph where the graph was.
    """
    found = {name: value for name, value in graphs._store.items() if name not in ("y", "position")}
    for name, value in found.items():
        if isinstance(value, Tensor) and name not in ("edge_index", *PER_GRAPH) and graphs.is_node_attr(name):
            found[name] = value[order]
    return Graph(**(found | {"edge_index": _inverse(order)[graphs.edge_index]}))


def _inverse(order: Tensor) -> Tensor:
    return torch.empty_like(order).index_copy(0, order, torch.arange(order.shape[0]))
