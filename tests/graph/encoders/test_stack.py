"""GIN and GCN against loops over edges and PyG, and the laws of an encoder of graphs."""

import copy
import inspect

import pytest
import torch
from torch import nn
from torch_geometric.nn import GINEConv

from graph.encoders import GCN, GIN
from graph.encoders.layers import kept
from rationalizers.absence import encode_visible
from rationalizers.batch import Packed
from tests.graph.encoders import tiny_graphs
from tests.graph.encoders.tiny_graphs import ATOMS, BONDS, alike_graphs, batch_of, one_graph, some_graphs

KINDS = {"gin": (GIN, tiny_graphs.gin), "gcn": (GCN, tiny_graphs.gcn)}


def encoder(kind="gin", **changes):
    given = {"atoms": ATOMS, "features": None, "bonds": BONDS, "hidden": 4, "layers": 3, "dropout": 0.0, **changes}
    model = KINDS[kind][0](**given).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        # Nothing may be right only because it begins at zero or one.
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype), alpha=0.3)
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm1d)):
            norm.running_mean.add_(0.1)
            norm.running_var.mul_(1.7)
    return model


def encoded(model, batch, **given):
    return model.encode(model.embed(batch), batch, **given)


def gradients(model, out, seed=3):
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=out.dtype)
    names = [name for name, _ in model.named_parameters()]
    return dict(zip(names, torch.autograd.grad(out, list(model.parameters()), grad, allow_unused=True), strict=True))


def assert_same_gradients(ours, theirs):
    """To 1e-10 of the largest, and none that is missing."""
    assert [name for name, grad in ours.items() if grad is None] == []
    scale = max(grad.abs().max() for grad in theirs.values() if grad is not None)
    for name, grad in theirs.items():
        if grad is not None:
            torch.testing.assert_close(ours[name], grad, atol=1e-10 * scale, rtol=1e-10, msg=lambda text, n=name: f"{n}: {text}")


# What is computed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("virtual_node", [False, True])
@pytest.mark.parametrize(("residual", "bonds", "directed"), [(True, BONDS, False), (False, BONDS, True), (True, None, True)])
def test_states_and_gradients_are_those_of_a_loop_over_edges(kind, training, virtual_node, residual, bonds, directed):
    model = encoder(kind, virtual_node=virtual_node, residual=residual, bonds=bonds).train(training)
    batch = batch_of(some_graphs(directed=directed))
    ours, theirs = encoded(model, batch), tiny_graphs.stack(model, KINDS[kind][1], batch)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
    assert_same_gradients(gradients(model, ours), gradients(model, theirs))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bonds", [BONDS, None])
def test_weights_multiply_messages(kind, training, bonds):
    model, batch = encoder(kind, bonds=bonds).train(training), batch_of(some_graphs())
    weight = torch.rand(batch.edge_index.shape[1], dtype=torch.float64, requires_grad=True)
    ours, theirs = encoded(model, batch, weight=weight), tiny_graphs.stack(model, KINDS[kind][1], batch, weight=weight)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
    grad = torch.randn_like(ours)
    torch.testing.assert_close(*(torch.autograd.grad(out, weight, grad)[0] for out in (ours, theirs)), atol=1e-9, rtol=1e-9)
    one = torch.ones_like(weight)
    assert encoded(model.eval(), batch, weight=one).equal(encoded(model, batch))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_of_nodes_weighs_the_edges_between_them(kind):
    model, batch = encoder(kind).eval(), batch_of(some_graphs())
    mask, e = torch.rand(batch.x.shape[0], dtype=torch.float64), model.embed(batch)
    weight = torch.tensor([(mask[u] * mask[v]).item() for u, v in batch.edge_index.T.tolist()], dtype=torch.float64)
    torch.testing.assert_close(model.encode_weighted(e, batch, mask), model.encode(e, batch, weight=weight))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_zero_leave_every_node_alone(kind):
    model, graphs = encoder(kind, bonds=None).eval(), some_graphs(bonds=None)
    batch = batch_of(graphs)
    silent = encoded(model, batch, weight=torch.zeros(batch.edge_index.shape[1], dtype=torch.float64))
    if kind == "gin":
        for graph in graphs:
            graph.edge_index = graph.edge_index[:, :0]
        torch.testing.assert_close(silent, encoded(model, batch_of(graphs)))
    (grad,) = torch.autograd.grad(silent[0].sum(), model.atoms.tables[0].weight)
    assert grad.any(1).nonzero().flatten().tolist() == [batch.x[0, 0].item()]


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_of_gin_is_that_of_pyg(training):
    model = encoder(layers=1, residual=False).train(training)
    batch = batch_of(some_graphs())
    layer, norm = model.convolutions[0], model.norms[0]
    mlp = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    twin = nn.ModuleList([GINEConv(mlp, train_eps=True), nn.BatchNorm1d(4)]).double().train(training)
    pairs = ((layer.mlp.inner, mlp[0]), (layer.mlp.norm, mlp[1]), (layer.mlp.outer, mlp[3]), (norm, twin[1]))
    for part, other in pairs:
        other.load_state_dict(part.state_dict())
    twin[0].eps.data.copy_(layer.eps.detach())
    ours = encoded(model, batch)
    theirs = twin[1](twin[0](model.embed(batch), batch.edge_index, layer.bonds(batch.edge_attr)))
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
    shared = [*model.atoms.parameters(), *layer.bonds.parameters()]
    own, others = ([layer.eps], [twin[0].eps])
    for part, other in pairs:
        own += part.parameters()
        others += other.parameters()
    grad = torch.randn_like(ours)
    found = torch.autograd.grad(ours, [*shared, *own], grad)
    assert len(found) == len(list(model.parameters()))
    expected = torch.autograd.grad(theirs, [*shared, *others], grad)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other.view_as(one), atol=1e-9, rtol=1e-10)


