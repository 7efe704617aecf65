"""Environments against multisets in plain Python."""

from collections import Counter

import pytest
import torch

from graph.encoders.categories import distinct
from graph.encoders.neighbourhoods import Bonds, environments
from tests.graph.encoders.tiny_graphs import ATOMS, BONDS, alike_graphs, batch_of, one_graph, some_graphs


def star(leaves):
    """One node that many edges arrive at."""
    graph = one_graph(leaves + 1, 0, seed=leaves)
    graph.edge_index = torch.stack([torch.arange(1, leaves + 1), torch.zeros(leaves, dtype=torch.long)])
    graph.edge_attr = torch.zeros(leaves, 2, dtype=torch.long)
    return graph


GRAPHS = {
    "undirected": some_graphs(),
    "directed": some_graphs(directed=True),
    "alike": alike_graphs(),
    "stars": [star(70), star(70), star(3)],
    "without edges": [one_graph(4, 0, seed=0), one_graph(0, 0, seed=0)],
}


def found_in(graphs, seen):
    batch = batch_of(graphs)
    kind = distinct(batch.x, ATOMS, name="x")[1]
    bonds = None
    if seen:
        one, of_edge = distinct(batch.edge_attr, BONDS, name="edge_attr")
        bonds = Bonds(of_edge, batch.edge_attr[one])
    return batch, environments(kind, batch.edge_index, bonds=bonds)


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("name", GRAPHS)
def test_nodes_are_told_apart_by_themselves_and_by_what_arrives(name, seen):
    batch, found = found_in(GRAPHS[name], seen)
    edges = list(zip(*batch.edge_index.tolist(), batch.edge_attr.tolist(), strict=True))
    own = [(tuple(row), sum(source == node for source, _, _ in edges)) for node, row in enumerate(batch.x.tolist())]
    arriving = [
        Counter((own[source], tuple(bond) if seen else None) for source, target, bond in edges if target == node)
        for node in range(len(own))
    ]
    colours = [(own[node], frozenset(arriving[node].items())) for node in range(len(own))]
    assert len(set(zip(colours, found.environment.tolist(), strict=True))) == len(set(colours))
    assert found.around.degree.numel() == len(set(colours))
    assert len(set(zip(own, found.kind.tolist(), strict=True))) == len(set(own)) == found.senders.numel()
    assert found.around.count.tolist() == [found.environment.tolist().count(each) for each in range(len(set(colours)))]


def test_stars_have_three_environments():
    _, found = found_in([star(70), star(70)], True)
    assert found.around.count.sum() == 142
    assert found.around.sender_degree.tolist() == [2] * 70
