"""Which entries of a grid count and their mean loss, against `rationalizers.task` on the rows written out."""

import pytest
import torch

from rationalizers.kernels.grid_entries import CRITERIA, GridEntries, check_grid, mean_loss, partners
from rationalizers.task import BinaryTasks, Classification, Regression

NAMES = [f"t{t}" for t in range(3)]
TASKS = [BinaryTasks(targets=NAMES), Regression(targets=NAMES), Classification(labels=NAMES)]
ENVIRONMENTS = [None, torch.tensor([0, 3, 3])]


def grid(task, *, rows=5, columns=3):
    logits = torch.randn(rows, columns, 3, dtype=torch.float64)
    if task.criterion == "cross_entropy":
        return logits, torch.randint(3, (rows,))
    y = (torch.randn(rows, 3, dtype=torch.float64) > 0).double()
    return logits, y.masked_fill(torch.tensor([[0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]).bool(), torch.nan)


@pytest.mark.parametrize("environments", ENVIRONMENTS, ids=["all pairs", "other rows only"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.criterion)
def test_the_mean_loss_is_that_of_the_task_on_the_rows(task, environments):
    logits, y = grid(task)
    pairs = [(i, j) for i in range(5) for j in range(3) if environments is None or environments[j] != i]
    rows, owners = torch.stack([logits[i, j] for i, j in pairs]), torch.tensor([i for i, _ in pairs])
    ours = mean_loss(logits, y, criterion=task.criterion, environments=environments)
    torch.testing.assert_close(ours, task.loss(rows, y[owners]))
    assert len(pairs) == partners(5, 3, environments=environments, device=y.device).sum()


@pytest.mark.parametrize("environments", ENVIRONMENTS, ids=["all pairs", "other rows only"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.criterion)
def test_blocks_add_up_to_the_mean_loss_and_its_gradient(task, environments):
    logits, y = grid(task)
    logits.requires_grad_()
    expected = mean_loss(logits, y, criterion=task.criterion, environments=environments)
    entries = GridEntries.of(task.criterion, y, columns=3, environments=environments, outputs=3, wide=torch.float64)
    loss, gradients = 0.0, []
    for rows in (range(2), range(2, 5)):
        block = logits.detach()[rows.start : rows.stop]
        part, share = entries.loss(block, rows)
        loss += part
        gradients.append(entries.gradient(block, share, rows))
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(torch.cat(gradients), *torch.autograd.grad(expected, logits))


def test_a_row_counts_the_environments_of_others():
    assert partners(4, 3, environments=torch.tensor([0, 3, 3]), device=torch.device("cpu")).tolist() == [2, 3, 3, 1]
    with pytest.raises(ValueError, match=r"'environments' must be rows from 0 to 3, got \[0, 4\]"):
        partners(4, 2, environments=torch.tensor([0, 4]), device=torch.device("cpu"))


def test_every_task_has_a_criterion_of_the_grid():
    assert {task.criterion for task in TASKS} == set(CRITERIA)


def test_a_class_without_a_logit_is_named():
    with pytest.raises(ValueError, match=r"'targets' must be classes from 0 to 2, got \[-100, 1\]"):
        GridEntries.of("cross_entropy", torch.tensor([1, -100]), columns=2, environments=None, outputs=3, wide=torch.float32)


A, B, Y = torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(4, 3)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (
            {"criterion": "hinge"},
            ValueError,
            "'criterion' must be one of binary_cross_entropy, squared_error, cross_entropy; got",
        ),
        ({"a": A.long()}, TypeError, "'a' must be floating, got torch.int64"),
        ({"b": B.bool()}, TypeError, "'b' must be floating, got torch.bool"),
        ({"b": B.T}, ValueError, r"'a' and 'b' must be \[B, H\] and \[K, H\], got \(4, 2\) and \(2, 3\)"),
        ({"targets": Y[:3]}, ValueError, r"'targets' must be \[4, 3\] for squared_error, got \[3, 3\]"),
        ({"targets": Y.long()}, TypeError, "'targets' must be floating for squared_error, got torch.int64"),
        ({"criterion": "cross_entropy"}, ValueError, r"'targets' must be \[4\] for cross_entropy, got \[4, 3\]"),
        ({"criterion": "cross_entropy", "targets": Y[:, 0]}, TypeError, "'targets' must be int64 class indices"),
        ({"environments": torch.arange(4)}, ValueError, r"'environments' must be int64 \[3\].*got torch.int64 \(4,\)"),
        ({"environments": torch.zeros(3)}, ValueError, "got torch.float32"),
        ({"others_only": True}, ValueError, "'others_only' with 3 columns of 4 rows needs 'environments'"),
    ],
)
def test_what_makes_no_grid_is_named(changed, error, message):
    given = {"a": A, "b": B, "targets": Y, "criterion": "squared_error", "environments": None, "others_only": False, **changed}
    with pytest.raises(error, match=message):
        check_grid(given.pop("a"), given.pop("b"), given.pop("targets"), outputs=3, **given)


def test_only_pairs_with_oneself_ask_where_columns_come_from():
    environments = torch.tensor([1, 2, 0])
    given = {"outputs": 3, "criterion": "squared_error"}
    assert check_grid(A, B, Y, environments=environments, others_only=False, **given) is None
    assert check_grid(A, B, Y, environments=environments, others_only=True, **given) is environments
    assert check_grid(A, A, Y, environments=None, others_only=True, **given).tolist() == [0, 1, 2, 3]
