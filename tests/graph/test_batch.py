"""Graphs read through the names that text and graphs share."""

import pytest
import torch
from torch_geometric.loader import DataLoader

from graph.batch import Graph
from rationalizers.batch import Batch
from rationalizers.segment import lengths, members, offsets, owners


def path(n, *, seed=0, **more):
    """A path of n nodes in both directions, its first two nodes evidence."""
    generator = torch.Generator().manual_seed(seed)
    there = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    edges = torch.cat([there, there.flip(0)], 1)
    evidence = torch.arange(n) < 2
    return Graph(
        x=torch.randint(9, (n, 3), generator=generator),
        edge_index=edges,
        edge_attr=torch.arange(edges.shape[1])[:, None],
        y=torch.tensor([[float(n)]]),
        field_evidence=evidence,
        edge_evidence=evidence[edges].all(0),
        row=torch.tensor([seed]),
        id=f"g{seed}",
        **more,
    )


def batch():
    return Graph.collate([path(4, seed=3), path(1, seed=4), path(3, seed=5)])


def test_one_graph_and_a_batch_answer_to_the_contract():
    for graph, sizes in ((path(4, seed=3), [4]), (batch(), [4, 1, 3])):
        assert isinstance(graph, Batch)
        assert (graph.ptr[1:] - graph.ptr[:-1]).tolist() == sizes
        assert graph.position.tolist() == [place for size in sizes for place in range(size)]
        assert graph.fields["evidence"].tolist() == [place < 2 for size in sizes for place in range(size)]
        assert not graph.fixed.any()
        assert not graph.labelled.any()
        assert graph.annotated.tolist() == [True] * len(sizes)
        assert graph.units is graph.x
        assert graph.spans is None
    assert batch().index.tolist() == [3, 4, 5]
    assert batch().id == ["g3", "g4", "g5"]


def test_what_is_given_is_not_filled_in():
    graph = Graph.collate(
        [path(2, fixed=torch.tensor([True, False]), annotated=torch.tensor([False]), labelled=torch.tensor([True]))]
    )
    assert graph.fixed.tolist() == [True, False]
    assert graph.annotated.tolist() == [False]
    assert graph.labelled.tolist() == [True]
    bare = Graph(x=torch.zeros(2, 1), edge_index=torch.zeros(2, 0, dtype=torch.long))
    assert bare.annotated.tolist() == [False]
    assert bare.fields == {}
    assert bare.edge_evidence is None
    assert bare.y is None
    assert bare.index.tolist() == [0]


def test_it_is_what_pyg_collates():
    ours, theirs = batch(), next(iter(DataLoader([path(4, seed=3), path(1, seed=4), path(3, seed=5)], batch_size=3)))
    assert isinstance(theirs, Graph)
    for name in ("x", "edge_index", "edge_attr", "y", "ptr", "edge_evidence"):
        assert ours[name].equal(theirs[name]) if name in ours else getattr(ours, name).equal(getattr(theirs, name))
    assert ours.index.equal(theirs.index)


def test_batches_join_like_graphs():
    ours, parts = batch(), [Graph.collate([path(4, seed=3), path(1, seed=4)]), path(3, seed=5)]
    joined = Graph.collate(parts)
    for name in ("x", "edge_index", "edge_attr", "y", "ptr", "batch", "edge_evidence", "index", "position"):
        assert getattr(joined, name).equal(getattr(ours, name)), name
    assert joined.id == ours.id
    apart = Graph.collate([part.select(torch.ones(part.x.shape[0], dtype=torch.bool), positions="kept") for part in parts])
    assert apart.position.equal(ours.position)


