"""What GREA's benchmark compares is the same work, and its parts are the parts of it."""

import itertools

import pytest
import torch

from experiments import grea_epoch
from experiments.benchmark import Measured
from experiments.grea_benchmark import DENSE, STREAMED, GREABenchmark, replacement_step
from experiments.grea_epoch import Clock, in_parts
from rationalizers.base import Rationalizer
from rationalizers.build import build
from tests.graph.contract import ENCODER, TASKS, GraphContract

CONFIG = {
    "_target_": "graph.methods.grea.GREA",
    "task": TASKS["classification"],
    "encoder": {**ENCODER, "dropout": 0.0},
    "separator": {"layers": 2},
    "weights": {"task": 1.0, "swap": 0.7, "size": 2.0},
    "optimizer": {"lr": 0.01},
    "gamma": 0.4,
    "alternate": None,
    "gate_dropout": 0.0,
    "dropout": 0.0,
}


class Model(GraphContract):
    def config(self):
        return CONFIG


def test_both_contenders_have_the_same_loss():
    size = {"batch_size": 7, "width": 6, "outputs": 2, "dropout": 0.0}
    dense, streamed = (replacement_step(name, **size)() for name in (DENSE, STREAMED))
    assert streamed == pytest.approx(dense, rel=1e-5)


def test_a_clock_looks_before_and_after_each_direction(monkeypatch):
    monkeypatch.setattr(grea_epoch.time, "perf_counter", itertools.count().__next__)
    clock = Clock()
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = clock.time("square", torch.square, x)
    assert clock.seconds == {"square": 1}
    clock.time("sum", torch.sum, y).backward()
    assert clock.seconds == {"square": 2, "sum": 2}
    assert x.grad.tolist() == [2.0, 4.0]


def test_parts_are_timed_without_changing_what_is_learnt():
    batch = Model().batch((7, 5, 4))
    gradients = []
    for timed in (False, True):
        torch.manual_seed(0)
        model = build(CONFIG, Rationalizer).train()
        clock = in_parts(model) if timed else None
        terms = model(batch).terms
        forward = dict(clock.seconds) if clock else {}
        model.loss(terms, model.phase_at(0).weights).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
        assert clock is None or set(forward) == set(clock.seconds) == {"encoders", "grid"}
        assert all(clock.seconds[part] > seconds for part, seconds in forward.items())
    plain, with_clock = gradients
    assert {name for name, grad in plain.items() if grad is None} == {name for name, grad in with_clock.items() if grad is None}
    assert sum(grad is not None for grad in plain.values()) > 20
    torch.testing.assert_close(with_clock, plain, atol=1e-6, rtol=1e-5)


def test_what_is_no_part_is_the_rest_and_bounds_the_gain():
    benchmark = GREABenchmark(
        batch_size=4,
        batch_sizes=[2, 4],
        width=3,
        layers=2,
        gamma=0.4,
        dropout=0.5,
        predictor_dropout=0.5,
        alternate=[1, 3],
        threads=1,
        patience=5,
        peers_python="nowhere",
    )
    measured = Measured(threads=1)
    benchmark._divide(measured, "model", [{"seconds": 4.0, "parts": {"encoders": 0.5, "grid": 3.0}}])
    assert measured.facts == {"model": {"encoders": 0.5, "grid": 3.0, "rest": 0.5, "amdahl_limit": 4.0}}
    assert measured.notes == [
        "model: encoders 0.500 s (12%), grid 3.000 s (75%), rest 0.500 s (12%); Amdahl limit if only its grid were free 4.00"
    ]


def test_a_ratio_is_of_medians():
    measured = Measured(threads=1)
    slow = [{"seconds": seconds, "megabytes": 5.0} for seconds in (9.0, 6.0, 100.0)]
    measured.add({"slow": slow, "fast": [{"seconds": 3.0, "megabytes": 2.0}]}, title="both")
    measured.add({"alone": [{"seconds": 1.0}]}, title="without memory")
    assert measured.ratio("slow", "fast") == 3.0
    assert measured.megabytes == {"slow": 5.0, "fast": 2.0}
    assert [len(table.columns) for table in measured.tables] == [5, 4]
