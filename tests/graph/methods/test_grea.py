"""GREA: soft masks, environments of other graphs, players that take turns."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from graph.batch import Graph
from rationalizers.base import Rationalizer
from rationalizers.build import build
from tests.graph.contract import ENCODER, TASKS, GraphContract, graph


def described(**changes):
    return {
        "_target_": "graph.methods.grea.GREA",
        "task": TASKS["classification"],
        "encoder": ENCODER,
        "separator": {"layers": 3},
        "weights": {"task": 1.0, "swap": 0.7, "size": 2.0},
        "optimizer": {"lr": 0.01},
        "gamma": 0.4,
        **changes,
    }


class TestGREA(GraphContract):
    def config(self):
        return described()

    def test_masks_are_soft_and_parts_make_the_whole(self, model):
        packed = self.batch((7, 5, 4))
        output = model(packed)
        assert ((output.rationale.mask > 0) & (output.rationale.mask < 1)).all()
        h, m = model.encoder.states(packed), output.rationale.mask[:, None]
        kept, whole = [torch.stack([part.sum(0) for part in x.split([7, 5, 4])]) for x in (m * h, h)]
        torch.testing.assert_close(output.logits, model.predictor(kept), atol=1e-5, rtol=1e-5)
        dropped = torch.stack([part.sum(0) for part in ((1 - m) * h).split([7, 5, 4])])
        torch.testing.assert_close(kept + dropped, whole, atol=1e-5, rtol=1e-5)

    def test_the_swap_term_is_the_mean_over_all_pairs(self, model):
        packed = self.batch((7, 5, 4))
        kept, dropped = self.parts(model, packed)
        pairs = [
            [model.task.loss(model.predictor((kept[i] + dropped[j])[None]), packed.y[i : i + 1]) for j in range(3)]
            for i in range(3)
        ]
        terms = model(packed).terms
        torch.testing.assert_close(terms["swap"], torch.stack([torch.stack(row) for row in pairs]).mean(), atol=1e-5, rtol=1e-5)
        others = build(described(pairs="others"), Rationalizer).eval()
        others.load_state_dict(model.state_dict())
        left = torch.stack([pairs[i][j] for i in range(3) for j in range(3) if i != j]).mean()
        torch.testing.assert_close(others(packed).terms["swap"], left, atol=1e-5, rtol=1e-5)

    def test_alone_a_graph_is_put_beside_its_own_environment(self, model):
        packed = self.example(6, seed=2)
        whole = model.logits(packed, torch.ones(6))
        torch.testing.assert_close(model(packed).terms["swap"], model.task.loss(whole, packed.y), atol=1e-5, rtol=1e-5)

    def test_the_size_term_is_the_distance_to_gamma(self, model):
        output = model(self.batch((7, 5, 4)))
        shares = torch.stack([part.mean() for part in output.rationale.mask.split([7, 5, 4])])
        torch.testing.assert_close(output.terms["size"], (shares - 0.4).abs().mean())

    def test_gamma_one_gives_the_whole_graph(self):
        model = build(described(gamma=1.0, alternate=None), Rationalizer).train()
        packed = self.batch((7, 5, 4))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(150):
            optimizer.zero_grad()
            model.loss(model(packed).terms, {"size": 1.0}).backward()
            optimizer.step()
        assert model(packed).rationale.mask.mean() > 0.9

    @staticmethod
    def parts(model, packed):
        h, m = model.encoder.states(packed), model(packed).rationale.mask[:, None]
        sizes = (packed.ptr[1:] - packed.ptr[:-1]).tolist()
        return [torch.stack([part.sum(0) for part in x.split(sizes)]) for x in (m * h, (1 - m) * h)]


def test_players_take_turns_and_leave_each_other_alone():
    model = build(described(alternate=[1, 2]), Rationalizer)
    groups = {name: list(parameters) for name, parameters in model.parameter_groups().items()}
    assert sum(len(group) for group in groups.values()) == len(list(model.parameters()))
    moved = []

    class Watch(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            self.before = {name: [p.detach().clone() for p in group] for name, group in groups.items()}

        def on_train_epoch_end(self, trainer, module):
            moved.append({n for n, g in groups.items() if any(not a.equal(b) for a, b in zip(self.before[n], g, strict=True))})

    rows = [graph(4 + seed % 4, seed=seed) for seed in range(8)]
    trainer = pl.Trainer(
        max_epochs=4, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu", callbacks=[Watch()],
    )  # fmt: skip
    loader = DataLoader(rows, batch_size=4, collate_fn=Graph.collate)
    trainer.fit(model, loader, loader)
    assert moved == [{"separator"}, {"predictor"}, {"predictor"}, {"separator"}]


def test_the_predictor_does_not_see_the_size():
    separating, predicting = build(described(), Rationalizer).phases()
    everything, without_size = {"task": 1.0, "swap": 0.7, "size": 2.0}, {"task": 1.0, "swap": 0.7}
    assert (separating.groups, separating.period, dict(separating.weights)) == (("separator",), 1, everything)
    assert (predicting.groups, predicting.period, dict(predicting.weights)) == (("predictor",), 3, without_size)
    (together,) = build(described(alternate=None), Rationalizer).phases()
    assert set(together.groups) == {"separator", "predictor"}


def test_few_environments_are_drawn_for_all_in_training():
    packed = Graph.collate([graph(5, seed=seed) for seed in range(6)])
    model = build(described(num_env=2, encoder={**ENCODER, "dropout": 0.0}, gate_dropout=0.0, dropout=0.0), Rationalizer).train()
    seen = {round(float(model(packed).terms["swap"].detach()), 6) for _ in range(12)}
    assert len(seen) > 1
    everything = build(described(), Rationalizer).eval()
    everything.load_state_dict(model.state_dict())
    torch.testing.assert_close(model.eval()(packed).terms["swap"], everything(packed).terms["swap"])


def test_separator_and_predictor_have_encoders_of_their_own():
    model = build(described(), Rationalizer)
    assert len(model.separator.convolutions) == 3
    assert len(model.encoder.convolutions) == 2
    assert not {id(p) for p in model.separator.parameters()} & {id(p) for p in model.encoder.parameters()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 0.0}, r"'gamma' must be in \(0, 1\], got 0.0"),
        ({"alternate": [1]}, r"'alternate' must be the epochs of separator and predictor, such as \[1, 3\]; got \[1\]"),
        ({"alternate": [0, 3]}, r"'alternate' must be the epochs"),
        ({"pairs": "some"}, "'pairs' must be one of all, others; got 'some'"),
        ({"num_env": 0}, "'num_env' must be at least 1, got 0"),
        ({"absence": "zero"}, "'absence' of GREA is 'state', which passes its gradient; got 'zero'"),
    ],
)
def test_a_setting_outside_its_bounds_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        build(described(**changes), Rationalizer)
