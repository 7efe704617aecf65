"""The benchmark of ERASER's numbers times what it says, on data of the sizes it says."""

from itertools import pairwise
from pathlib import Path
from statistics import mean, median

import pytest
import torch
import yaml
from hydra.utils import instantiate

from experiments.eraser_benchmark import EraserBenchmark, draw
from rationalizers.metrics.eraser import hard_scores, soft_scores

CONFIG = Path(__file__).parent.parent.parent / "conf" / "bench" / "eraser.yaml"
SIZE = {"documents": 60, "tokens": 50, "spans": 2.5, "share": 0.2}


def test_data_have_the_sizes_that_were_asked_for():
    lists = draw(**SIZE, spread=0.5)
    assert len(lists.scores) == len(lists.gold) == len(lists.predicted) == 60
    assert mean(len(scores) for scores in lists.scores) == pytest.approx(50, rel=0.3)
    assert mean(len(spans) for spans in lists.gold) == pytest.approx(2.5, rel=0.3)
    share = sum(end - start for spans in lists.gold for start, end in spans) / sum(len(scores) for scores in lists.scores)
    assert share == pytest.approx(0.2, rel=0.3)
    for spans, scores in zip(lists.predicted, lists.scores, strict=True):
        assert all(0 <= start < end <= len(scores) for start, end in spans)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert draw(**SIZE, spread=0.5) == lists


def test_arrays_hold_what_the_lists_do():
    lists = draw(**SIZE, spread=0.5)
    hard, scores, truth, ptr = lists.arrays()
    assert hard.gold.tolist() == [[key, *span] for key, spans in enumerate(lists.gold) for span in spans]
    assert [part.tolist() for part in scores.split(torch.diff(ptr).tolist())] == lists.scores
    for key, part in enumerate(truth.split(torch.diff(ptr).tolist())):
        assert part.nonzero().flatten().tolist() == sorted({t for start, end in lists.gold[key] for t in range(start, end)})
    # Predictions are neither perfect nor worthless, and scores know something.
    assert 0.3 < hard_scores(hard)["exact_f1"] < 0.9
    assert 0.6 < soft_scores(scores, truth, ptr)["token_roc_auc"] < 0.95


def test_the_headline_is_the_script_over_hard_and_soft_together():
    script = {"iou": 1.0, "tokens": 2.0, "soft": 3.0}
    sets = {"small": {**SIZE, "script": script}, "smaller": {**SIZE, "documents": 3, "script": script}}
    measured = EraserBenchmark(sets=sets, spread=0.5, thresholds=[0.5]).measure(rounds=2, threads=torch.get_num_threads())
    assert list(measured.ratios) == list(sets)
    assert {name: len(seconds) for name, seconds in measured.seconds.items()} == {
        f"{name}, {part}": 2 for name in sets for part in ("hard", "soft", "from lists")
    }
    ours = median(measured.seconds["small, hard"]) + median(measured.seconds["small, soft"])
    assert measured.ratios["small"] == pytest.approx(6 / ours)
    assert measured.facts == {"script_seconds": {name: script for name in sets}}
    assert measured.tables[0].row_count == 2
    assert "not side by side" in measured.notes[0]


def test_the_configuration_is_that_of_five_test_sets():
    benchmark = instantiate(yaml.safe_load(CONFIG.read_text("utf-8")))
    sizes = {name: (size["documents"], size["tokens"]) for name, size in benchmark.sets.items()}
    expected = {"movies": (200, 774), "boolq": (2817, 3583), "fever": (6111, 327), "multirc": (4848, 303), "esnli": (16429, 16)}
    assert sizes == expected
    assert all(set(size["script"]) == {"iou", "tokens", "soft"} for size in benchmark.sets.values())
