"""Loss terms: numbers by hand, and no dependence on company."""

import math

import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.losses import decisiveness, evidence, sparsity
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets

INF = math.inf
SIZES = (5, 0, 1, 4, 2)


def of(mask, sizes, scores=None):
    mask = torch.tensor(mask, dtype=torch.float64)
    scores = torch.zeros_like(mask) if scores is None else torch.tensor(scores, dtype=torch.float64)
    return Rationale(scores, mask, offsets(torch.tensor(sizes)))


def with_evidence(truth, sizes, labelled):
    return Packed(
        units=torch.arange(len(truth)),
        ptr=offsets(torch.tensor(sizes)),
        fields={"evidence": torch.tensor(truth, dtype=torch.bool)},
        labelled=torch.tensor(labelled, dtype=torch.bool),
    )


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    n = sum(SIZES)
    fixed = torch.rand(n, generator=generator) < 0.25
    scores = torch.randn(n, generator=generator, dtype=torch.float64).masked_fill(fixed, -INF)
    mask = torch.rand(n, generator=generator, dtype=torch.float64).masked_fill(fixed, 0.0)
    batch = Packed(
        units=torch.arange(n),
        ptr=offsets(torch.tensor(SIZES)),
        fixed=fixed,
        fields={"evidence": torch.rand(n, generator=generator) < 0.5},
        labelled=torch.tensor([True, True, False, True, False]),
    )
    return Rationale(scores, mask, batch.ptr), batch


def alone(rationale, batch, b):
    rows = slice(int(batch.ptr[b]), int(batch.ptr[b + 1]))
    ptr = torch.tensor([0, rows.stop - rows.start])
    part = Packed(
        units=batch.units[rows],
        ptr=ptr,
        fixed=batch.fixed[rows],
        fields={"evidence": batch.fields["evidence"][rows]},
        labelled=batch.labelled[b : b + 1],
    )
    return Rationale(rationale.scores[rows], rationale.mask[rows], ptr), part


TERMS = [
    pytest.param(lambda rationale, batch: sparsity(rationale.share(), target=0.3), id="sparsity"),
    pytest.param(evidence, id="evidence"),
]


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("seed", range(5))
def test_the_loss_of_a_batch_is_the_mean_of_its_examples(term, seed):
    rationale, batch = drawn(seed)
    parts = torch.stack([term(*alone(rationale, batch, b)) for b in range(len(SIZES))])
    assert parts.isfinite().all()
    torch.testing.assert_close(term(rationale, batch), parts.mean())