def test_selecting_takes_nodes_with_the_edges_between_them():
    graph = batch()
    kept = graph.select(torch.tensor([0, 1, 1, 0, 0, 1, 0, 1], dtype=torch.bool), positions="fresh")
    assert kept.ptr.tolist() == [0, 2, 2, 4]
    assert kept.x.equal(graph.x[[1, 2, 5, 7]])
    assert kept.edge_index.tolist() == [[0, 1], [1, 0]]
    assert kept.edge_attr.flatten().tolist() == [1, 4]
    assert kept.fields["evidence"].tolist() == [True, False, True, False]
    assert kept.edge_evidence.tolist() == [False, False]
    assert kept.position.tolist() == [0, 1, 0, 1]
    assert kept.y.equal(graph.y)
    assert kept.index.equal(graph.index)
    assert kept.id == graph.id
    again = graph.select(torch.tensor([0, 1, 1, 0, 0, 1, 0, 1], dtype=torch.bool), positions="kept")
    assert again.position.tolist() == [1, 2, 0, 2]
    assert again.select(torch.tensor([0, 1, 1, 1], dtype=torch.bool), positions="kept").position.tolist() == [2, 0, 2]
    assert graph.x.shape == (8, 3)  # the batch itself is left alone


def test_as_many_edges_as_nodes_confuse_nothing():
    ring = torch.arange(3)
    graph = Graph(
        x=torch.arange(3)[:, None], edge_index=torch.stack([ring, ring.roll(-1)]), edge_attr=torch.tensor([[7], [8], [9]])
    )
    kept = graph.select(torch.tensor([True, False, True]), positions="fresh")
    assert kept.x.flatten().tolist() == [0, 2]
    assert kept.edge_attr.flatten().tolist() == [9]


def test_graphs_of_one_node_keep_their_targets():
    graph = Graph.collate([path(1, seed=seed) for seed in range(3)])
    kept = graph.select(torch.tensor([True, False, True]), positions="fresh")
    assert kept.ptr.tolist() == [0, 1, 1, 2]
    assert kept.index.tolist() == [0, 1, 2]
    assert kept.y.shape == (3, 1)


def test_everything_selected_is_everything():
    graph = batch()
    same = graph.select(torch.ones(8, dtype=torch.bool), positions="fresh")
    for name in ("x", "edge_index", "edge_attr", "ptr", "position", "edge_evidence"):
        assert getattr(same, name).equal(getattr(graph, name))


def test_other_units_stand_in_the_same_places():
    graph = batch()
    changed = graph.with_units(graph.x + 1)
    assert changed.x.equal(graph.x + 1)
    assert changed.ptr.equal(graph.ptr)
    assert changed.edge_index.equal(graph.edge_index)


@pytest.mark.parametrize("mask", [torch.ones(8), torch.ones(7, dtype=torch.bool), torch.ones(8, 1, dtype=torch.bool)])
def test_a_mask_that_does_not_fit_is_named(mask):
    with pytest.raises(ValueError, match=r"'mask' must be bool \[8\], got"):
        batch().select(mask, positions="fresh")


def test_graphs_that_carry_different_facts_cannot_meet():
    with pytest.raises(ValueError, match="only some have labelled"):
        Graph.collate([path(2), path(2, labelled=torch.tensor([True]))])
    with pytest.raises(ValueError, match="'graphs' must hold at least one graph, got none"):
        Graph.collate([])


def assert_same(ours, theirs):
    """All that one graph carries, the other does too."""
    assert set(ours._store) == set(theirs._store) - {"batch"}
    for name, value in ours._store.items():
        other = theirs._store[name]
        if isinstance(value, torch.Tensor):
            assert value.dtype == other.dtype, name
            assert value.equal(other), name
        else:
            assert value == other, name


def gathered(graph, masks):
    """``index`` and ``ptr`` of one copy for each mask."""
    counts = [lengths(graph.select(mask, positions="fresh").ptr) for mask in masks]
    return torch.cat([torch.nonzero(mask).flatten() for mask in masks]), offsets(torch.cat(counts))


