"""Three ways of greedy search."""

import pytest

from experiments.greedy_benchmark import GreedyBenchmark, LockstepBenchmark
from rationalizers import language

SMALL = {"vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 1, "initializer_range": 0.5}


def benchmark():
    return GreedyBenchmark(model=SMALL, context=12, sizes=[2, 4], seed=0)


def test_all_ways_find_the_same():
    measured = benchmark().measure(rounds=1, threads=1)
    assert set(measured.ratios) == {"k2", "k2_caches", "k4", "k4_caches"}
    assert len(measured.facts["picks_k2"]) == 2
    assert measured.facts["picks_k4"][:2] == measured.facts["picks_k2"]
    assert len(measured.facts["picks_k4"]) == 4
    assert "k=4: all three ways add 11, " in measured.notes[1]


def test_different_rationales_are_not_timed(monkeypatch):
    inner = language.greedy_reference
    monkeypatch.setattr(language, "greedy_reference", lambda *given, max_size: inner(*given, max_size=max_size - 1))
    with pytest.raises(RuntimeError, match="expected one rationale of 2 tokens"):
        benchmark().measure(rounds=1, threads=1)


def test_all_tokens_in_lockstep_are_those_one_by_one():
    measured = LockstepBenchmark(model=SMALL, tokens=12, size=3, max_tokens=64, seed=0).measure(rounds=1, threads=1)
    assert set(measured.ratios) == {"lockstep", "half"}
    assert measured.facts["different"] == {"lockstep": 0, "lockstep, half precision": 0}
    assert measured.notes == ["of 11 rationales differ: {'lockstep': 0, 'lockstep, half precision': 0}"]