@pytest.mark.parametrize("term", TERMS)
def test_without_units_the_loss_and_its_gradient_are_finite(term):
    scores, mask = (torch.zeros(0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    rationale = Rationale(scores, mask, torch.tensor([0, 0, 0]))
    value = term(rationale, with_evidence([], (0, 0), [True, False]))
    assert value.shape == ()
    assert value.isfinite()
    value.backward()


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_finite_and_never_of_fixed_units(term, seed):
    rationale, batch = drawn(seed)
    leaf = torch.cat([rationale.scores, rationale.mask]).requires_grad_()
    scores, mask = leaf.chunk(2)
    term(Rationale(scores, mask.masked_fill(batch.fixed, 0.0), batch.ptr), batch).backward()
    assert leaf.grad.isfinite().all()
    assert leaf.grad.any()
    assert not leaf.grad[torch.cat([batch.fixed, batch.fixed])].any()


# Sparsity


@pytest.mark.parametrize(
    ("mask", "sizes", "scores", "expected"),
    [
        ([1, 0, 0, 0], [4], None, 0.05),  # |1/4 − .2|
        ([1, 1, 0, 0.5, 0], [4, 1], None, (0.425 + 0.2) / 2),
        ([0, 1, 0], [3], [-INF, 0, 0], 0.3),  # |1/2 − .2|: the fixed unit does not count
        ([1, 0, 0, 0, 0, 1], [5, 1], None, 0.4),  # (0 + .8)/2 although the whole batch selects 2/6
        ([], [0], None, 0.2),
        ([0, 0], [2], [-INF, -INF], 0.2),
    ],
)
def test_sparsity_by_hand(mask, sizes, scores, expected):
    assert sparsity(of(mask, sizes, scores).share(), target=0.2).item() == pytest.approx(expected)


def test_sparsity_is_the_mean_distance_of_any_share():
    assert sparsity(torch.tensor([0.0, 0.5, 1.0, 0.25]), target=0.25).item() == pytest.approx((0.25 + 0.25 + 0.75 + 0) / 4)


def test_sparsity_of_weighted_examples_is_still_a_mean_over_all():
    share, weight = torch.tensor([0.0, 0.5, 1.0, 0.25]), torch.tensor([1.0, 0.0, 1.0, 0.5])
    assert sparsity(share, target=0.5, weight=weight).item() == pytest.approx((0.5 + 0 + 0.5 + 0.125) / 4)
    assert sparsity(share, target=0.5, weight=torch.ones(4)).equal(sparsity(share, target=0.5))
    assert sparsity(share, target=0.5, weight=torch.zeros(4)) == 0


def test_sparsity_pulls_towards_the_target_from_both_sides():
    for value, sign in ((0.9, 1), (0.1, -1)):
        mask = torch.full((4,), value, requires_grad=True)
        sparsity(Rationale(torch.zeros(4), mask, torch.tensor([0, 4])).share(), target=0.5).backward()
        torch.testing.assert_close(mask.grad, torch.full((4,), sign / 4))


# Evidence


def bce(score, truth):
    return math.log1p(math.exp(-score if truth else score))


def test_evidence_by_hand():
    scores = [2, -1, -INF, 0.5, 3, 0]
    batch = with_evidence([1, 0, 1, 1, 0, 1], [4, 2], [True, False])
    expected = (bce(2, 1) + bce(-1, 0) + bce(0.5, 1)) / 3 / 2  # three selectable units, two examples
    assert evidence(of([0] * 6, [4, 2], scores), batch).item() == pytest.approx(expected)


def test_evidence_of_a_score_of_zero_is_log_two():
    assert evidence(of([0, 0], [2]), with_evidence([1, 0], [2], [True])).item() == pytest.approx(math.log(2))


def test_unlabelled_examples_cost_nothing_and_get_no_gradient():
    scores = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    rationale = Rationale(scores, torch.zeros(3), torch.tensor([0, 1, 3]))
    value = evidence(rationale, with_evidence([0, 1, 0], [1, 2], [False, True]))
    assert value.item() == pytest.approx((bce(-2, 1) + bce(3, 0)) / 2 / 2)
    value.backward()
    assert scores.grad[0] == 0
    assert (scores.grad[1:] != 0).all()


def test_without_labels_the_value_and_the_gradient_are_zero():
    scores = torch.randn(3, requires_grad=True)
    value = evidence(Rationale(scores, torch.zeros(3), torch.tensor([0, 3])), with_evidence([1, 0, 1], [3], [False]))
    assert value == 0
    value.backward()
    assert scores.grad.tolist() == [0, 0, 0]


def test_data_without_evidence_cost_nothing_unless_labels_are_claimed():
    bare = Packed(units=torch.arange(3), ptr=torch.tensor([0, 3]))
    assert evidence(of([0, 1, 0], [3]), bare) == 0
    claimed = Packed(units=torch.arange(3), ptr=torch.tensor([0, 3]), labelled=torch.tensor([True]))
    with pytest.raises(ValueError, match=r"labelled examples need batch.fields\['evidence'\]; this data set has none"):
        evidence(of([0, 1, 0], [3]), claimed)


def test_evidence_of_certain_scores_stays_finite():
    batch = with_evidence([1, 0], [2], [True])
    assert evidence(of([0, 0], [2], [1e4, -1e4]), batch) == 0
    assert evidence(of([0, 0], [2], [-1e4, 1e4]), batch) == 1e4


def test_evidence_may_be_numbers_of_any_kind():
    rationale = of([0, 0], [2], [0.3, -0.7])
    expected = evidence(rationale, with_evidence([1, 0], [2], [True]))
    for dtype in (torch.long, torch.float32):
        batch = Packed(
            units=torch.arange(2),
            ptr=torch.tensor([0, 2]),
            fields={"evidence": torch.tensor([1, 0], dtype=dtype)},
            labelled=torch.tensor([True]),
        )
        assert evidence(rationale, batch) == expected


# Decisiveness


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_decisiveness_is_zero_where_all_classes_are_equal_and_log_of_them_at_certainty(classes):
    even = torch.full((2, classes), 1.5, dtype=torch.float64)
    torch.testing.assert_close(decisiveness(even), torch.zeros(2, dtype=torch.float64))
    certain = torch.zeros(1, classes, dtype=torch.float64)
    certain[0, -1] = 1e4
    assert decisiveness(certain).item() == pytest.approx(math.log(classes))


def test_decisiveness_by_hand():
    # p = (3/4, 1/4): 3/4 · log(3/2) + 1/4 · log(1/2)
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]], dtype=torch.float64)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    torch.testing.assert_close(decisiveness(logits), torch.tensor([expected, 0.0], dtype=torch.float64))


def test_decisiveness_is_the_divergence_from_uniform_and_not_to_it():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    uniform = torch.full((5, 4), 0.25, dtype=torch.float64)
    expected = torch.nn.functional.kl_div(uniform.log(), logits.softmax(-1), reduction="none").sum(-1)
    torch.testing.assert_close(decisiveness(logits), expected)
    torch.testing.assert_close(decisiveness(logits + 7), expected)


def test_decisiveness_pulls_towards_the_uniform_prediction_and_stays_finite():
    logits = torch.tensor([[2.0, 0.0, -1.0], [1e4, -1e4, 0.0], [0.5, 0.5, 0.5]], requires_grad=True)
    decisiveness(logits).sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 0] > 0 > logits.grad[0, 2]
    torch.testing.assert_close(logits.grad[2], torch.zeros(3), atol=1e-7, rtol=0)