def test_an_isolated_node_and_a_single_edge_by_hand():
    model = encoder("gcn", layers=1, residual=False, hidden=1).eval()
    layer, norm = model.convolutions[0], model.norms[0]
    with torch.no_grad():
        model.atoms.tables[0].weight.copy_(torch.tensor([[1.0], [2.0], [5.0], [9.0]]))
        model.atoms.tables[1].weight.zero_()
        layer.linear.weight.fill_(1.0)
        layer.linear.bias.zero_()
        layer.root.fill_(0.5)
        layer.bonds.tables[0].weight.copy_(torch.tensor([[0.25], [0.0]]))
        layer.bonds.tables[1].weight.zero_()
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    graph = one_graph(3, 0, seed=0)
    graph.x = torch.tensor([[0, 0], [1, 0], [2, 0]])
    graph.edge_index, graph.edge_attr = torch.tensor([[0], [1]]), torch.tensor([[0, 1]])
    # 0 → 1 with out-degrees 1 and 0: (1 + 1/4) / √2 arrives at 1; roots are (1 + ½)/2, 2 + ½ and 5 + ½.
    expected = [[0.75], [2.5 + 1.25 / 2**0.5], [5.5]]
    torch.testing.assert_close(encoded(model, graph).detach(), torch.tensor(expected, dtype=torch.float64))


# Whole graphs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("virtual_node", [False, True])
@pytest.mark.parametrize(("layers", "residual", "bonds"), [(3, True, BONDS), (1, False, None), (2, True, None)])
def test_states_of_alike_nodes_are_computed_once_and_are_the_same(
    kind, training, virtual_node, layers, residual, bonds, monkeypatch
):
    model = encoder(kind, layers=layers, virtual_node=virtual_node, residual=residual, bonds=bonds)
    models = [model, copy.deepcopy(model)]
    batch = batch_of(alike_graphs(bonds=bonds))
    theirs = encoded(models[1].train(training), batch)
    monkeypatch.setattr(GIN, "encode", None)  # the way round it
    monkeypatch.setattr(GCN, "encode", None)
    ours = models[0].train(training).states(batch)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
    assert_same_gradients(gradients(models[0], ours), gradients(models[1], theirs))
    for name, value in models[1].state_dict().items():
        torch.testing.assert_close(models[0].state_dict()[name], value)


@pytest.mark.parametrize("changes", [{}, {"atoms": None, "features": 3}])
def test_states_of_nodes_that_are_all_different_are_those_of_the_two_verbs(changes):
    model = encoder(**changes).eval()
    batch = batch_of(some_graphs(atoms=changes.get("atoms", ATOMS)))
    assert model.states(batch).equal(encoded(model, batch))


def test_dropout_of_alike_nodes_is_not_alike():
    model, batch = encoder(dropout=0.5, layers=1, residual=False), batch_of(alike_graphs())
    states = model.states(batch)
    graphs = states.view(6, 5, 4)[::2]  # copies of one graph
    dropped = graphs == 0
    assert 0.2 < dropped.double().mean() < 0.8
    assert not dropped[0].equal(dropped[1])
    # What two copies both keep is equal, and twice what it is without dropout.
    both = ~dropped[0] & ~dropped[1]
    assert both.any()
    assert graphs[0][both].equal(graphs[1][both])
    model.dropout.p = 0.0
    torch.testing.assert_close(states[~(states == 0)], 2 * model.states(batch)[~(states == 0)])


