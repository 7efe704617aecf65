"""Molecules and raw graphs as units: against the benchmark's own tables, PyG's featurizer, and literals."""

import json

import pytest
import torch
from rdkit import Chem, RDLogger
from torch_geometric.data import Batch, Data
from torch_geometric.utils import from_smiles

from graph.batch import Graph
from graph.data.featurize import ATOMS, BONDS, GraphFeaturizer, SmilesFeaturizer, both_ways, molecule_graph, parse_smiles
from graph.data.ogb import OGB
from rationalizers.base import Output
from rationalizers.rationale import Rationale
from rationalizers.task import BinaryTasks

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
POLYMER = "*CC(*)c1ccccc1"
HEXENE = "CC/C=C\\CC"


def ring(n=3, **facts):
    nodes = torch.arange(n)
    edge_index, _ = both_ways(torch.stack([nodes, nodes.roll(-1)]), nodes)
    return Graph(**{"x": torch.zeros(n, 1, dtype=torch.long), "edge_index": edge_index, **facts})


# Molecules ------------------------------------------------------------------------------------------------------------


def test_tables_have_the_sizes_of_the_benchmark():
    assert ATOMS == (119, 5, 12, 12, 10, 6, 6, 2, 2)
    assert BONDS == (5, 6, 2)


def test_ethanol_is_what_chemistry_says():
    graph = molecule_graph("CCO", id="ethanol")
    # Atomic number − 1, chirality, neighbours with hydrogens, charge + 5, hydrogens, radicals, SP3, aromatic, ring.
    carbon, oxygen = [5, 0, 4, 5], [7, 0, 2, 5]
    assert graph.x.tolist() == [[*carbon, 3, 0, 2, 0, 0], [*carbon, 2, 0, 2, 0, 0], [*oxygen, 1, 0, 2, 0, 0]]
    assert graph.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert graph.edge_attr.tolist() == [[0, 0, 0]] * 4
    assert (graph.source, graph.id) == ("CCO", "ethanol")


def test_what_the_tables_do_not_name_is_their_last_row():
    graph = molecule_graph(POLYMER)
    assert graph.x[:, 0].tolist() == [118, 5, 5, 118, 5, 5, 5, 5, 5, 5]
    dative = molecule_graph("[NH3]->[Pt]")  # a bond type and hybridizations outside of the tables
    assert dative.edge_attr[:, 0].tolist() == [BONDS[0] - 1] * 2
    assert molecule_graph("[H][H]").x[0].tolist() == [0, 0, 1, 5, 0, 0, 5, 0, 0]  # hybridization S


def test_bonds_have_type_stereochemistry_and_conjugation():
    assert molecule_graph(HEXENE).edge_attr[4:6].tolist() == [[1, 1, 0]] * 2  # Z
    assert molecule_graph("CC/C=C/CC").edge_attr[4].tolist() == [1, 2, 0]  # E
    assert molecule_graph("c1ccccc1").edge_attr.unique(dim=0).tolist() == [[3, 0, 1]]
    assert molecule_graph("C#N").edge_attr[0].tolist() == [2, 0, 0]
    assert molecule_graph("C[C@H](N)O").x[1, 1].item() + molecule_graph("C[C@@H](N)O").x[1, 1].item() == 3


def test_a_molecule_of_one_atom_has_no_edges():
    graph = molecule_graph("C")
    assert (graph.x.shape, graph.edge_index.shape, graph.edge_attr.shape) == ((1, 9), (2, 0), (0, 3))
    assert graph.edge_index.dtype == graph.edge_attr.dtype == torch.long


@pytest.mark.parametrize("smiles", [ASPIRIN, HEXENE, "C[N+](C)(C)CC([O-])=O", "[CH3]", "FS(F)(F)(F)(F)F", "C[C@@H](N)O"])
def test_features_are_those_of_pyg_up_to_the_numbering_of_their_tables(smiles):
    ours, theirs = molecule_graph(smiles), from_smiles(smiles)
    # PyG begins with atomic number 0 and with hybridizations "unspecified" and "S".
    shift = torch.tensor([1, 0, 0, 0, 0, 0, 2, 0, 0])
    assert torch.equal(ours.x + shift, theirs.x)
    ours_by_pair = dict(zip(map(tuple, ours.edge_index.T.tolist()), ours.edge_attr[:, 2].tolist(), strict=True))
    theirs_by_pair = dict(zip(map(tuple, theirs.edge_index.T.tolist()), theirs.edge_attr[:, 2].tolist(), strict=True))
    assert ours_by_pair == theirs_by_pair


