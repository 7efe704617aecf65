"""The same graphs numbered otherwise, and the same molecules written otherwise."""

import pytest
import torch

from graph.batch import Graph
from graph.data.featurize import GraphFeaturizer, SmilesFeaturizer, molecule_graph
from graph.data.numbering import mixed, moved, renumbered
from tests.graph.contract import ATOMS, BONDS, graph

MOLECULES = ("CC(=O)Oc1ccccc1C(=O)O", "C", "N[C@@H](C)C(=O)O", "*CC(*)c1ccccc1", "C/C=C/C[Si]O.[Na+]")


def collated(sizes=(7, 1, 5), query=0):
    return Graph.collate([graph(size, seed=place, query=query) for place, size in enumerate(sizes)])


def bonds_of(batch, order=None):
    """Every edge by the original places of its ends, with its features."""
    place = torch.arange(batch.x.shape[0]) if order is None else order
    return sorted((*place[ends].tolist(), *kind.tolist()) for ends, kind in zip(batch.edge_index.T, batch.edge_attr, strict=True))


def test_each_graph_keeps_its_nodes_in_an_order_of_its_own():
    batch = collated()
    order = mixed(batch)
    for start, end in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True):
        assert sorted(order[start:end].tolist()) == list(range(start, end))
    assert moved(batch, order).tolist() == [
        int((order[:7] != torch.arange(7)).sum()),
        0,
        int((order[8:] != torch.arange(8, 13)).sum()),
    ]
    assert moved(batch, torch.arange(13)).tolist() == [0, 0, 0]
    # Whatever the company: the row of the graph decides.
    assert mixed(graph(5, seed=2)).equal(order[8:] - 8)
    assert not mixed(graph(5, seed=7)).equal(order[8:] - 8)


def test_what_nodes_carry_goes_with_them_and_edges_stay_between_the_same():
    batch = collated(query=1)
    order = mixed(batch)
    found = renumbered(batch, order)
    assert found.x.equal(batch.x[order])
    assert found.fixed.equal(batch.fixed[order])
    assert found.fields["evidence"].equal(batch.fields["evidence"][order])
    assert bonds_of(found, order) == bonds_of(batch)
    assert found.edge_evidence.equal(found.fields["evidence"][found.edge_index].all(0))
    assert found.index.equal(batch.index)
    assert found.y is None
    assert found.position.tolist() == batch.position.tolist()
    assert batch.y is not None


def test_graphs_are_reworded_by_their_numbers():
    batch = collated()
    found = GraphFeaturizer(atoms=ATOMS, bonds=BONDS).reworded(batch)
    assert found.source.equal(mixed(batch))
    assert found.edits.equal(moved(batch, found.source))
    assert found.batch.x.equal(batch.x[found.source])


def test_molecules_are_written_otherwise_and_read_again():
    pytest.importorskip("rdkit")
    smiles = SmilesFeaturizer()
    batch = smiles.batch(MOLECULES)
    found = smiles.reworded(batch)
    assert sorted(found.source.tolist()) == list(range(batch.x.shape[0]))
    assert bonds_of(found.batch, found.source) == bonds_of(batch)
    # All columns but chirality, which is told by the order of neighbours.
    same = [column for column in range(9) if column != 1]
    assert found.batch.x[:, same].equal(batch.x[found.source][:, same])
    # A single atom has no other place; a chain may happen to begin at the same end.
    assert (found.edits[[0, 2, 3]] > 0).all()
    assert int(found.edits[1]) == 0
    assert found.batch.index.equal(batch.index)
    assert found.batch.ptr.equal(batch.ptr)


def test_a_stereocentre_may_be_tagged_the_other_way_round():
    pytest.importorskip("rdkit")
    alanine = ["N[C@@H](C)C(=O)O"] * 12
    batch = SmilesFeaturizer().batch(alanine)
    found = SmilesFeaturizer().reworded(batch)
    tags = found.batch.x[:, 1][batch.x[found.source][:, 1] > 0]
    assert tags.unique().tolist() == [1, 2]


def test_graphs_that_are_not_their_string_stay_as_they_are():
    pytest.importorskip("rdkit")
    smiles = SmilesFeaturizer()
    changed, plain = (molecule_graph("CCOC(N)C", id=name, row=torch.tensor([row])) for row, name in enumerate("ab"))
    changed.x[0, 2] = 0
    found = smiles.reworded(Graph.collate([changed, plain]))
    assert found.edits[0] == 0 < found.edits[1]
    assert found.batch.x[:6].equal(changed.x)
    assert bonds_of(found.batch.select(torch.arange(12) < 6, positions="fresh")) == bonds_of(changed)
    changed.source = "C1CC"
    assert smiles.reworded(Graph.collate([changed, plain])).edits[0] == 0
    unnamed = Graph(x=plain.x, edge_index=plain.edge_index, edge_attr=plain.edge_attr)
    assert smiles.reworded(unnamed).edits.tolist() == [0]


def test_no_molecule_depends_on_its_company():
    pytest.importorskip("rdkit")
    smiles = SmilesFeaturizer()
    together = smiles.reworded(smiles.batch(MOLECULES))
    for b, each in enumerate(MOLECULES):
        one = molecule_graph(each, row=torch.tensor([b]))
        alone = smiles.reworded(one)
        rows = slice(int(together.batch.ptr[b]), int(together.batch.ptr[b + 1]))
        assert alone.batch.x.equal(together.batch.x[rows])
        assert (alone.source + rows.start).equal(together.source[rows])
