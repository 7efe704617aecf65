"""Whole steps with and without the operators: the same loss and the same gradients."""

import pytest
import torch

from experiments.step_benchmark import EAGER, NO_TWINS, OURS, StepBenchmark, eager_formulas, grea, noise
from rationalizers import absence
from rationalizers.kernels import segment_topk, split_pool, swap_grid

NOISE = {"layers": 1, "width": 16, "heads": 2, "examples": 3, "units": 12}
GREA = {"graphs": 6, "nodes": 8, "width": 8, "layers": 2, "dropout": 0.0}


@pytest.mark.parametrize(("prepare", "settings"), [(noise, NOISE), (grea, GREA)], ids=["noise", "grea"])
def test_every_path_takes_the_same_steps(prepare, settings):
    losses = {}
    for paths in (OURS, NO_TWINS, EAGER):
        step = prepare(**settings, paths=paths)()
        torch.manual_seed(3)  # of the dropout
        losses[paths] = [step()["loss"] for _ in range(3)]
    assert len(set(losses[OURS])) == 3  # it learns
    assert losses[NO_TWINS] == losses[OURS]
    assert losses[EAGER] == pytest.approx(losses[OURS], rel=1e-4)


@pytest.mark.parametrize(("prepare", "settings"), [(noise, NOISE), (grea, GREA)], ids=["noise", "grea"])
def test_eager_formulas_take_the_place_of_operators(monkeypatch, prepare, settings):
    called = []
    for module, name in (
        (split_pool, "split_pool_reference"),
        (segment_topk, "segment_topk_reference"),
        (swap_grid, "swap_grid_dense"),
    ):
        formula = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, formula=formula, **named: called.append(formula.__name__) or formula(*given, **named)
        )
    prepare(**settings, paths=EAGER)()()
    other = {"noise": "segment_topk_reference", "grea": "swap_grid_dense"}[prepare.__name__]
    assert set(called) == {"split_pool_reference", other}


def test_afterwards_operators_are_back():
    before = absence.blend
    with eager_formulas():
        assert absence.blend is not before
    assert absence.blend is before


@pytest.mark.slow
def test_contenders_take_turns():
    rounds = {"noise": 1, "grea": 2}
    measured = StepBenchmark(noise=NOISE, grea=GREA, rounds=rounds, alone=["noise"], threads=1).measure(rounds=9, threads=9)
    assert {name: len(times) for name, times in measured.seconds.items()} == {
        "noise, ours": 1,
        "noise, eager": 1,
        "grea, ours": 2,
        "grea, eager": 2,
    }
    assert set(measured.ratios) == {"noise_eager", "grea_eager"}
    assert measured.facts["device"] == "cpu"
    assert len(measured.tables) == 2
