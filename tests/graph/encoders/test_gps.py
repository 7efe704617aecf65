"""GPS against PyG's parts, and the laws of an encoder of graphs."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GINEConv, GPSConv
from torch_geometric.transforms import AddRandomWalkPE

from graph.encoders import GPS
from graph.encoders.gps import random_walk
from rationalizers.absence import encode_visible
from rationalizers.segment import owners
from tests.graph.encoders.tiny_graphs import ATOMS, BONDS, batch_of, one_graph, some_graphs


def encoder(**changes):
    given = {"atoms": ATOMS, "features": None, "bonds": BONDS, "hidden": 8, "layers": 2, "heads": 2, **changes}
    return GPS(**{"dropout": 0.0, "attention_dropout": 0.0, **given}).double()


def encoded(model, batch, **given):
    return model.encode(model.embed(batch), batch, **given)


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_is_that_of_pyg_around_its_own_gin(training):
    model = encoder(layers=1).train(training)
    batch = batch_of(some_graphs())
    ours, layer = encoded(model, batch), model.layers[0]
    mlp = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8))
    twin = GPSConv(8, GINEConv(mlp, train_eps=True), heads=2).double().train(training)
    parts = zip((layer.conv.mlp.inner, layer.conv.mlp.norm, layer.conv.mlp.outer), (mlp[0], mlp[1], mlp[3]), strict=True)
    for part, other in parts:
        other.load_state_dict(part.state_dict())
    for name in ("attn", "mlp", "norm1", "norm2", "norm3"):
        getattr(twin, name).load_state_dict(getattr(layer, name).state_dict())
    e, bonds = model.embed(batch), layer.conv.bonds(batch.edge_attr)
    theirs = twin(e, batch.edge_index, owners(batch.ptr, len(e)), edge_attr=bonds)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
    grad = torch.randn_like(ours)
    shared = [*model.atoms.parameters(), *layer.conv.bonds.parameters()]
    for one, other in zip(*(torch.autograd.grad(out, shared, grad) for out in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("walk", [0, 4])
def test_a_graph_alone_is_what_it_is_in_company(walk):
    model, graphs = encoder(walk=walk).eval(), some_graphs()
    batch = batch_of(graphs)
    together = encoded(model, batch).split(batch.ptr.diff().tolist())
    for graph, states in zip(graphs, together, strict=True):
        torch.testing.assert_close(encoded(model, graph), states, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("walk", [0, 4])
def test_permuting_nodes_permutes_states(walk):
    model, graph = encoder(walk=walk).eval(), one_graph(9, 14, seed=5)
    order = torch.randperm(9)
    moved = one_graph(9, 14, seed=5)
    moved.x, moved.edge_index = graph.x[order], torch.argsort(order)[graph.edge_index]
    # Walks are computed in single precision.
    tolerance = 1e-5 if walk else 1e-10
    torch.testing.assert_close(encoded(model, moved), encoded(model, graph)[order], atol=tolerance, rtol=tolerance)


def test_attention_sees_the_whole_graph_and_no_other():
    model = encoder(layers=1).eval()
    graph = one_graph(4, 0, seed=0)
    batch = batch_of([graph, one_graph(3, 0, seed=1)])
    e = model.embed(batch).detach().requires_grad_()
    (grad,) = torch.autograd.grad(model.encode(e, batch)[0].square().sum(), e)
    assert grad.abs().sum(1).gt(0).tolist() == [True] * 4 + [False] * 3


@pytest.mark.parametrize("graph", [one_graph(6, 8, seed=2), one_graph(5, 6, seed=3, directed=True), one_graph(3, 0, seed=0)])
def test_walks_are_those_of_pyg(graph):
    # PyG counts an edge that is there twice as one; ours are counted.
    graph.edge_index = torch.unique(graph.edge_index, dim=1)
    expected = AddRandomWalkPE(5)(Data(edge_index=graph.edge_index, num_nodes=graph.x.shape[0])).random_walk_pe
    owner = torch.zeros(graph.x.shape[0], dtype=torch.long)
    torch.testing.assert_close(random_walk(graph.edge_index, owner, steps=5), expected)


def test_walks_of_several_graphs():
    batch = batch_of([one_graph(2, 0, seed=0), one_graph(3, 0, seed=0)])
    edges = torch.tensor([[0, 1, 2, 3, 3, 4], [1, 0, 3, 2, 4, 3]])  # an edge and a path of three nodes
    walks = random_walk(edges, owners(batch.ptr, 5), steps=3)
    assert walks.tolist() == [[0, 1, 0], [0, 1, 0], [0, 0.5, 0], [0, 1, 0], [0, 0.5, 0]]


@pytest.mark.parametrize("absence", ["compact", "remove", "mask_token", "zero"])
def test_what_is_absent_may_change_at_will(absence):
    model, batch, changed = encoder(walk=3).eval(), batch_of(some_graphs()), batch_of(some_graphs())
    mask = (torch.arange(batch.x.shape[0]) % 3 > 0).double()
    changed.x = torch.where(mask.bool()[:, None], batch.x, (batch.x + 1) % torch.tensor(ATOMS))
    expected = encode_visible(model, batch, mask, absence=absence)[0]
    torch.testing.assert_close(encode_visible(model, changed, mask, absence=absence)[0], expected, atol=0, rtol=0)
    assert expected.isfinite().all()


def test_graphs_without_nodes_spoil_no_gradient():
    model, batch = encoder(walk=2), batch_of(some_graphs())
    encoded(model, batch).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert encoded(model, batch_of([one_graph(0, 0, seed=0)])).shape == (0, 8)


def test_weights_of_edges_reach_the_convolution():
    model, batch = encoder().eval(), batch_of(some_graphs())
    weight = torch.ones(batch.edge_index.shape[1], dtype=torch.float64, requires_grad=True)
    out = encoded(model, batch, weight=weight)
    assert out.equal(encoded(model, batch))
    (grad,) = torch.autograd.grad(out.square().sum(), weight)
    assert grad.ne(0).float().mean() > 0.9


def test_numbers_may_describe_nodes_without_edge_features():
    model, batch = encoder(atoms=None, features=3, bonds=None), batch_of(some_graphs(atoms=None, bonds=None))
    assert encoded(model, batch).shape == model.states(batch).shape == (batch.x.shape[0], 8)


def test_weights_survive_saving():
    batch, model, other = batch_of(some_graphs()), encoder(walk=2), encoder(walk=2)
    encoded(model, batch)
    other.load_state_dict(model.state_dict())
    assert encoded(other.eval(), batch).equal(encoded(model.eval(), batch))


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"'hidden' .* must be a multiple of 'heads', got 8 and 3"):
        encoder(heads=3)
    with pytest.raises(ValueError, match="'layers' must be at least 1, got 0"):
        encoder(layers=0)