@pytest.mark.parametrize("name", ["bace", "bbbp", "esol", "freesolv"])
def test_molecules_are_the_published_ones_row_for_row(data_root, name):
    corpus = OGB(name=name, root=str(data_root)).load()
    compared = 0
    for graph in (graph for graphs in corpus.splits.values() for graph in graphs):
        ours = molecule_graph(graph.source)
        assert torch.equal(ours.x, graph.x), graph.source
        assert torch.equal(ours.edge_index, graph.edge_index), graph.source
        assert torch.equal(ours.edge_attr, graph.edge_attr), graph.source
        compared += 1
    assert compared == {"bace": 1513, "bbbp": 2039, "esol": 1128, "freesolv": 642}[name]


@pytest.mark.parametrize(
    ("smiles", "reason"), [("C1CC", "RDKit cannot read it"), ("C(C)(C)(C)(C)C", "RDKit cannot read it"), (" ", "it has no atoms")]
)
def test_what_is_no_molecule_is_refused_without_noise(smiles, reason, capfd):
    RDLogger.EnableLog("rdApp.error")  # PyG's featurizer silences RDKit for good
    with pytest.raises(ValueError, match=f"is not a molecule in SMILES notation: {reason}; correct or remove it"):
        parse_smiles(smiles)
    assert capfd.readouterr() == ("", "")
    # RDKit speaks again afterwards.
    Chem.MolFromSmiles("C1CC")
    assert "unclosed ring" in capfd.readouterr().err


def test_a_molecule_must_be_a_string():
    with pytest.raises(TypeError, match="'smiles' must be a string, got int"):
        parse_smiles(3)


def test_strings_make_a_batch():
    featurizer = SmilesFeaturizer()
    batch = featurizer.batch([ASPIRIN, " C ", POLYMER], first=5)
    assert isinstance(batch, Graph)
    assert batch.ptr.tolist() == [0, 13, 14, 24]
    assert batch.y is None
    assert (batch.id, batch.source) == (["molecule-5", "molecule-6", "molecule-7"], [ASPIRIN, "C", POLYMER])
    assert torch.equal(batch.x[14:], molecule_graph(POLYMER).x)
    assert torch.equal(batch.edge_index[:, -2:] - 14, molecule_graph(POLYMER).edge_index[:, -2:])


@pytest.mark.parametrize(("bad", "error"), [("C1", ValueError), (None, TypeError)])
def test_a_bad_string_of_a_batch_is_named_by_its_place(bad, error):
    with pytest.raises(error, match=r"^input 8: "):
        SmilesFeaturizer().batch(["C", bad], first=7)


def test_molecules_are_explained_by_their_atoms():
    featurizer = SmilesFeaturizer()
    batch = featurizer.batch(["CO", "N"])
    mask = torch.tensor([0.0, 1.0, 1.0])
    output = Output(logits=torch.zeros(2, 1), rationale=Rationale(scores=mask, mask=mask, ptr=batch.ptr))
    alcohol, ammonia = featurizer.explain(batch, output, BinaryTasks(targets=["active"]))
    assert (alcohol.source, alcohol.nodes, alcohol.rationale) == ("CO", ("C", "O"), (1,))
    assert (ammonia.id, ammonia.nodes, ammonia.rationale) == ("molecule-1", ("N",), (0,))
    assert alcohol.probabilities == {"active": 0.5, "not active": 0.5}


# Raw graphs -----------------------------------------------------------------------------------------------------------