def test_dropout_is_where_it_belongs(monkeypatch):
    drawn = []
    monkeypatch.setattr("graph.encoders.layers.kept", lambda x, p: drawn.append((tuple(x.shape), p)) or kept(x, p))
    model, batch = encoder(dropout=0.25, virtual_node=True), batch_of(some_graphs())
    encoded(model, batch)
    n, b = batch.x.shape[0], 7
    assert drawn == [((n, 4), 0.25), ((b, 4), 0.25), ((n, 4), 0.25), ((b, 4), 0.25), ((n, 4), 0.25)]


# Laws -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("virtual_node", [False, True])
def test_permuting_nodes_and_edges_permutes_states(kind, virtual_node):
    model, graph = encoder(kind, virtual_node=virtual_node), one_graph(9, 14, seed=5)
    model.eval()
    order, edges = torch.randperm(9), torch.randperm(28)
    moved = one_graph(9, 14, seed=5)
    moved.x = graph.x[order]
    moved.edge_index = torch.argsort(order)[graph.edge_index][:, edges]
    moved.edge_attr = graph.edge_attr[edges]
    torch.testing.assert_close(encoded(model, moved), encoded(model, graph)[order], atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(model.states(moved), model.states(graph)[order], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", ["encode", "states"])
def test_a_graph_alone_is_what_it_is_in_company(kind, verb):
    model, graphs = encoder(kind, virtual_node=True).eval(), [*alike_graphs(), *some_graphs()]

    def run(batch):
        return model.states(batch) if verb == "states" else encoded(model, batch)

    batch = batch_of(graphs)
    together = run(batch).split(batch.ptr.diff().tolist())
    for graph, states in zip(graphs, together, strict=True):
        torch.testing.assert_close(run(graph), states, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("absence", ["compact", "remove", "mask_token", "zero", "state"])
def test_masks_act_between_the_verbs(kind, absence):
    model, batch = encoder(kind, virtual_node=True).eval(), batch_of(some_graphs())
    mask = (torch.arange(batch.x.shape[0]) % 3 > 0).double()
    h, visible = encode_visible(model, batch, mask, absence=absence)
    assert h.shape == (visible.x.shape[0], 4)
    assert h.isfinite().all()
    # What is absent may change at will, unless only its state is.
    hidden = batch_of(some_graphs())
    hidden.x = torch.where(mask.bool()[:, None], hidden.x, (hidden.x + 1) % torch.tensor(ATOMS))
    assert encode_visible(model, hidden, mask, absence=absence)[0].equal(h) == (absence != "state")


@pytest.mark.parametrize("changes", [{}, {"atoms": None, "features": 3}])
def test_the_mask_embedding_is_learned_and_no_node_has_it(changes):
    model, batch = encoder(**changes), batch_of(some_graphs(atoms=changes.get("atoms", ATOMS)))
    leaf = model.atoms.tables[0].weight if model.numbers is None else model.numbers.weight
    of_absent = (-1,) if model.numbers is None else (slice(None), -1)
    mask = torch.ones(batch.x.shape[0], dtype=torch.float64)
    (grad,) = torch.autograd.grad(encode_visible(model, batch, mask, absence="mask_token")[0].square().sum(), leaf)
    assert not grad[of_absent].any()
    mask[::2] = 0
    (grad,) = torch.autograd.grad(encode_visible(model, batch, mask, absence="mask_token")[0].square().sum(), leaf)
    assert grad[of_absent].abs().min() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("virtual_node", [False, True])
@pytest.mark.parametrize("sizes", [[], [0], [0, 0, 0]])
def test_without_nodes_there_are_no_states(kind, virtual_node, sizes):
    model = encoder(kind, virtual_node=virtual_node)
    batch = batch_of([one_graph(0, 0, seed=0) for _ in sizes]) if sizes else one_graph(0, 0, seed=0)
    for training in (True, False):
        model.train(training)
        assert encoded(model, batch).shape == model.states(batch).shape == (0, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("virtual_node", [False, True])
def test_graphs_without_edges_are_sets_of_nodes(kind, virtual_node):
    model = encoder(kind, virtual_node=virtual_node)
    batch = batch_of([one_graph(nodes, 0, seed=nodes) for nodes in (2, 0, 3)])
    for training in (True, False):
        model.train(training)
        expected = tiny_graphs.stack(model, KINDS[kind][1], batch)
        torch.testing.assert_close(encoded(model, batch), expected)
        torch.testing.assert_close(model.states(batch), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_survive_saving(kind):
    batch = batch_of(some_graphs())
    model, other = (encoder(kind, virtual_node=True, residual=False).float() for _ in range(2))
    model.train()
    for _ in range(2):
        encoded(model, batch)
    other.load_state_dict(model.state_dict())
    assert encoded(other.eval(), batch).equal(encoded(model.eval(), batch))


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_close_to_float64(kind):
    model, batch = encoder(kind, virtual_node=True).eval(), batch_of(some_graphs())
    expected = encoded(model, batch)
    torch.testing.assert_close(encoded(model.float(), batch).double(), expected, atol=1e-4, rtol=1e-4)


# Embeddings and arguments ---------------------------------------------------------------------------------------------


def test_embeddings_are_sums_of_rows_or_a_linear_map():
    model, batch = encoder(), batch_of(some_graphs())
    expected = torch.stack([tiny_graphs.embedding(model.atoms.tables, row) for row in batch.x])
    torch.testing.assert_close(model.embed(batch), expected)
    numbers, given = encoder(atoms=None, features=3), batch_of(some_graphs(atoms=None))
    torch.testing.assert_close(numbers.embed(given), given.x.double() @ numbers.numbers.weight[:, :3].T + numbers.numbers.bias)
    assert encoded(numbers, given).shape == (given.x.shape[0], 4)
    # A node whose numbers are all zero is not absent.
    assert not torch.allclose(numbers.mask_embedding(), numbers.numbers.bias)


def test_edge_features_may_be_left_out():
    model, batch = encoder(bonds=None).eval(), batch_of(some_graphs())
    without = batch_of(some_graphs())
    del without.edge_attr
    assert encoded(model, batch).equal(encoded(model, without))


def test_what_does_not_fit_is_refused():
    model, batch = encoder(), batch_of(some_graphs())
    with pytest.raises(TypeError, match=r"reads a graph.batch.Graph, got Packed"):
        model.embed(Packed(units=torch.zeros(2, dtype=torch.long), ptr=torch.tensor([0, 2])))
    with pytest.raises(ValueError, match=r"made for edge features of \(2, 3\) values, but the batch has no 'edge_attr'"):
        encoded(model, batch_of(some_graphs(bonds=None)))
    with pytest.raises(ValueError, match=r"'edge_attr': feature 1 must be in \[0, 2\)"):
        encoded(encoder(bonds=(2, 2)), batch)
    with pytest.raises(ValueError, match=r"'x': feature 0 must be in \[0, 2\)"):
        encoder(atoms=(2, 2)).embed(batch)
    with pytest.raises(TypeError, match="'x' must hold categories"):
        model.embed(batch_of(some_graphs(atoms=None)))
    with pytest.raises(ValueError, match=r"'x' must hold 4 numbers per node, got shape"):
        encoder(atoms=None, features=4).embed(batch_of(some_graphs(atoms=None)))
    with pytest.raises(ValueError, match=r"'weight' must be \[E=46\], got \(3,\)"):
        encoded(model, batch, weight=torch.ones(3))
    with pytest.raises(ValueError, match=r"'e' must be \[N=26, D\], got \(2, 4\)"):
        model.encode(torch.zeros(2, 4), batch)
    for given in ({"atoms": None}, {"features": 3}):
        with pytest.raises(ValueError, match=r"'atoms'.* or .*'features'.*, exactly one of the two"):
            encoder(**given)
    with pytest.raises(ValueError, match="'layers' must be at least 1, got 0"):
        encoder(layers=0)


def test_one_graph_with_a_virtual_node_can_be_predicted_but_not_trained_on():
    model, graph = encoder(virtual_node=True), one_graph(4, 4, seed=0)
    with pytest.raises(ValueError, match="at least two rows in training"):
        encoded(model, graph)
    assert encoded(model.eval(), graph).shape == (4, 4)


def test_configurations_name_every_argument():
    for cls, _ in KINDS.values():
        assert list(inspect.signature(cls).parameters) == [
            "atoms",
            "features",
            "bonds",
            "hidden",
            "layers",
            "dropout",
            "residual",
            "virtual_node",
        ]
