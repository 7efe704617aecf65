import numpy as np
import pytest

from rationalizers.probes.probe import Probe, chance, later, overlap


def test_overlap_is_intersection_over_union_and_the_parts_of_a_pooled_f1():
    assert overlap([1, 2, 3], [2, 3, 4, 5]) == {"iou": (2 / 5, 1.0), "f1": (4.0, 7.0)}
    assert overlap([], [1])["iou"] == (0.0, 1.0)
    assert overlap([], [])["f1"] == (0.0, 0.0)


def test_chance_is_that_of_random_sets_with_the_last_place_in_them():
    # Of two places besides the last one is drawn, of which one is wanted: half of the time 2 of 2, else 1.
    found = chance(2, [0, 1, 2], {0, 2}, seed=0, draws=4000)
    assert found["iou_random"][0] == pytest.approx((1 + 1 / 3) / 2, abs=0.02)
    assert found["f1_random"] == (pytest.approx(3.0, abs=0.05), 4.0)
    # Everything is everything.
    assert chance(3, [0, 1, 2], {0, 2}, seed=0)["iou_random"] == (pytest.approx(2 / 3), 1.0)
    assert chance(2, [0, 1, 2], {0}, seed=5) == chance(2, [0, 1, 2], {0}, seed=5)


def test_numbers_are_ratios_of_sums_with_gaps_to_greedy_search():
    rows = [("greedy", {"length": (float(x), 1.0), "f1": (1.0, 2.0)}) for x in (1, 2, 3, 4)]
    rows += [("other", {"length": (x + 2.0, 1.0), "only": (1.0, 1.0)}) for x in (1, 2, 3, 4)]
    probe = Probe.of("test", "model", {"examples": 4}, rows)
    assert probe.numbers() == ["length", "f1", "only"]
    assert probe.value("greedy", "length").value == 2.5
    assert probe.value("greedy", "f1").value == 0.5
    gap = probe.gap("other", "length")
    assert (gap.value, gap.low, gap.high) == (2.0, 2.0, 2.0)
    record = probe.record()
    assert record["numbers"]["other"]["length"]["minus_greedy"]["value"] == 2.0
    assert "minus_greedy" not in record["numbers"]["other"]["only"]
    assert "minus_greedy" not in record["numbers"]["greedy"]["length"]


def test_examples_without_a_number_do_not_count():
    rows = [("greedy", {"ratio": part}) for part in ((2.0, 1.0), (0.0, 0.0), (4.0, 1.0))]
    found = Probe.of("test", "model", {}, rows).value("greedy", "ratio")
    assert (found.value, found.examples) == (3.0, 2)


def test_progress_of_a_part_is_told_as_that_of_all():
    told = []
    later(lambda done, total: told.append((done, total)), 10, 30)(3, 10)
    assert told == [(13, 30)]
    assert later(None, 10, 30) is None
    assert np.isfinite(told).all()
