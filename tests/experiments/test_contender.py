"""A contender waits for its turns in a process of its own."""

import sys

import pytest

from experiments.contender import Contender

STAGED = """
import os
print("a library talks")

def prepare(*, start):
    def build():
        count = start
        def turn():
            nonlocal count
            count += 1
            print("talks again")
            if count == 13:
                raise ValueError("no thirteenth turn")
            return {
                "count": count,
                "process": os.getpid(),
                "threads": os.environ["OMP_NUM_THREADS"],
                "policy": os.environ["OMP_WAIT_POLICY"],
            }
        return turn
    return build
"""


@pytest.fixture
def staged(tmp_path, monkeypatch):
    (tmp_path / "staged_contender.py").write_text(STAGED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "staged_contender:prepare"


def test_turns_are_taken_one_at_a_time_in_one_process(staged):
    with (
        Contender(staged, {"start": 3}, threads=2) as one,
        Contender(staged, {"start": 7}, threads=1, python=sys.executable) as two,
    ):
        turns = [contender.turn() for contender in (one, two, one)]
    assert [turn["count"] for turn in turns] == [4, 8, 5]
    assert [turn["threads"] for turn in turns] == ["2", "1", "2"]
    assert {turn["policy"] for turn in turns} == {"passive"}
    assert turns[0]["process"] == turns[2]["process"] != turns[1]["process"]
    assert all(turn["seconds"] > 0 for turn in turns)


def test_what_a_turn_needs_at_most_counts_from_its_beginning(staged, tmp_path):
    (tmp_path / "large_contender.py").write_text(
        "def prepare(*, before, during):\n"
        "    kept = b'x' * (before * 2**20)\n"
        "    return lambda: lambda: {'sizes': [len(kept), len(b'x' * (during * 2**20))]}\n"
    )
    with Contender("large_contender:prepare", {"before": 96, "during": 64}, threads=1) as contender:
        assert contender.turn()["megabytes"] == pytest.approx(64, abs=8)
        assert contender.turn()["megabytes"] == pytest.approx(64, abs=8)


def test_one_that_fails_is_not_waited_for(staged, capfd):
    with Contender(staged, {"start": 12}, threads=1) as contender, pytest.raises(RuntimeError, match=r"staged_contender:prepare"):
        contender.turn()
    assert "no thirteenth turn" in capfd.readouterr().err
