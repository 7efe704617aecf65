"""What is predicted: names, loss, and what a reader gets."""

import math

import pytest
import torch

from rationalizers.task import BinaryTasks, Classification, Regression

NAN = math.nan


# Classes --------------------------------------------------------------------------------------------------------------


def test_a_class_index_is_the_place_of_its_name():
    task = Classification(labels=["neg", "pos", "mixed"])
    assert task.labels == task.names == ("neg", "pos", "mixed")
    assert task.outputs == 3


def test_the_loss_of_each_example_is_its_cross_entropy():
    task, logits, y = Classification(labels=["a", "b"]), torch.tensor([[0.0, 0.0], [3.0, 1.0]]), torch.tensor([1, 0])
    loss, labelled = task.entries(logits, y)
    assert loss[:, 0].tolist() == pytest.approx([math.log(2), math.log(1 + math.exp(-2))])
    assert labelled.all()
    assert float(task.loss(logits, y)) == pytest.approx((math.log(2) + math.log(1 + math.exp(-2))) / 2)


def test_the_gradient_is_probability_minus_truth():
    task, logits = Classification(labels=["a", "b", "c"]), torch.randn(2, 3, requires_grad=True)
    task.loss(logits, torch.tensor([2, 0])).backward()
    truth = torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    torch.testing.assert_close(logits.grad, (task.predict(logits) - truth).detach() / 2)


def test_probabilities_are_a_distribution_over_classes():
    task = Classification(labels=["a", "b"])
    probabilities = task.predict(torch.tensor([[0.0, math.log(3)], [500.0, -500.0]]))
    torch.testing.assert_close(probabilities, torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    assert task.predict(torch.zeros(0, 2)).shape == (0, 2)


@pytest.mark.parametrize("labels", [[], ["one"], ["a", "b", "a"]])
def test_names_must_be_several_and_different(labels):
    with pytest.raises(ValueError, match="'labels' must be at least two different names, got"):
        Classification(labels=labels)


# Yes or no ------------------------------------------------------------------------------------------------------------


def test_unknown_answers_neither_count_nor_teach():
    task = BinaryTasks(targets=["toxic", "soluble"])
    logits = torch.tensor([[0.0, 5.0], [math.log(3), 0.0]], requires_grad=True)
    loss = task.loss(logits, torch.tensor([[1.0, NAN], [1.0, 0.0]]))
    assert float(loss.detach()) == pytest.approx((math.log(2) + math.log(4 / 3) + math.log(2)) / 3)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.5, 0.0], [-0.25, 0.5]]) / 3)


def test_without_any_answer_the_loss_is_zero():
    logits = torch.randn(2, 1, requires_grad=True)
    loss = BinaryTasks(targets=["toxic"]).loss(logits, torch.full((2, 1), NAN))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_answers_must_have_the_shape_of_the_logits():
    with pytest.raises(ValueError, match=r"'y' must be \[B, T\] like the logits \(3, 1\), got \(3,\)"):
        BinaryTasks(targets=["a"]).loss(torch.zeros(3, 1), torch.zeros(3))


@pytest.mark.parametrize("targets", [[], ["a", "a"]])
@pytest.mark.parametrize("kind", [BinaryTasks, Regression])
def test_targets_must_have_different_names(kind, targets):
    with pytest.raises(ValueError, match="'targets' must be different names, at least one; got"):
        kind(targets=targets)


# Numbers --------------------------------------------------------------------------------------------------------------


def test_numbers_are_learnt_on_their_scale_and_told_in_their_unit():
    task = Regression(targets=["o2"], unit="Barrer", transform="log10", mean=[2.0], std=[0.5])
    y = torch.tensor([[100.0], [1000.0], [NAN]])
    torch.testing.assert_close(task.targets(y)[:2], torch.tensor([[0.0], [2.0]]))
    torch.testing.assert_close(task.predict(torch.tensor([[0.0], [2.0], [-2.0]])), torch.tensor([[100.0], [1000.0], [10.0]]))
    assert float(task.loss(torch.tensor([[1.0], [0.0], [9.0]]), y)) == pytest.approx((1 + 4) / 2)


def test_what_was_learnt_exactly_is_told_exactly():
    task, y = Regression(targets=["a", "b"], mean=[3.0, -1.0], std=[2.0, 7.0]), torch.randn(5, 2)
    torch.testing.assert_close(task.predict(task.targets(y)), y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transform": "sqrt"}, "'transform' must be one of none, log10; got 'sqrt'"),
        ({"mean": [1.0, 2.0]}, "'mean' and 'std' must be 1 numbers, the latter positive"),
        ({"std": [0.0]}, "'mean' and 'std' must be 1 numbers, the latter positive"),
    ],
)
def test_a_scale_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Regression(targets=["a"], **changes)
