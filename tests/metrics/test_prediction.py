"""How well targets are predicted, against scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

from rationalizers.metrics.prediction import prediction_metric
from rationalizers.task import BinaryTasks, Regression, Task

NAN = math.nan


def test_roc_auc_is_the_mean_over_targets_with_both_answers():
    task, logits = BinaryTasks(targets=["a", "b", "always"]), torch.randn(30, 3)
    y = (torch.rand(30, 3) > 0.4).float()
    y[:, 2] = 1.0
    y[::4, 1] = NAN
    metric = prediction_metric(task)
    for rows in (slice(0, 7), slice(7, 30)):
        metric.update(task.predict(logits[rows]), y[rows])
    known = ~y[:, 1].isnan()
    expected = (roc_auc_score(y[:, 0], logits[:, 0]) + roc_auc_score(y[known, 1], logits[known, 1])) / 2
    right = [((logits[:, 0] > 0) == (y[:, 0] > 0)).double().mean(), ((logits[known, 1] > 0) == (y[known, 1] > 0)).double().mean()]
    found = metric.compute()
    assert float(found["roc_auc"]) == pytest.approx(expected)
    assert float(found["accuracy"]) == pytest.approx(float(sum(right)) / 2)
    metric.reset()
    metric.update(torch.tensor([[0.9, 0.9, 0.9]]), torch.tensor([[1.0, 0.0, NAN]]))
    assert math.isnan(metric.compute()["roc_auc"])


def test_regression_scores_are_those_of_scikit_learn():
    task, y = Regression(targets=["a", "b"]), torch.randn(40, 2) * torch.tensor([1.0, 900.0]) + 5
    predictions = y + torch.randn(40, 2) * torch.tensor([0.3, 400.0])
    holes = y.clone()
    holes[::5, 1] = NAN
    metric = prediction_metric(task)
    for rows in (slice(0, 1), slice(1, 40)):
        metric.update(predictions[rows], holes[rows])
    known = ~holes[:, 1].isnan()
    pairs = [(y[:, 0].double(), predictions[:, 0].double()), (y[known, 1].double(), predictions[known, 1].double())]
    found = metric.compute()
    assert float(found["r2"]) == pytest.approx(sum(r2_score(*pair) for pair in pairs) / 2)
    assert float(found["rmse"]) == pytest.approx(float(sum((a - b).square().mean().sqrt() for a, b in pairs)) / 2)
    assert float(found["mae"]) == pytest.approx(sum(mean_absolute_error(*pair) for pair in pairs) / 2)


def test_a_target_that_does_not_vary_has_no_r2():
    metric = prediction_metric(Regression(targets=["a"]))
    metric.update(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [3.0]]))
    found = metric.compute()
    assert math.isnan(found["r2"])
    assert float(found["mae"]) == 1.5


def test_another_kind_of_task_must_bring_its_metric():
    class Ranking(Task):
        def entries(self, logits, y): ...

        def predict(self, logits): ...

    with pytest.raises(TypeError, match="no metric is registered for Ranking"):
        prediction_metric(Ranking())
