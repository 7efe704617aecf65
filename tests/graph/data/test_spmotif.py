"""Spurious-Motif: the graphs as networkx knows them, the published statistics, and how the dials come out."""

import random

import networkx as nx
import pytest
import torch

from graph.data.spmotif import LABELS, SpuriousMotif

CLASSES = {
    "cycle": nx.cycle_graph(5),
    "house": nx.house_graph(),
    "crane": nx.complete_bipartite_graph(2, 3),
    "fan": nx.Graph([(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2), (0, 3)]),
}


def small(**changes):
    sizes = {"train": 40, "val": 10, "test": 10}
    return SpuriousMotif(**{"bias": 0.7, "per_class": sizes, **changes}).load()


def every(corpus):
    return [graph for graphs in corpus.splits.values() for graph in graphs]


def shape(graph):
    found = nx.Graph()
    found.add_nodes_from(range(graph.x.shape[0]))
    found.add_edges_from(graph.edge_index.T.tolist())
    return found


def contents(graph):
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in graph.to_dict().items()}


def is_base(base, kind):
    n = base.number_of_nodes()
    if kind == "tree":
        return nx.is_tree(base)
    if n < 15:  # trees of one or two nodes are small ladders and wheels, too
        return False
    return nx.is_isomorphic(base, nx.wheel_graph(n) if kind == "wheel" else nx.ladder_graph(n // 2))


# Graphs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "crane"), [("paper", "crane"), ("gsat", "crane"), ("ciga", "crane"), ("dir_head", "fan")])
def test_the_evidence_is_the_motif_of_the_class(version, crane):
    corpus = small(version=version, per_class={"train": 6, "val": 6, "test": 6})
    for graph in every(corpus):
        found = shape(graph)
        nodes = torch.nonzero(graph.field_evidence).flatten().tolist()
        name = LABELS[int(graph.y)]
        assert nx.is_isomorphic(found.subgraph(nodes), CLASSES[crane if name == "crane" else name])
        marked = {tuple(sorted(pair)) for pair in graph.edge_index[:, graph.edge_evidence].T.tolist()}
        assert marked == {tuple(sorted(pair)) for pair in found.subgraph(nodes).edges}
        assert nodes == list(range(found.number_of_nodes() - 5, found.number_of_nodes()))


def test_without_extra_edges_a_base_hangs_on_the_motifs_first_node_by_one_edge():
    corpus = small(version="dir_head")
    kinds = {"tree": 0, "ladder": 0, "wheel": 0}
    for graph in every(corpus):
        found = shape(graph)
        first = graph.x.shape[0] - 5
        bridges = [(u, v) for u, v in graph.edge_index.T.tolist() if (u < first) != (v < first)]
        assert len(bridges) == 1
        assert max(bridges[0]) == first
        base = found.subgraph(range(first))
        (kind,) = {kind for kind in kinds if is_base(base, kind)}
        kinds[kind] += 1
    assert min(kinds.values()) > 20


def test_extra_edges_are_a_twentieth_at_most_and_never_in_the_motif():
    plain, tangled = small(version="dir_head"), small(version="paper")
    grown = 0
    for before, after in zip(every(plain), every(tangled), strict=True):
        if LABELS[int(before.y)] == "crane":  # another motif in either version
            continue
        old, new = before.edge_index.shape[1], after.edge_index.shape[1]
        assert before.x.shape == after.x.shape
        assert old <= new <= old + int(0.05 * old)
        assert int(before.edge_evidence.sum()) == int(after.edge_evidence.sum())
        assert nx.number_of_selfloops(shape(after)) == 0
        grown += new - old
    assert grown > 50


def test_edges_once_or_in_both_directions():
    once, both = every(small()), every(small(edges="both", features="constant"))
    for one, two in zip(once, both, strict=True):
        pairs = one.edge_index.T.tolist()
        assert len({tuple(sorted(pair)) for pair in pairs}) == len(pairs)
        assert sorted(two.edge_index.T.tolist()) == sorted(pairs + [pair[::-1] for pair in pairs])
        assert int(two.edge_evidence.sum()) == 2 * int(one.edge_evidence.sum())
        assert torch.equal(two.x, torch.ones(one.x.shape[0], 1))


def test_random_features_fill_the_unit_interval():
    x = torch.cat([graph.x for graph in every(small())])
    assert (x.shape[1], x.dtype) == (4, torch.float32)
    assert 0 <= x.min() < 0.001
    assert 0.999 < x.max() <= 1
    torch.testing.assert_close(x.mean(0), torch.full((4,), 0.5), atol=0.02, rtol=0)


# Statistics -----------------------------------------------------------------------------------------------------------


def test_sizes_are_the_published_ones():
    corpus = SpuriousMotif(bias=1 / 3, version="dir_head", per_class={"train": 500, "val": 1, "test": 300}, seed=2).load()
    report = corpus.report
    assert report["train/mean_nodes"] == pytest.approx(18.7, abs=0.5)
    assert report["train/mean_edges"] == pytest.approx(27.9, abs=0.9)
    # The largest trees have 364 nodes: three standard errors.
    assert report["test/mean_nodes"] == pytest.approx(88.6, abs=7)
    assert report["test/mean_edges"] == pytest.approx(125.6, abs=7)
    share = {
        split: sum(float(graph.edge_evidence.double().mean()) for graph in graphs) / len(graphs)
        for split, graphs in corpus.splits.items()
    }
    assert share["train"] == pytest.approx(0.31, abs=0.02)
    assert share["test"] == pytest.approx(0.07, abs=0.01)


@pytest.mark.parametrize("bias", [1 / 3, 0.5, 0.9, 1.0])
def test_bias_is_the_share_of_training_graphs_with_the_base_of_their_class(bias):
    report = small(bias=bias, per_class={"train": 300, "val": 200, "test": 30}).report
    assert report["train/agreement"] == pytest.approx(bias, abs=0.05)
    assert report["val/agreement"] == pytest.approx(1 / 3, abs=0.06)


def test_the_reported_agreement_is_that_of_the_graphs():
    corpus = small(version="dir_head", bias=0.5)
    for split, graphs in corpus.splits.items():
        agree = 0
        for graph in graphs:
            base = shape(graph).subgraph(range(graph.x.shape[0] - 5))
            agree += is_base(base, ("tree", "ladder", "wheel")[int(graph.y)])
        assert corpus.report[f"{split}/agreement"] == pytest.approx(agree / len(graphs))


@pytest.mark.parametrize("version", ["gsat", "ciga"])
def test_some_generators_leak_the_class_through_the_height_of_trees(version):
    corpus = small(version=version, bias=1.0, per_class={"train": 10, "val": 30, "test": 10})
    # Trees of height 3 with two or three branches at every node, and the motif.
    fixed = {15 + 5, 40 + 5}
    assert {graph.x.shape[0] for graph in corpus.splits["train"] if LABELS[int(graph.y)] == "cycle"} == fixed
    other = {graph.x.shape[0] for graph in corpus.splits["val"]} - fixed
    assert other <= {2 * w + 5 for w in range(8, 12)} | {w + 5 for w in range(15, 20)}
    half = small(version=version, bias=0.34, per_class={"train": 60, "val": 1, "test": 1})
    sizes = {graph.x.shape[0] for graph in half.splits["train"] if LABELS[int(graph.y)] == "house"}
    assert sizes & {1 + 5, 3 + 5, 7 + 5, 4 + 5, 13 + 5}
    assert 45 not in sizes


def test_versions_have_their_counts():
    counts = {version: SpuriousMotif(bias=0.5, version=version).per_class for version in ("paper", "dir_head", "gsat", "ciga")}
    assert {version: tuple(each.values()) for version, each in counts.items()} == {
        "paper": (3000, 1000, 2000),
        "dir_head": (1000, 1000, 2000),
        "gsat": (3000, 1000, 2000),
        "ciga": (3000, 1000, 1000),
    }
    assert SpuriousMotif(bias=0.5, per_class={"train": 7, "val": None}).per_class == {"train": 7, "val": 1000, "test": 2000}


# Chance ---------------------------------------------------------------------------------------------------------------


def test_data_are_a_function_of_the_seed():
    one, same, other = (small(seed=seed) for seed in (0, 0, 1))
    assert list(map(contents, every(one))) == list(map(contents, every(same)))
    assert list(map(contents, every(one))) != list(map(contents, every(other)))


def test_data_are_the_same_on_every_machine():
    graph = small().splits["train"][0]  # a wheel and a cycle
    assert graph.edge_index[:, -8:].tolist() == [[13, 14, 15, 17, 17, 18, 19, 20], [14, 15, 16, 18, 21, 19, 20, 21]]
    stream = random.Random(2 << 32).random  # features, of the first graph of the first split, at seed 0
    torch.testing.assert_close(graph.x, torch.tensor([[stream() for _ in range(4)] for _ in range(22)]))
    torch.testing.assert_close(graph.x[0], torch.tensor([0.0114511, 0.6856496, 0.0032885, 0.9430515]), atol=1e-6, rtol=0)


def test_a_smaller_split_is_the_beginning_of_a_larger_one_and_changes_no_other():
    large, less = small(), small(per_class={"train": 10, "val": 10, "test": 10})
    assert list(map(contents, less.splits["train"])) == list(map(contents, large.splits["train"][:30]))
    assert list(map(contents, less.splits["test"])) == list(map(contents, large.splits["test"]))


def test_classes_take_turns():
    for graphs in small().splits.values():
        assert [int(graph.y) for graph in graphs[:6]] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": 0.2}, "'bias' must be a probability from 1/3 to 1, got 0.2"),
        ({"version": "good"}, "'version' must be one of paper, dir_head, gsat, ciga; got 'good'"),
        ({"features": "degree"}, "'features' must be one of random, constant; got 'degree'"),
        ({"edges": "directed"}, "'edges' must be one of once, both; got 'directed'"),
        ({"per_class": {"valid": 3}}, "'per_class' must name train, val, test; got valid"),
        ({"per_class": {"val": 0}}, "'per_class' must be at least 1 in every split"),
        ({"seed": -1}, "'seed' must be a whole number in"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SpuriousMotif(**{"bias": 0.5, **changes})
