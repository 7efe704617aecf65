"""What is predicted: names, loss and probabilities."""

import math

import pytest
import torch

from rationalizers.task import Task


def test_a_class_index_is_the_place_of_its_name():
    task = Task(labels=["neg", "pos", "mixed"])
    assert task.labels == ("neg", "pos", "mixed")
    assert task.outputs == 3


def test_the_loss_of_each_example_is_its_cross_entropy():
    loss = Task(labels=["a", "b"]).loss(torch.tensor([[0.0, 0.0], [3.0, 1.0]]), torch.tensor([1, 0]))
    assert loss.tolist() == pytest.approx([math.log(2), math.log(1 + math.exp(-2))])


def test_the_loss_does_not_depend_on_company():
    task, logits, y = Task(labels=["a", "b", "c"]), torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    apart = torch.cat([task.loss(logits[b : b + 1], y[b : b + 1]) for b in range(5)])
    torch.testing.assert_close(task.loss(logits, y), apart)


def test_the_gradient_is_probability_minus_truth():
    task, logits = Task(labels=["a", "b", "c"]), torch.randn(2, 3, requires_grad=True)
    task.loss(logits, torch.tensor([2, 0])).sum().backward()
    truth = torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    torch.testing.assert_close(logits.grad, (task.probabilities(logits) - truth).detach())


def test_probabilities_are_a_distribution_over_classes():
    probabilities = Task(labels=["a", "b"]).probabilities(torch.tensor([[0.0, math.log(3)], [500.0, -500.0]]))
    torch.testing.assert_close(probabilities, torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    assert Task(labels=["a", "b"]).probabilities(torch.zeros(0, 2)).shape == (0, 2)


@pytest.mark.parametrize("labels", [[], ["one"], ["a", "b", "a"]])
def test_names_must_be_several_and_different(labels):
    with pytest.raises(ValueError, match="'labels' must be at least two different names, got"):
        Task(labels=labels)
