"""What probabilities tell of a rationale: by hand, and against SciPy."""

import math

import pytest
import torch
from scipy.stats import entropy

from rationalizers.metrics.eraser import faithfulness_scores
from rationalizers.metrics.faithfulness import Faithfulness, aopc, divergence, entropy_fall, fall, flip_fraction

LOG2 = math.log(2)


def drawn(*shape, seed=0):
    return torch.rand(*shape, 4, generator=torch.Generator().manual_seed(seed)).softmax(-1).float()


def test_a_fall_is_that_of_what_was_predicted():
    whole = torch.tensor([[0.75, 0.25], [0.25, 0.75], [0.25, 0.75]])
    changed = torch.tensor([[0.5, 0.5], [0.0, 1.0], [0.5, 0.5]])
    # The last one predicted the less probable class.
    assert fall(whole, changed, torch.tensor([0, 1, 0])).tolist() == [0.25, -0.25, -0.25]
    several = torch.stack([changed, whole])
    assert fall(whole, several, torch.tensor([0, 1, 0])).tolist() == [[0.25, -0.25, -0.25], [0, 0, 0]]


def test_entropies_and_divergences_by_hand():
    certain, even = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    assert entropy_fall(even, certain).tolist() == pytest.approx([LOG2])
    assert entropy_fall(certain, even).tolist() == pytest.approx([-LOG2])
    # The ablated distribution comes first: what was even and becomes certain costs log 2, the other way is impossible.
    assert divergence(even, certain).tolist() == pytest.approx([LOG2])
    assert divergence(certain, even).tolist() == [math.inf]
    assert divergence(certain, certain).tolist() == [0]


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_entropies_and_divergences_are_those_of_scipy(scale):
    whole, changed = scale * drawn(5), scale * drawn(2, 5, seed=1)
    expected = entropy(whole.double().numpy(), axis=-1) - entropy(changed.double().numpy(), axis=-1)
    torch.testing.assert_close(entropy_fall(whole, changed), torch.from_numpy(expected))
    expected = entropy(changed.double().numpy(), whole.double().expand(2, -1, -1).numpy(), axis=-1)
    torch.testing.assert_close(divergence(whole, changed), torch.from_numpy(expected))


def test_the_area_is_a_mean_over_sizes():
    assert aopc(torch.tensor([[0.0, 0.5], [1.0, 0.5]])).tolist() == [0.5, 0.5]


def test_flips_are_shares_of_a_document():
    assert flip_fraction(torch.tensor([0, 3, 4]), torch.tensor([5, 4, 4])).tolist() == [0, 0.75, 1]


@pytest.mark.parametrize(("flips", "lengths"), [([5], [4]), ([-1], [4]), ([0], [0])])
def test_counts_outside_of_the_document_are_named(flips, lengths):
    with pytest.raises(ValueError, match=r"'flips' must be counts from 0 to the length .* got \[-?\d\] of \[\d\]"):
        flip_fraction(torch.tensor(flips), torch.tensor(lengths))


def test_all_numbers_by_hand():
    whole = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.float64)
    even, same = torch.full_like(whole, 0.5), whole
    at = torch.stack([even, same])
    metric = Faithfulness((0.1, 0.5))
    metric.update(whole, even, same, without_at=at, alone_at=at.flip(0))
    found = {name: float(value) for name, value in metric.compute().items()}
    h = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    expected = {
        "comprehensiveness": 0.25,
        "comprehensiveness_entropy": h - LOG2,
        "comprehensiveness_kl": 0.5 * (math.log(0.5 / 0.75) + math.log(0.5 / 0.25)),
        "comprehensiveness_aopc": 0.125,
        "comprehensiveness@0.1": 0.25,
        "comprehensiveness@0.5": 0,
        "sufficiency": 0,
        "sufficiency_entropy": 0,
        "sufficiency_kl": 0,
        "sufficiency_aopc": 0.125,
        "sufficiency@0.1": 0,
        "sufficiency@0.5": 0.25,
    }
    assert found == pytest.approx(expected)
    assert list(found) == list(expected)


def test_what_was_predicted_need_not_be_the_most_probable():
    whole, changed = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.5, 0.5]])
    found = faithfulness_scores(whole, changed, changed, predicted=torch.tensor([1]))
    assert found["comprehensiveness"] == -0.25
    assert faithfulness_scores(whole, changed, changed, predicted=None)["comprehensiveness"] == 0.25


def test_batches_and_processes_add_up():
    whole, without, alone = (drawn(7, seed=seed) for seed in range(3))
    without_at, alone_at = drawn(3, 7, seed=3), drawn(3, 7, seed=4)
    at = (0.01, 0.1, 0.5)
    expected = faithfulness_scores(whole, without, alone, predicted=None, without_at=without_at, alone_at=alone_at, thresholds=at)
    left, right = Faithfulness(at), Faithfulness(at)
    for metric, rows in ((left, slice(0, 2)), (right, slice(2, 3)), (right, slice(3, 7))):
        metric.update(whole[rows], without[rows], alone[rows], without_at=without_at[:, rows], alone_at=alone_at[:, rows])
    left.merge_state(right)
    assert {name: float(value) for name, value in left.compute().items()} == pytest.approx(expected)
    left.reset()
    left.update(whole, without, alone, without_at=without_at, alone_at=alone_at)
    assert {name: float(value) for name, value in left.compute().items()} == pytest.approx(expected)


def test_one_impossible_class_makes_the_mean_divergence_infinite():
    whole, changed = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    found = faithfulness_scores(whole, changed, whole, predicted=None)
    assert (found["comprehensiveness_kl"], found["sufficiency_kl"]) == (math.inf, 0)


def test_without_examples_there_is_no_number():
    metric, none = Faithfulness((0.5,)), drawn(0)
    metric.update(none, none, none, without_at=none[None], alone_at=none[None])
    found = metric.compute()
    assert all(math.isnan(value) for value in found.values())
    assert len(found) == 10


@pytest.mark.parametrize(
    ("thresholds", "change", "message"),
    [
        (None, {"without": drawn(2)}, r"'whole' and 'without' must both be \[B, C\], got \(3, 4\) and \(2, 4\)"),
        (None, {"alone": drawn(3)[0]}, "'whole' and 'alone' must both be"),
        (None, {"without_at": drawn(1, 3)}, r"'without_at' must be None without 'thresholds', got \(1, 3, 4\)"),
        ((0.1, 0.2), {}, r"'without_at' must be \[F, B, C\] = \[2, 3, 4\], got None"),
        ((0.1, 0.2), {"without_at": drawn(2, 3), "alone_at": drawn(1, 3)}, r"'alone_at' must be .* got \(1, 3, 4\)"),
        (None, {"predicted": torch.tensor([0, 1])}, r"'predicted' must be \[B=3\] classes below 4, got \[0, 1\]"),
        (None, {"predicted": torch.tensor([0, 1, 4])}, r"got \[0, 1, 4\]"),
    ],
)
def test_shapes_that_do_not_fit_are_named(thresholds, change, message):
    given = {"whole": drawn(3), "without": drawn(3), "alone": drawn(3), **change}
    with pytest.raises(ValueError, match=message):
        Faithfulness(thresholds).update(given.pop("whole"), given.pop("without"), given.pop("alone"), **given)
