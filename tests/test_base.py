"""The base: phases, weights, learning-rate curves, and a graph method that fits without a second contract."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch_geometric.data import Batch as GraphBatch
from torch_geometric.nn import GINConv

from graph.batch import Graph
from rationalizers.base import OptimizerConfig, Output, Phase, Rationalizer
from rationalizers.batch import Batch
from rationalizers.losses import sparsity
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_sum

# A graph method: soft node mask, alternating phases, batches as PyG makes them.


def molecule(seed):
    generator = torch.Generator().manual_seed(seed)
    n = int(torch.randint(3, 9, (1,), generator=generator))
    x = torch.randn(n, 4, generator=generator)
    ring = torch.arange(n)
    edges = torch.stack([ring, ring.roll(1)])
    evidence = torch.zeros(n, dtype=torch.bool)
    evidence[:2] = True
    return Graph(
        x=x,
        edge_index=torch.cat([edges, edges.flip(0)], 1),
        y=torch.tensor([int(x[:2, 0].sum() > 0)]),
        field_evidence=evidence,
        row=torch.tensor([seed]),
    )


class Separator(Rationalizer):
    """A soft node mask and a predictor that take turns, two epochs and one."""

    leaks = "node states see the whole graph"

    def __init__(self, *, task, weights, optimizer):
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence="zero")
        gin = [GINConv(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8))) for _ in range(2)]
        self.separate, self.encode = gin
        self.gate, self.head = nn.Linear(8, 1), nn.Linear(8, 2)

    def parameter_groups(self):
        return {
            "separator": [*self.separate.parameters(), *self.gate.parameters()],
            "predictor": [*self.encode.parameters(), *self.head.parameters()],
        }

    def phases(self):
        return (Phase(("separator",), {"task": 1.0, "size": 1.0}, 1), Phase(("predictor",), {"task": 1.0}, 2))

    def forward(self, batch):
        scores = self.gate(self.separate(batch.x, batch.edge_index)).squeeze(-1)
        mask = scores.sigmoid() if self.training else (scores > 0).float()
        rationale = Rationale(scores, mask, batch.ptr)
        logits = self.logits(batch, mask)
        terms = {"task": self.task.loss(logits, batch.y), "size": sparsity(rationale.share(), target=0.4)}
        return Output(logits, rationale, terms)

    def logits(self, batch, mask, *, absence=None):
        h = self.encode(batch.x, batch.edge_index) * mask[:, None]
        return self.head(segment_sum(h, batch.ptr))


class StepSeparator(Separator):
    phase_unit = "step"


class BatchSeparator(Separator):
    """The batch decides: one part learns from those that begin with an even row, the other from the rest."""

    phase_unit = "batch"

    def phase_of(self, batch):
        return self.phases()[int(batch.index[0]) % 2]


SETTINGS = {
    "task": {"_target_": "rationalizers.task.Classification", "labels": ["low", "high"]},
    "weights": {"task": 1.0, "size": 1.0},
    "optimizer": {"lr": 0.01},
}


def loader():
    return DataLoader([molecule(seed) for seed in range(16)], batch_size=4, collate_fn=GraphBatch.from_data_list)


def fit(model, *, epochs, callbacks=(), batches=None):
    trainer = pl.Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        callbacks=list(callbacks),
    )
    trainer.fit(model, loader() if batches is None else batches, loader())
    return trainer


class Watch(pl.Callback):
    """Which groups moved in each step, and whose gradients were there when the optimizer stepped."""

    def __init__(self):
        self.moved, self.with_gradient, self.rates = [], [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.before = {name: [p.clone() for p in ps] for name, ps in module.parameter_groups().items()}

    def on_before_optimizer_step(self, trainer, module, optimizer):
        groups = module.parameter_groups().items()
        self.with_gradient.append({name for name, ps in groups if any(p.grad is not None for p in ps)})
        self.rates.append({group["name"]: group["lr"] for group in optimizer.param_groups})

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        groups = module.parameter_groups().items()
        self.moved.append({n for n, ps in groups if any(not p.equal(q) for p, q in zip(ps, self.before[n], strict=True))})


def test_pyg_batches_satisfy_the_protocol():
    batch = next(iter(loader()))
    assert isinstance(batch, Batch)
    assert batch.ptr.tolist()[0] == 0
    assert batch.units.shape[0] == batch.ptr[-1]


def test_a_graph_method_trains_is_scored_and_has_floors():
    model = Separator(**SETTINGS)
    trainer = fit(model, epochs=3)
    assert {"train/task", "train/size", "val/accuracy", "val/token_f1", "val/auprc"} <= set(trainer.callback_metrics)
    tested = trainer.test(model, loader(), verbose=False)[0]
    assert "test/floor/oracle/token_f1" in tested
    assert tested["test/floor/oracle/token_f1"] >= tested["test/token_f1"]
    # Nodes have no order, hence no spans.
    assert not any("iou" in name for name in tested)


def test_only_the_test_split_also_tells_what_is_predicted_from_whole_inputs():
    torch.manual_seed(0)
    model = Separator(**SETTINGS)
    trainer = fit(model, epochs=1)
    assert not any("whole_input" in name for name in trainer.callback_metrics)
    # Nothing is selected, so that the deployed model says the same of all.
    nn.init.constant_(model.gate.bias, -1e6)
    tested = trainer.test(model, loader(), verbose=False)[0]
    right, said, deployed = [], set(), set()
    with torch.no_grad():
        for batch in loader():
            answers = model.logits(batch, torch.ones(batch.x.shape[0])).argmax(1)
            right += (answers == batch.y).tolist()
            said |= set(answers.tolist())
            deployed |= set(model(batch).logits.argmax(1).tolist())
    assert (len(said), len(deployed)) == (2, 1)
    assert tested["test/whole_input/accuracy"] == pytest.approx(sum(right) / 16)
    assert tested["test/whole_input/macro_f1"] != tested["test/macro_f1"]


def test_inactive_groups_get_no_gradient_and_stay_where_they_are():
    watch = Watch()
    fit(Separator(**SETTINGS), epochs=4, callbacks=[watch])
    expected = [{"separator"}] * 4 + [{"predictor"}] * 8 + [{"separator"}] * 4
    assert watch.with_gradient == expected
    assert watch.moved == expected


def test_phases_can_count_steps():
    watch = Watch()
    fit(StepSeparator(**SETTINGS), epochs=2, callbacks=[watch])
    assert watch.moved == [{"separator"}, {"predictor"}, {"predictor"}] * 2 + [{"separator"}, {"predictor"}]


def test_a_batch_can_decide_its_phase():
    watch, rows = Watch(), [(0, 2), (1, 3), (5, 4), (6, 1)]
    model = BatchSeparator(**SETTINGS | {"optimizer": {"lr": 0.01, "schedule": "linear"}})
    batches = [GraphBatch.from_data_list([molecule(seed) for seed in each]) for each in rows]
    fit(model, epochs=2, callbacks=[watch], batches=DataLoader(batches, batch_size=None))
    assert watch.with_gradient == watch.moved == [{"separator"}, {"predictor"}, {"predictor"}, {"separator"}] * 2
    # Steps of any group count, so that all rates reach zero together, with the last batch.
    for group in ("separator", "predictor"):
        assert [rates[group] for rates in watch.rates] == pytest.approx([0.01 * (1 - step / 8) for step in range(8)])


def test_the_loss_is_that_of_the_phase_of_the_batch():
    model, found = BatchSeparator(**SETTINGS), []
    for row in (0, 1):
        batch = GraphBatch.from_data_list([molecule(row)])
        told = fit(model, epochs=1, batches=DataLoader([batch], batch_size=None)).callback_metrics
        found.append([told[f"train/{name}"].item() for name in ("loss", "task", "size")])
    (both, *terms), (task, alone, size) = found
    assert both == pytest.approx(sum(terms))
    assert task == pytest.approx(alone)
    assert size > 0


def test_each_group_counts_its_own_steps():
    watch = Watch()
    settings = SETTINGS | {"optimizer": {"lr": 0.01, "schedule": "linear"}}
    fit(Separator(**settings), epochs=6, callbacks=[watch])
    separator = [rates["separator"] for rates, active in zip(watch.rates, watch.moved, strict=True) if "separator" in active]
    predictor = [rates["predictor"] for rates, active in zip(watch.rates, watch.moved, strict=True) if "predictor" in active]
    assert separator == pytest.approx([0.01 * (1 - i / 8) for i in range(8)])
    assert predictor == pytest.approx([0.01 * (1 - i / 16) for i in range(16)])


def test_every_parameter_learns_again_after_training():
    model = Separator(**SETTINGS)
    fit(model, epochs=1)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_phase_is_a_pure_function_of_the_count():
    model = Separator(**SETTINGS)
    assert [model.phase_at(count).groups[0] for count in range(7)] == (["separator"] + ["predictor"] * 2) * 2 + ["separator"]


def test_terms_and_weights_must_agree():
    model = Separator(**SETTINGS)
    with pytest.raises(ValueError, match=r"returns the terms \['task'\], its weights name \['size', 'task'\]"):
        model.loss({"task": torch.tensor(1.0)}, {"task": 1.0})


def test_loss_is_the_weighted_sum_of_the_phase():
    model = Separator(**SETTINGS)
    terms = {"task": torch.tensor(2.0), "size": torch.tensor(3.0)}
    assert model.loss(terms, {"task": 0.5, "size": 10.0}) == 31.0
    assert model.loss(terms, {"task": 0.5}) == 1.0


def test_a_parameter_in_two_groups_is_refused():
    class Twice(Separator):
        def parameter_groups(self):
            return {"separator": self.parameters(), "predictor": self.head.parameters()}

    with pytest.raises(ValueError, match=r"Twice.parameter_groups\(\) names a parameter in two groups"):
        fit(Twice(**SETTINGS), epochs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "adagrad"}, "'optimizer.name' must be one of adam, adamw, sgd; got 'adagrad'"),
        ({"schedule": "step"}, "'optimizer.schedule' must be one of constant, linear, cosine; got 'step'"),
        ({"warmup": 1.0}, r"'optimizer.warmup' is a share of the steps in \[0, 1\), got 1.0"),
        ({"lr": 0.0}, "'optimizer.lr' must be positive, got 0.0"),
    ],
)
def test_bad_optimizers_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**{"lr": 0.1, **change})


def test_schedules():
    linear = OptimizerConfig(lr=1.0, schedule="linear", warmup=0.2)
    assert [linear.factor(p) for p in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    cosine = OptimizerConfig(lr=1.0, schedule="cosine")
    assert cosine.factor(0.25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert OptimizerConfig(lr=1.0).factor(0.9) == 1.0
