"""IGT: split tokens, environments of other graphs, and an intervener that plays against them."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from graph.batch import Graph
from graph.encoders.transformer import VirtualNodes
from graph.methods.igt import beside
from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.segment import lengths
from tests.graph.contract import ENCODER, TASKS, GraphContract, graph

QUIET = {"dropout": 0.0, "gate_dropout": 0.0, "intervener_dropout": 0.0, "encoder": {**ENCODER, "dropout": 0.0}}


def described(**changes):
    return {
        "_target_": "graph.methods.igt.IGT",
        "task": TASKS["classification"],
        "encoder": ENCODER,
        "weights": {"task": 1.0, "swap": 0.7, "mixing": 0.3, "size": 0.5},
        "optimizer": {"lr": 0.01},
        "ratio": 0.4,
        "heads": 2,
        **changes,
    }


def made(**changes):
    return build(described(**changes), Rationalizer)


def batch(sizes=(7, 5, 4)):
    return Graph.collate([graph(size, seed=place) for place, size in enumerate(sizes)])


class IGTContract(GraphContract):
    targetless = ("mixing",)

    def test_alone_a_graph_meets_its_own_environment(self, model):
        if model.sees_rest is None:
            pytest.skip("its task is predicted from the rationale alone")
        terms = model(self.example(6, seed=2)).terms
        torch.testing.assert_close(terms["swap"], terms["task"], atol=1e-6, rtol=1e-5)

    def test_the_swap_term_is_the_mean_over_its_pairs(self, model):
        packed = self.batch((7, 5, 4))
        tokens = model.split(model.encoder.states(packed), packed.ptr, packed.fixed)
        parts = []
        for b in range(3):
            rows = slice(int(tokens.ptr[b]), int(tokens.ptr[b + 1]))
            x, environment = tokens.x[rows], tokens.environment[rows]
            parts.append((x[~environment], x[environment], environment.sum()))
        pairs, crossings = [], []
        for i, j in ((0, 1), (1, 2), (2, 0)):
            x = torch.cat([parts[i][0], parts[j][1]])
            s = torch.cat([torch.zeros(len(parts[i][0])), torch.ones(len(parts[j][1]))])
            out, p = dense(model.intervener[0], x)
            pairs.append(model.task.loss(model.predictor(out.mean(0)[None]), packed.y[i : i + 1]))
            crossings.append((s @ p @ (1 - s) + (1 - s) @ p @ s) / len(s))
        terms = model(packed).terms
        torch.testing.assert_close(terms["swap"], torch.stack(pairs).mean(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(terms["mixing"], torch.stack(crossings).mean(), atol=1e-5, rtol=1e-5)
        assert 0 <= float(terms["mixing"].detach()) <= 1

    def test_gradient_reaches_the_augmenter_through_either_part(self, model):
        packed = self.batch((7, 5, 4))
        for part in (0.0, 1.0):
            model.zero_grad()
            tokens = model.split(model.encoder.states(packed).detach(), packed.ptr, packed.fixed)
            (tokens.x * (tokens.environment == bool(part))[:, None]).square().sum().backward()
            assert model.augmenter[-1].weight.grad.abs().sum() > 0

    def test_a_single_node_is_a_rationale_without_environment(self, model):
        output = model(self.batch((1, 1)))
        assert output.rationale.mask.tolist() == [1, 1]
        assert all(term.isfinite() for term in output.terms.values())

    def test_the_share_of_nodes_is_rounded_up_and_leaves_one(self, model):
        output = model(self.batch((1, 2, 3, 5, 7, 10)))
        # ⌈.4 n⌉
        assert output.rationale.size().tolist() == [1, 1, 2, 2, 3, 4]

    def test_masked_nodes_are_seen_by_none(self, model):
        packed = self.batch((7, 6))
        mask = torch.ones(13)
        mask[[1, 8]] = 0
        h = model.encoder.states(packed).detach()
        changed = h.clone()
        changed[[1, 8]] += 5.0
        shown = []
        for states in (h, changed):
            model.encoder.states = lambda batch, states=states: states
            # The split of nodes is that of the whole graph, which one node's state may change.
            model.chosen = lambda scores, ptr: torch.arange(scores.shape[0]) % 2 == 0
            shown.append(model.logits(packed, mask))
        assert shown[0].equal(shown[1])


def dense(layer, x):
    """A layer of the intervener on the tokens of one set, and its attention, averaged over heads."""
    q, k, v = layer.project(x).view(len(x), 3, layer.heads, -1).permute(1, 2, 0, 3)  # [H, t, D/H]
    p = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1)
    joined = (p @ v).transpose(0, 1).flatten(1)
    x = layer.first_norm(x + layer.join(joined))
    return layer.second_norm(x + layer.feed_forward(x)), p.mean(0)


class TestNodes(IGTContract):
    def config(self):
        return described()

    def test_rationale_and_environment_share_out_the_nodes(self, model):
        packed = self.batch((7, 5, 1))
        tokens, mask = model.split(model.encoder.states(packed), packed.ptr, packed.fixed), model(packed).rationale.mask
        assert tokens.environment.equal(mask == 0)
        gate, h = tokens.scores.sigmoid()[:, None], model.encoder.states(packed)
        torch.testing.assert_close(tokens.x, torch.where(mask[:, None] == 1, gate, 1 - gate) * h)
        for rows in torch.arange(13).split([7, 5, 1]):
            kept, left = tokens.scores[rows][mask[rows] == 1], tokens.scores[rows][mask[rows] == 0]
            assert not left.numel() or kept.min() >= left.max()

    def test_alone_the_rationale_is_the_only_token(self, model):
        packed = self.batch((7, 5))
        tokens, rationale = model.split(model.encoder.states(packed), packed.ptr, packed.fixed), model(packed).rationale
        expected = []
        for rows in torch.arange(12).split([7, 5]):
            x, _ = dense(model.intervener[0], tokens.x[rows][rationale.mask[rows] == 1])
            expected.append(model.predictor(x.mean(0)[None])[0])
        torch.testing.assert_close(model.logits(packed, rationale.mask), torch.stack(expected), atol=1e-5, rtol=1e-5)


class TestVirtualNodes(IGTContract):
    def config(self):
        return described(virtual_nodes=5)

    def test_virtual_nodes_are_split_too(self, model):
        packed = self.batch((7, 5, 1))
        tokens = model.split(model.encoder.states(packed), packed.ptr, packed.fixed)
        assert tokens.ptr.tolist() == [0, 5, 10, 15]
        assert (~tokens.environment).view(3, 5).sum(1).tolist() == [2, 2, 2]

    def test_nodes_have_the_share_that_the_rationale_takes_of_them(self, model):
        packed = self.batch((7, 5))
        tokens, scores = model.split(model.encoder.states(packed), packed.ptr, packed.fixed), model(packed).rationale.scores
        for b, rows in enumerate(torch.arange(12).split([7, 5])):
            own = slice(5 * b, 5 * b + 5)
            gate = torch.where(tokens.environment[own], 0.0, tokens.scores[own].sigmoid())
            share = (tokens.attention[rows] * gate).sum(1) / gate.sum()
            torch.testing.assert_close(scores[rows], len(rows) * share - 1, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(share.sum(), torch.tensor(1.0))


class TestRationaleAlone(IGTContract):
    """The option that trains and predicts from the rationale alone."""

    def config(self):
        return described(predicts_from="rationale")


class TestVirtualRationaleAlone(IGTContract):
    def config(self):
        return described(predicts_from="rationale", virtual_nodes=5)


class TestSizesOfTheirOwn(IGTContract):
    def config(self):
        return described(size="gate")

    def test_the_share_of_nodes_is_rounded_up_and_leaves_one(self, model):
        packed = self.batch((1, 2, 3, 5, 7, 10))
        tokens = model.split(model.encoder.states(packed), packed.ptr, packed.fixed)
        above = torch.stack([part.sum() for part in (tokens.scores > 0).split([1, 2, 3, 5, 7, 10])])
        most = torch.tensor([1, 1, 2, 4, 6, 9])
        assert model(packed).rationale.size().equal(torch.minimum(above.clamp(min=1), most).float())


def test_in_training_too_the_rationale_alone_has_no_environment():
    """The split that is shown is the one that the prediction is made from, although dropout would draw another."""
    model, packed = made(predicts_from="rationale").train(), batch((12, 12, 12, 12))
    intervene, seen = model.intervene, []

    def watched(x, ptr, *, marked):
        seen.append(marked[: int(ptr[4])])
        return intervene(x, ptr, marked=marked)

    model.intervene = watched
    for _ in range(5):
        rationale = model(packed).rationale
        assert seen[-1].numel() == int(rationale.mask.sum())
    assert not torch.cat(seen).any()


def test_gates_above_one_half_give_every_graph_its_own_size():
    model = made(size="gate").eval()
    ptr = torch.tensor([0, 4, 8, 12])
    scores = torch.tensor([1.0, -1, -1, -1, 1, 1, 1, -2, 3, 3, 3, 3])
    assert model.chosen(scores, ptr).view(3, 4).sum(1).tolist() == [1, 3, 3]  # one at least is environment


def test_a_ratio_of_one_leaves_no_environment():
    for changes in ({}, {"virtual_nodes": 4}):
        model = made(ratio=1.0, **changes).eval()
        output = model(batch())
        assert output.rationale.mask.all()
        assert float(output.terms["mixing"].detach()) == 0
        # Nothing is swapped.
        torch.testing.assert_close(output.terms["swap"], output.terms["task"], atol=1e-6, rtol=1e-5)


def test_virtual_nodes_that_are_the_nodes_give_the_node_level():
    """With r = n and A the identity both levels are one."""
    nodes, virtual = made().eval(), made(virtual_nodes=6).eval()
    nodes.load_state_dict({name: value for name, value in virtual.state_dict().items() if not name.startswith("virtual.")})
    virtual.virtual.forward = lambda h, ptr: (h, torch.eye(6).repeat(len(ptr) - 1, 1))
    packed = batch((6, 6, 6))
    ours, theirs = nodes(packed), virtual(packed)
    torch.testing.assert_close(theirs.logits, ours.logits)
    assert theirs.rationale.mask.equal(ours.rationale.mask)
    for name, term in ours.terms.items():
        torch.testing.assert_close(theirs.terms[name], term)


def test_virtual_nodes_pool_by_softmax_over_nodes():
    torch.manual_seed(0)
    for project in (False, True):
        layer, h, ptr = VirtualNodes(3, width=8, project=project), torch.randn(9, 8), torch.tensor([0, 4, 4, 9])
        pooled, attention = layer(h, ptr)
        values = layer.value(h) if project else h
        for b, rows in ((0, slice(0, 4)), (2, slice(4, 9))):
            a = (layer.query(layer.queries) @ layer.key(h[rows]).T / math.sqrt(8)).softmax(1)  # [r, n]
            torch.testing.assert_close(attention[rows], a.T, atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(pooled.view(3, 3, 8)[b], a @ values[rows], atol=1e-6, rtol=1e-5)
        assert not pooled.view(3, 3, 8)[1].any()


def test_no_graph_meets_itself_or_another_twice():
    model = made(num_env=3).train()
    seen = set()
    for _ in range(20):
        graphs, others = model.partners(6)
        assert graphs.tolist() == [b for b in range(6) for _ in range(3)]
        assert (graphs != others).all()
        assert all(len(set(row)) == 3 for row in others.view(6, 3).tolist())
        assert torch.bincount(others, minlength=6).tolist() == [3] * 6
        seen.add(tuple(others.tolist()))
    assert len(seen) > 1
    assert model.partners(2)[1].tolist() == [1, 0]
    assert model.partners(1)[1].tolist() == [0]
    evaluated = model.eval()
    assert evaluated.partners(6)[1].equal(evaluated.partners(6)[1])


def test_sets_join_a_rationale_with_an_environment():
    model = made().eval()
    packed = batch((7, 5, 4))
    tokens = model.split(model.encoder.states(packed), packed.ptr, packed.fixed)
    token, ptr = beside(tokens, torch.tensor([0, 0, 2]), torch.tensor([1, 2, 0]))
    owner = torch.repeat_interleave(torch.arange(3), lengths(packed.ptr))
    for s, (i, j) in enumerate(((0, 1), (0, 2), (2, 0))):
        found = token[ptr[s] : ptr[s + 1]]
        expected = ((owner == i) & ~tokens.environment) | ((owner == j) & tokens.environment)
        assert sorted(found.tolist()) == expected.nonzero().flatten().tolist()


def test_attention_within_parts_does_not_cross():
    model = made(**QUIET).eval()
    packed = batch((7, 5, 4))
    calls = []

    def apart(x, ptr, *, marked=None):
        calls.append(marked)
        return x, marked.float()  # each token sees its own part alone

    model.intervener[0].forward = apart
    assert float(model(packed).terms["mixing"].detach()) == 0
    model.intervener[0].forward = lambda x, ptr, *, marked=None: (x, 1 - marked.float())
    assert float(model(packed).terms["mixing"].detach()) == 1
    assert calls[0] is not None


@pytest.mark.parametrize(
    ("game", "against"),
    [
        ("attention", {"task": 1.0, "swap": 0.7, "mixing": -0.3}),
        ("intervened", {"task": 1.0, "swap": -0.7, "mixing": 0.3}),
        ("full", {"task": -1.0, "swap": -0.7, "mixing": -0.3}),
    ],
)
def test_the_intervener_plays_by_the_rule_of_the_game(game, against):
    ours, theirs = made(game=game, alternate=[2, 1]).phases()
    assert (ours.groups, ours.period, dict(ours.weights)) == (
        ("rationalizer",),
        2,
        {"task": 1.0, "swap": 0.7, "mixing": 0.3, "size": 0.5},
    )
    assert (theirs.groups, theirs.period, dict(theirs.weights)) == (("intervener",), 1, against)


def test_without_a_game_all_parts_learn_together():
    (phase,) = made(game="none").phases()
    assert set(phase.groups) == {"rationalizer", "intervener"}


@pytest.mark.parametrize("virtual_nodes", [None, 4])
def test_players_take_turns_step_by_step_and_leave_each_other_alone(virtual_nodes):
    model = made(virtual_nodes=virtual_nodes)
    groups = {name: list(parameters) for name, parameters in model.parameter_groups().items()}
    assert sum(len(group) for group in groups.values()) == len(list(model.parameters()))
    moved = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.before = {name: [p.detach().clone() for p in group] for name, group in groups.items()}

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            moved.append({n for n, g in groups.items() if any(not a.equal(b) for a, b in zip(self.before[n], g, strict=True))})

    rows = [graph(4 + seed % 4, seed=seed) for seed in range(8)]
    trainer = pl.Trainer(
        max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu", gradient_clip_val=1.0, callbacks=[Watch()],
    )  # fmt: skip
    loader = DataLoader(rows, batch_size=4, collate_fn=Graph.collate)
    trainer.fit(model, loader, loader)
    assert moved == [{"rationalizer"}, {"intervener"}, {"rationalizer"}, {"intervener"}]


def test_the_environment_may_be_left_unweighted():
    packed = batch()
    weighed, plain = made(), made(weigh_environment=False)
    plain.load_state_dict(weighed.state_dict())
    h = weighed.eval().encoder.states(packed)
    tokens = plain.eval().split(h, packed.ptr, packed.fixed)
    assert tokens.environment.any()
    assert tokens.x[tokens.environment].equal(h[tokens.environment])


def test_a_sum_grows_with_the_number_of_tokens():
    packed = batch()
    mean, total = made().eval(), made(readout="sum").eval()
    total.load_state_dict(mean.state_dict())
    x, ptr = torch.randn(16, 8), packed.ptr
    torch.testing.assert_close(total._pool(x, ptr), mean._pool(x, ptr) * lengths(ptr)[:, None])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 0.0}, r"'ratio' must be in \(0, 1\], got 0.0"),
        ({"game": "chess"}, "'game' must be one of attention, intervened, full, none; got 'chess'"),
        ({"size": "some"}, "'size' must be one of ratio, gate; got 'some'"),
        ({"readout": "max"}, "'readout' must be one of mean, sum; got 'max'"),
        ({"predicts_from": "edges"}, "'predicts_from' must be one of graph, rationale; got 'edges'"),
        ({"alternate": [1]}, r"'alternate' must be the steps of both players, such as \[1, 1\]; got \[1\]"),
        ({"num_env": 0}, "'num_env' must be at least 1, got 0"),
        ({"layers": 0}, "'layers' must be at least 1, got 0"),
        ({"heads": 3}, "must be a multiple of it, got 8 and 3"),
        ({"virtual_nodes": 0}, "'virtual_nodes' must be at least 1, got 0"),
        ({"absence": "zero"}, "'absence' of IGT is 'state', which passes its gradient; got 'zero'"),
    ],
)
def test_a_setting_outside_its_bounds_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        made(**changes)
