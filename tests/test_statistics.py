"""Intervals over examples: what they cover, and what they are paired by."""

import math

import numpy as np
import pytest
from scipy import stats

from rationalizers.statistics import Gap, difference, estimate


def test_a_mean_has_the_interval_that_scipy_has():
    x = np.random.default_rng(0).normal(2, 1, 80)
    ours = estimate(x, np.ones(80), resamples=4000)
    theirs = stats.bootstrap((x,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1))
    assert ours.value == pytest.approx(x.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)
    assert ours.examples == 80


def test_a_pooled_number_is_a_ratio_of_sums():
    hits, size = np.array([1.0, 0, 4]), np.array([2.0, 3, 5])
    assert estimate(hits, size).value == 0.5
    low, high = estimate(hits, size).low, estimate(hits, size).high
    assert 0 <= low < 0.5 < high <= 0.8


def test_seeds_are_averaged_and_draw_the_same_examples():
    a = np.array([[1.0, 0, 1, 0], [0, 1, 0, 1]])
    found = estimate(a, np.ones_like(a))
    # In every resample what one seed gains the other loses.
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_unknown_examples_do_not_count():
    a, b = np.array([1.0, 0, 1, 0]), np.array([1.0, 1, 1, 0])
    assert estimate(a, b).examples == 3
    assert estimate(a, b).value == pytest.approx(2 / 3)
    assert estimate(a[:3], b[:3]) == estimate(a, b)


def test_without_examples_nothing_is_known():
    for size in (0, 1):
        found = estimate(np.ones(size), np.ones(size))
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    assert math.isnan(estimate(np.ones(0), np.ones(0)).value)
    assert math.isnan(difference((np.ones(1), np.ones(1)), (np.ones(1), np.ones(1))).p)


def test_a_difference_on_the_same_examples_is_surer_than_its_parts():
    noise = np.random.default_rng(3).normal(0, 5, 200)
    ones = np.ones(200)
    gap = difference((noise + 0.5, ones), (noise, ones))
    assert isinstance(gap, Gap)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.5, 0.5, 0.5))
    assert gap.p == 2 / 2000
    wide = estimate(noise, ones)
    assert wide.high - wide.low > 1


def test_equal_methods_do_not_differ():
    draw = np.random.default_rng(4)
    a, b = (draw.integers(0, 2, 300).astype(float) for _ in range(2))
    gap = difference((a, np.ones(300)), (b, np.ones(300)))
    assert gap.low < 0 < gap.high
    assert gap.p > 0.05
    same = difference((a, np.ones(300)), (a, np.ones(300)))
    assert (same.value, same.p) == (0, 1)


def test_p_values_of_no_difference_are_about_uniform():
    draw = np.random.default_rng(5)
    small = 0
    for _ in range(200):
        a, b = draw.normal(size=(2, 60))
        small += difference((a, np.ones(60)), (b, np.ones(60)), resamples=400).p < 0.1
    assert 8 <= small <= 36


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"must both be \[S, B\]"):
        estimate(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="the same examples, got 3 and 4"):
        difference((np.ones(3), np.ones(3)), (np.ones(4), np.ones(4)))


def test_many_examples_are_drawn_in_parts():
    x = np.random.default_rng(6).normal(size=5000)
    found = estimate(x, np.ones(5000), resamples=1700)
    assert found.low < x.mean() < found.high
