"""Toy graphs: the truth they come with, the dial, and what it leaves alone."""

import networkx as nx
import pytest
import torch
from networkx.algorithms.isomorphism import GraphMatcher

from graph.data.toy import NEUTRAL, ToyGraphs

CLASSES = {"cycle": nx.cycle_graph(5), "house": nx.house_graph(), "crane": nx.complete_bipartite_graph(2, 3)}


def toy(**changes):
    return ToyGraphs(**{"train": 60, "val": 30, "test": 30, **changes}).load()


def every(corpus):
    return [graph for graphs in corpus.splits.values() for graph in graphs]


def shape(graph):
    found = nx.Graph()
    found.add_nodes_from(range(graph.x.shape[0]))
    found.add_edges_from(graph.edge_index.T.tolist())
    return found


def contents(graph):
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in graph.to_dict().items()}


@pytest.mark.parametrize("motifs", [("cycle", "house"), ("house", "crane", "cycle")])
def test_the_motif_is_the_class_and_there_once(motifs):
    for graph in every(toy(motifs=motifs)):
        found, motif = shape(graph), CLASSES[motifs[int(graph.y)]]
        nodes = torch.nonzero(graph.field_evidence).flatten().tolist()
        assert nx.is_isomorphic(found.subgraph(nodes), motif)
        # Trees have no cycle, so that the motif is nowhere else, and no other motif anywhere.
        assert {frozenset(match) for match in GraphMatcher(found, motif).subgraph_isomorphisms_iter()} == {frozenset(nodes)}
        assert nx.is_tree(found.subgraph(set(found) - set(nodes)))
        assert nx.is_connected(found)
        inside = {tuple(pair) for pair in graph.edge_index[:, graph.edge_evidence].T.tolist()}
        assert inside == {(u, v) for u, v in found.subgraph(nodes).to_directed().edges}
        assert 15 <= graph.x.shape[0] <= 25


def test_every_edge_goes_both_ways_and_once():
    for graph in every(toy()):
        pairs = [tuple(pair) for pair in graph.edge_index.T.tolist()]
        assert len(set(pairs)) == len(pairs)
        assert {(v, u) for u, v in pairs} == set(pairs)


def test_classes_are_balanced_and_in_no_fixed_order():
    corpus = toy(train=200)
    labels = [int(graph.y) for graph in corpus.splits["train"]]
    assert sum(labels) == 100
    assert len({tuple(labels[i : i + 2]) for i in range(0, 200, 2)}) == 2
    # The numbering of nodes says nothing about the evidence.
    place = torch.cat([torch.nonzero(graph.field_evidence).flatten() / graph.x.shape[0] for graph in corpus.splits["train"]])
    assert place.mean().item() == pytest.approx(0.48, abs=0.03)


@pytest.mark.parametrize("shortcut", [0.0, 0.5, 0.9, 1.0])
def test_the_dial_is_the_share_of_graphs_that_agree(shortcut):
    corpus = toy(train=400, val=200, test=400, shortcut=shortcut)
    for split, expected in (("train", shortcut), ("val", shortcut), ("test", 0.5)):
        graphs = corpus.splits[split]
        agree = [int(graph.x[graph.field_shortcut > 0, 0][0]) == NEUTRAL + int(graph.y) for graph in graphs]
        assert sum(agree) / len(agree) == pytest.approx(expected, abs=0.1)
        assert corpus.report[f"{split}/shortcut_agreement"] == pytest.approx(sum(agree) / len(agree))


def test_shortcuts_are_where_the_field_says_and_outside_of_the_evidence():
    corpus = toy(shortcuts_per_graph=3)
    for graph in every(corpus):
        marked = graph.field_shortcut > 0
        assert int(marked.sum()) == 3
        assert torch.equal(marked, graph.x[:, 0] >= NEUTRAL)
        assert graph.x[marked].unique().numel() == 1
        assert not (marked & graph.field_evidence).any()
    assert torch.cat([graph.x for graph in every(corpus)]).max() == ToyGraphs().types - 1


def test_without_shortcuts_all_types_say_nothing():
    corpus = toy(shortcuts_per_graph=0)
    assert all(int(graph.x.max()) < NEUTRAL and not graph.field_shortcut.any() for graph in every(corpus))
    assert "train/shortcut_agreement" not in corpus.report


def test_the_dial_changes_nothing_but_the_type_and_only_one_way():
    low, high = toy(shortcut=0.3), toy(shortcut=0.8)
    turned = 0
    for one, two in zip(low.splits["train"], high.splits["train"], strict=True):
        marked = one.field_shortcut > 0
        assert torch.equal(one.x[~marked], two.x[~marked])
        for name in ("edge_index", "y", "field_evidence", "field_shortcut", "edge_evidence"):
            assert torch.equal(one[name], two[name])
        agrees = [bool((graph.x[marked, 0] == NEUTRAL + graph.y).all()) for graph in (one, two)]
        assert agrees[1] or not agrees[0]
        turned += agrees[0] != agrees[1]
    assert turned > 15
    assert list(map(contents, low.splits["test"])) == list(map(contents, high.splits["test"]))


def test_data_are_a_function_of_the_seed():
    one, same, other = (toy(seed=seed) for seed in (0, 0, 1))
    assert list(map(contents, every(one))) == list(map(contents, every(same)))
    assert list(map(contents, every(one))) != list(map(contents, every(other)))


def test_data_are_the_same_on_every_machine():
    graph = toy().splits["train"][0]
    assert graph.x.flatten().tolist() == [0, 0, 3, 3, 1, 2, 2, 3, 5, 0, 1, 3, 2, 3, 5, 1]
    assert graph.edge_index[:, :8:2].tolist() == [[12, 14, 11, 13], [1, 1, 12, 11]]


def test_a_smaller_split_is_the_beginning_of_a_larger_one_and_changes_no_other():
    less = toy(train=21)
    assert list(map(contents, less.splits["train"])) == list(map(contents, toy().splits["train"][:21]))
    assert list(map(contents, less.splits["val"])) == list(map(contents, toy().splits["val"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"motifs": ["house"]}, "'motifs' must be at least two different ones of cycle, house, crane, fan; got"),
        ({"motifs": ["house", "grid"]}, "'motifs' must be at least two different ones"),
        ({"nodes": (5, 9)}, "'nodes' must be the fewest, at least 6, and the most; got"),
        ({"nodes": (9, 8)}, "'nodes' must be the fewest"),
        ({"shortcuts_per_graph": 11}, "'shortcuts_per_graph' must be from 0 to 10, got 11"),
        ({"shortcut": 1.5}, "the shortcut of train must be a probability, got 1.5"),
        ({"shortcut_test": -1}, "the shortcut of test must be a probability, got -1"),
        ({"val": 0}, "'val' must be at least 1 graph, got 0"),
        ({"seed": 2**32}, "'seed' must be a whole number in"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ToyGraphs(**changes)
