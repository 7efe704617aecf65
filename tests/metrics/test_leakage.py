"""How far predictions move, whether they are right, and how far two selections agree."""

from itertools import combinations

import pytest
import torch

from rationalizers.metrics.leakage import correctness, expected_overlap, overlap, prediction_change, prediction_flip
from rationalizers.segment import offsets
from rationalizers.task import BinaryTasks, Classification, Regression

CLASSES = Classification(labels=["no", "maybe", "yes"])
BINARY = BinaryTasks(targets=["toxic", "soluble"])
NUMBERS = Regression(targets=["o2", "n2"])
NAN = float("nan")


def close(found, expected):
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), equal_nan=True, atol=1e-6, rtol=0)


def test_classes_share_a_probability_that_moves():
    before = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    after = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    close(prediction_change(before, after, task=CLASSES), [0.6, 0.0, 1.0])
    close(prediction_flip(before, after, task=CLASSES), [1.0, 0.0, 1.0])


def test_answers_and_numbers_move_each_for_itself():
    before, after = torch.tensor([[0.9, 0.2], [0.4, 0.6]]), torch.tensor([[0.1, 0.4], [0.4, 0.5]])
    close(prediction_change(before, after, task=BINARY), [0.5, 0.05])
    close(prediction_flip(before, after, task=BINARY), [0.5, 0.5])
    close(prediction_change(10 * before, 10 * after, task=NUMBERS), [5.0, 0.5])
    close(prediction_flip(before, after, task=NUMBERS), [NAN, NAN])


@pytest.mark.parametrize("compare", [prediction_change, prediction_flip])
def test_predictions_must_be_of_the_same_examples(compare):
    with pytest.raises(ValueError, match=r"must both be \[B, C\], got \(3, 2\) and \(2, 2\)"):
        compare(torch.zeros(3, 2), torch.zeros(2, 2), task=CLASSES)


def test_correct_is_the_class_the_share_of_answers_or_the_distance():
    close(correctness(torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]), torch.tensor([0, 1]), task=CLASSES), [1.0, 0.0])
    p = torch.tensor([[0.9, 0.2], [0.4, 0.6], [0.4, 0.6]])
    y = torch.tensor([[1.0, 1.0], [NAN, 1.0], [NAN, NAN]])
    close(correctness(p, y, task=BINARY), [0.5, 1.0, NAN])
    close(correctness(p, y, task=NUMBERS), [-0.45, -0.4, NAN])


def test_overlap_is_what_both_select_of_what_either_does():
    ptr = offsets(torch.tensor([4, 0, 3, 2]))
    a = torch.tensor([1, 1, 0, 0, 1, 0, 1, 0, 0]).bool()
    b = torch.tensor([0, 1, 1, 0, 1, 0, 1, 0, 0]).bool()
    close(overlap(a, b, ptr), [1 / 3, NAN, 1.0, NAN])
    close(overlap(a, ~a, ptr), [0.0, NAN, 0.0, 0.0])


@pytest.mark.parametrize("other", [torch.zeros(3), torch.zeros(2).bool()])
def test_selections_are_masks_of_the_same_units(other):
    with pytest.raises(ValueError, match=r"selections must both be bool \[N\]"):
        overlap(torch.zeros(3).bool(), other, torch.tensor([0, 3]))


def test_expected_overlap_is_the_mean_over_all_pairs_of_selections():
    n = 6
    for k_a in range(n + 1):
        for k_b in range(1, n + 1):
            pairs = [(set(a), set(b)) for a in combinations(range(n), k_a) for b in combinations(range(n), k_b)]
            expected = sum(len(a & b) / len(a | b) for a, b in pairs) / len(pairs)
            found = expected_overlap(torch.tensor([k_a]), torch.tensor([k_b]), torch.tensor([n]))
            assert float(found) == pytest.approx(expected, abs=1e-12)


def test_expected_overlap_of_long_texts_is_that_of_the_hypergeometric_distribution():
    stats = pytest.importorskip("scipy.stats")
    sizes = [(200, 180, 1000), (5, 4000, 5000), (0, 3, 9), (7, 7, 7)]
    expected = []
    for k_a, k_b, n in sizes:
        x = torch.arange(min(k_a, k_b) + 1)
        weight = torch.tensor(stats.hypergeom(n, k_a, k_b).pmf(x.numpy()))
        expected.append(float((weight * x / (k_a + k_b - x)).sum()))
    found = expected_overlap(*torch.tensor(sizes).T)
    close(found, expected)
    assert expected[2:] == [0.0, pytest.approx(1.0)]


def test_two_empty_selections_have_no_overlap_to_expect():
    assert expected_overlap(*torch.tensor([[0], [0], [4]])).isnan().all()
    assert expected_overlap(*torch.zeros(3, 0).long()).shape == (0,)
    with pytest.raises(ValueError, match=r"sizes must lie in \[0, n\], got \[5\] and \[1\] of \[4"):
        expected_overlap(*torch.tensor([[5], [1], [4]]))