@pytest.mark.parametrize("positions", ["fresh", "kept"])
def test_copies_are_selections_one_after_the_other(positions):
    generator = torch.Generator().manual_seed(1)
    facts = {"fixed": torch.tensor([True]), "labelled": torch.tensor([True]), "field_alternatives": torch.tensor([[True, False]])}
    graph = Graph.collate(
        [
            path(4, seed=3, **{**facts, "fixed": torch.arange(4) < 2, "field_alternatives": torch.eye(4)[:, :2].bool()}),
            path(1, seed=4, **facts),
            path(3, seed=5, **{**facts, "fixed": torch.arange(3) > 1, "field_alternatives": torch.eye(3)[:, :2].bool()}),
        ]
    )
    masks = [torch.rand(8, generator=generator) < keep for keep in (0, 0.5, 0.8, 1, 0.3)]
    expected = Graph.collate([graph.select(mask, positions=positions) for mask in masks])
    copies = graph.gather(*gathered(graph, masks), positions=positions)
    assert_same(copies, expected)
    assert copies.edge_index.shape[1] > 6
    again = torch.rand(copies.x.shape[0], generator=generator) < 0.7
    assert_same(copies.select(again, positions="kept"), expected.select(again, positions="kept"))


def test_a_graph_by_itself_can_be_copied():
    graph = path(3, seed=7)
    copies = graph.gather(torch.tensor([0, 1, 1, 2, 2]), torch.tensor([0, 2, 4, 5]), positions="fresh")
    assert copies.id == ["g7"] * 3
    assert copies.index.tolist() == [7, 7, 7]
    assert copies.edge_index.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    assert copies.edge_attr.flatten().tolist() == [0, 2, 1, 3]
    assert copies.position.tolist() == [0, 1, 0, 1, 0]


def test_copies_with_as_many_edges_as_nodes_confuse_nothing():
    ring = torch.arange(3)
    graph = Graph(
        x=torch.arange(3)[:, None],
        edge_index=torch.stack([ring, ring.roll(-1)]),
        edge_attr=torch.tensor([[7], [8], [9]]),
        y=torch.tensor([5]),
    )
    copies = graph.gather(torch.tensor([0, 2, 0, 1, 2]), torch.tensor([0, 2, 5]), positions="fresh")
    assert copies.x.flatten().tolist() == [0, 2, 0, 1, 2]
    assert copies.edge_index.tolist() == [[1, 2, 3, 4], [0, 3, 4, 2]]
    assert copies.edge_attr.flatten().tolist() == [9, 7, 8, 9]
    assert copies.y.tolist() == [5, 5]


def test_copies_of_nothing_are_graphs_without_nodes():
    copies = batch().gather(torch.zeros(0, dtype=torch.long), torch.zeros(7, dtype=torch.long), positions="kept")
    assert copies.ptr.tolist() == [0] * 7
    assert copies.edge_index.shape == (2, 0)
    assert copies.edge_attr.shape == (0, 1)
    assert copies.y.shape == (6, 1)


@pytest.mark.parametrize(
    ("index", "ptr", "error", "message"),
    [
        (torch.arange(8).int(), [0, 4, 5, 8], TypeError, "'index' must be int64"),
        (torch.arange(8), [0, 4, 8], ValueError, "whole copies of the B=3 examples, got 3 offsets"),
        (torch.arange(8), [0, 3, 5, 8], ValueError, "'index' must name units of the example that each copy is of"),
    ],
)
def test_copies_that_do_not_fit_are_named(index, ptr, error, message):
    with pytest.raises(error, match=message):
        batch().gather(index, torch.tensor(ptr), positions="fresh")


def test_copies_of_chosen_graphs_carry_their_own_edges():
    whole = batch()
    rows = torch.tensor([2, 0, 2])
    copy, node = members(rows, whole.ptr)
    copies = whole.gather(node, offsets(lengths(whole.ptr)[rows]), positions="fresh", rows=rows)
    assert_same(copies, Graph.collate([part for row in rows.tolist() for part in [only(whole, row)]]))
    assert copy.tolist() == owners(copies.ptr, copies.x.shape[0]).tolist()


def only(whole, row):
    """One graph of a batch as a batch of its own."""
    nodes = torch.arange(int(whole.ptr[row]), int(whole.ptr[row + 1]))
    return whole.gather(nodes, torch.tensor([0, nodes.numel()]), positions="fresh", rows=torch.tensor([row]))