def test_facts_are_plain_and_say_what_there_is_not():
    assert SmilesFeaturizer().facts() == {"atoms": list(ATOMS), "bonds": list(BONDS), "features": None}
    assert GraphFeaturizer(features=4).facts() == {"atoms": None, "bonds": None, "features": 4}
    assert GraphFeaturizer(atoms=(3,)).facts() == json.loads(json.dumps(GraphFeaturizer(atoms=(3,)).facts()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either 'atoms' or 'features'"),
        ({"atoms": [3], "features": 2}, "either 'atoms' or 'features'"),
        ({"features": 0}, "'features' must be of at least one"),
        ({"atoms": [3, 0]}, "'atoms' must be of at least one"),
        ({"atoms": [3], "bonds": []}, "'bonds' must be of at least one"),
    ],
)
def test_contradictory_descriptions_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        GraphFeaturizer(**given)


def test_raw_graphs_make_a_batch_with_what_they_share():
    evidence = torch.tensor([True, False, False])
    first = ring(field_evidence=evidence, field_shortcut=evidence, y=torch.tensor([1]), id="a")
    second = ring(field_evidence=~evidence, row=torch.tensor([7]), id="b")
    batch = GraphFeaturizer(atoms=[1]).batch([first, second])
    assert batch.id == ["a", "b"]
    assert batch.fields.keys() == {"evidence"}
    assert batch.fields["evidence"].tolist() == [True, False, False, False, True, True]
    assert batch.y is None
    assert batch.index.tolist() == [0, 1]


def test_plain_data_gets_names():
    data = Data(x=torch.rand(2, 4), edge_index=torch.tensor([[0], [1]]))
    assert GraphFeaturizer(features=4).batch([data], first=3).id == ["graph-3"]


BAD = [
    (Data(edge_index=torch.zeros(2, 0).long()), {}, "must have 'x'"),
    (ring(x=torch.zeros(0, 1).long()), {}, "at least one node"),
    (ring(edge_index=torch.zeros(0, 2).long()), {}, r"'edge_index' \[2, E\] long, got \[0, 2\]"),
    (ring(edge_index=torch.tensor([[0], [3]])), {}, "edges between nodes that it does not have; it has 3"),
    (ring(x=torch.zeros(3, 1)), {}, "'x' with 1 columns of categories"),
    (ring(x=torch.full((3, 1), 2)), {}, "a category in 'x' outside of its table"),
    (ring(x=torch.full((3, 1), -1)), {}, "a category in 'x' outside of its table"),
    (ring(), {"atoms": None, "features": 1}, r"'x' \[N, 1\] of floats, got \[3, 1\] torch.int64"),
    (ring(), {"bonds": [2]}, r"must have 'edge_attr' \[E, 1\], got none"),
    (ring(edge_attr=torch.zeros(6, 1).long()), {}, r"must have no edge features, got \[6, 1\]"),
    (ring(edge_attr=torch.zeros(5, 1).long()), {"bonds": [2]}, "6 edges and features of 5"),
    (ring(edge_attr=torch.full((6, 1), 2)), {"bonds": [2]}, "a category in 'edge_attr' outside"),
]


@pytest.mark.parametrize(("graph", "changes", "message"), BAD)
def test_graphs_that_are_not_as_described_are_refused(graph, changes, message):
    featurizer = GraphFeaturizer(**{"atoms": [2], **changes})
    with pytest.raises(ValueError, match=f"^input 4 .*{message}"):
        featurizer.batch([graph], first=4)


@pytest.mark.parametrize("given", ["CCO", Batch.from_data_list([ring()])])
def test_what_is_not_one_graph_is_refused(given):
    with pytest.raises(TypeError, match="input 0 must be one graph"):
        GraphFeaturizer(atoms=[1]).batch([given])


def test_nothing_makes_no_batch():
    with pytest.raises(ValueError, match="at least one graph"):
        GraphFeaturizer(atoms=[1]).batch([])


# Saving ---------------------------------------------------------------------------------------------------------------


def test_what_was_saved_loads_into_the_same_featurizer_only(tmp_path):
    SmilesFeaturizer().save(tmp_path)
    SmilesFeaturizer().load(tmp_path)
    GraphFeaturizer(atoms=ATOMS, bonds=BONDS).load(tmp_path)
    with pytest.raises(ValueError, match=r"graph.json describes other graphs than GraphFeaturizer makes"):
        GraphFeaturizer(features=4).load(tmp_path)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "graph.json").write_text("{\n]", "utf-8")
    with pytest.raises(ValueError, match=r"graph.json:2: expected a JSON object"):
        SmilesFeaturizer().load(tmp_path)
