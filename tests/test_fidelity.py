"""What predictions lose without their rationale and keep with nothing else."""

import math

import pytest
import torch

from graph.batch import Graph
from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.fidelity import fidelity
from rationalizers.rationale import Rationale
from tests.graph.contract import ENCODER, TASKS, graph


def classifier(task):
    config = {
        "_target_": "graph.methods.erm.ERM",
        "task": TASKS[task],
        "encoder": ENCODER,
        "weights": {"task": 1.0},
        "optimizer": {"lr": 0.01},
    }
    return build(config, Rationalizer).eval()


def explained(task, seed=0):
    batch = Graph.collate([graph(size, seed=place, task=task) for place, size in enumerate((7, 4, 6))])
    mask = (torch.rand(17, generator=torch.Generator().manual_seed(seed)) < 0.4).float()
    return batch, Rationale(mask, mask, batch.ptr)


@torch.no_grad()
def by_hand(model, batch, rationale, fall):
    """Each graph by itself, its parts as graphs of their own."""
    whole, alone, without = [], [], []
    for b in range(3):
        rows = torch.arange(17)
        rows = (rows >= batch.ptr[b]) & (rows < batch.ptr[b + 1])
        kept = rationale.mask.bool()
        for found, nodes in ((whole, rows), (alone, rows & kept), (without, rows & ~kept)):
            part = batch.select(nodes, positions="fresh")
            found.append(model.task.predict(model.logits(part, torch.ones(int(nodes.sum()))))[b])
    return tuple(sum(float(fall(a, c)) for a, c in zip(whole, other, strict=True)) / 3 for other in (without, alone))


@pytest.mark.parametrize(
    ("task", "fall"),
    [
        ("classification", lambda whole, other: whole.max() - other[whole.argmax()]),
        ("binary", lambda whole, other: ((whole - other) * torch.where(whole > 0.5, 1, -1)).mean()),
        ("regression", lambda whole, other: (whole - other).abs().mean()),
    ],
)
def test_it_is_the_fall_of_what_was_predicted(task, fall):
    model, (batch, rationale) = classifier(task), explained(task)
    found = fidelity(model, [(batch, rationale)])
    plus, minus = by_hand(model, batch, rationale, fall)
    assert found == {"fidelity_plus": pytest.approx(plus, abs=1e-5), "fidelity_minus": pytest.approx(minus, abs=1e-5)}
    assert abs(plus) > 1e-4


@pytest.mark.parametrize("absence", ["compact", "zero", "mask_token", "state", "message"])
def test_everything_is_enough_and_nothing_is_not_needed(absence):
    model, (batch, rationale) = classifier("classification"), explained("classification")
    ones = torch.ones_like(rationale.mask)
    everything = fidelity(model, [(batch, Rationale(ones, ones, batch.ptr))], absence=absence)
    nothing = fidelity(model, [(batch, Rationale(ones, 0 * ones, batch.ptr))], absence=absence)
    assert everything["fidelity_minus"] == nothing["fidelity_plus"] == 0
    assert everything["fidelity_plus"] == nothing["fidelity_minus"] != 0


def test_it_is_a_mean_over_examples_however_they_meet():
    model = classifier("classification")
    pairs = [explained("classification", seed) for seed in (1, 2)]
    single = [fidelity(model, [pair])["fidelity_plus"] for pair in pairs]
    assert fidelity(model, pairs)["fidelity_plus"] == pytest.approx(sum(single) / 2)
    assert math.isnan(fidelity(model, [])["fidelity_plus"])


def test_bad_arguments_are_named():
    model = classifier("classification")
    with pytest.raises(ValueError, match="evaluation mode"):
        fidelity(model.train(), [])
    with pytest.raises(ValueError, match="'absence' must be one of"):
        fidelity(model.eval(), [], absence="gone")
