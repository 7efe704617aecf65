"""The predictor of graphs: every rationale beside every environment as if all rows had been formed."""

import pytest
import torch
from torch import nn

from graph.predictor import GraphPredictor
from rationalizers.kernels.grid_dropout import grid_mask, kept_share
from rationalizers.task import BinaryTasks, Classification, Regression

B, D = 6, 4
NAMES = ["p", "q", "r"]
TASKS = {
    "binary": BinaryTasks(targets=NAMES),
    "one regression": Regression(targets=["p"], transform="log10", mean=[0.3], std=[1.7]),
    "regressions": Regression(targets=NAMES, mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 3.0]),
    "classes": Classification(labels=NAMES),
}
SUBSET = torch.tensor([4, 1, 2])
PAIRS = {
    "all pairs": (None, False),
    "others only": (None, True),
    "subset": (SUBSET, False),
    "others of a subset": (SUBSET, True),
    "an environment twice": (torch.tensor([4, 4, 0]), True),
}


class Masked(nn.Module):
    """Dropout whose mask is given."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def forward(self, h):
        return h * self.kept


def predictor_of(task, *, dropout=0.0, linear=False, dtype=torch.float64):
    predictor = GraphPredictor(D, outputs=task.outputs, dropout=dropout, linear=linear).to(dtype)
    if predictor.norm is not None:
        for tensor in (predictor.norm.weight, predictor.norm.bias, predictor.norm.running_mean):
            nn.init.normal_(tensor)
        nn.init.uniform_(predictor.norm.running_var, 0.5, 2.0)
    return predictor


def twin(predictor, kept):
    """The layers of a predictor, with parameters of its own that start alike and dropout that keeps what is given."""
    copy = GraphPredictor(D, outputs=predictor.head.out_features, dropout=0.0, linear=predictor.hidden is None).to(
        predictor.head.weight.dtype
    )
    copy.load_state_dict(predictor.state_dict())
    copy.train(predictor.training)
    if copy.hidden is None:
        return copy, nn.Sequential(copy.head)
    copy.norm.momentum = predictor.norm.momentum
    layers = nn.Sequential(copy.hidden, copy.norm, nn.ReLU(), Masked(kept), copy.head)
    return copy, layers.train(predictor.training)


def targets(task, rows=B):
    if task.criterion == "cross_entropy":
        return torch.randint(task.outputs, (rows,))
    y = torch.rand(rows, task.outputs, dtype=torch.float64) + 0.1
    y = (y > 0.6).double() if task.criterion == "binary_cross_entropy" else y
    if task.outputs > 1:
        y[0, 1] = y[3, 0] = y[4] = torch.nan
    return y


def states(*, rows=B, dtype=torch.float64):
    return [(torch.randn(rows, D, dtype=dtype) + shift).requires_grad_() for shift in (0.3, -0.8)]


def written_out(predictor, rationale, environment, y, task, pairs, *, seed=None):
    """Loss of all rows r_i + e_j of the pairs, and the predictor with its own gradients and statistics afterwards."""
    environments, others_only = pairs
    origin = torch.arange(len(environment)) if environments is None else environments
    i, j = torch.meshgrid(torch.arange(len(rationale)), torch.arange(len(environment)), indexing="ij")
    chosen = (origin[j] != i) if others_only else torch.ones_like(i, dtype=torch.bool)
    i, j, kept = i[chosen], j[chosen], 1.0
    if seed is not None:
        p = predictor.dropout.p
        mask = grid_mask(seed, range(len(rationale)), columns=len(environment), width=2 * D, dropout=p)
        kept = mask[i, j].to(rationale.dtype) / kept_share(p)
    copy, layers = twin(predictor, kept)
    return task.loss(layers(rationale[i] + environment[j]), y[i]), copy


def assert_as_written_out(predictor, task, pairs, *, seed=None, tolerance=1e-10, floor=1e-12):
    rationale, environment = states(dtype=predictor.head.weight.dtype)
    environments, others_only = pairs
    if environments is not None:
        environment = environment.detach()[environments].requires_grad_()
    y = targets(task).to(rationale.dtype) if task.criterion != "cross_entropy" else targets(task)
    expected, copy = written_out(
        predictor, rationale, environment, y, task, pairs, seed=seed if predictor.training and predictor.dropout.p else None
    )
    ours = predictor.swap_loss(rationale, environment, y, task, environments=environments, others_only=others_only, seed=seed)
    close = {"rtol": tolerance, "atol": floor}
    torch.testing.assert_close(ours, expected, **close)
    theirs = torch.autograd.grad(expected, [rationale, environment, *copy.parameters()])
    names = ["rationale", "environment", *dict(copy.named_parameters())]
    for name, one, other in zip(
        names, torch.autograd.grad(ours, [rationale, environment, *predictor.parameters()]), theirs, strict=True
    ):
        torch.testing.assert_close(one, other, **close, msg=lambda text, name=name: f"{name}: {text}")
    assert theirs[0].norm() > 0
    for (name, one), other in zip(predictor.named_buffers(), copy.buffers(), strict=True):
        torch.testing.assert_close(one, other, **close, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("linear", [False, True], ids=["hidden layer", "linear"])
@pytest.mark.parametrize("task", TASKS)
def test_loss_gradients_and_statistics_are_those_of_all_rows(task, linear, pairs, training):
    predictor = predictor_of(TASKS[task], linear=linear).train(training)
    assert_as_written_out(predictor, TASKS[task], PAIRS[pairs])


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("task", ["regressions", "classes"])
def test_dropout_is_that_of_the_mask_written_out(task, pairs):
    predictor = predictor_of(TASKS[task], dropout=0.5)
    assert_as_written_out(predictor, TASKS[task], PAIRS[pairs], seed=torch.tensor(17))
    assert_as_written_out(predictor.eval(), TASKS[task], PAIRS[pairs], seed=torch.tensor(17))


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_statistics_of_several_steps_are_those_of_all_rows(momentum):
    task, predictor = TASKS["regressions"], predictor_of(TASKS["regressions"])
    predictor.norm.momentum = momentum
    for step in range(3):
        assert_as_written_out(predictor, task, PAIRS["others only"])
        assert predictor.norm.num_batches_tracked == step + 1


def test_float32_is_as_close_to_all_rows_where_means_are_large():
    torch.manual_seed(1)
    predictor = predictor_of(TASKS["binary"], dtype=torch.float32)
    with torch.no_grad():
        predictor.hidden.bias += 50.0
    assert_as_written_out(predictor, TASKS["binary"], PAIRS["others only"], tolerance=1e-3, floor=1e-5)


def test_frozen_statistics_are_used_and_left_alone():
    predictor = predictor_of(TASKS["binary"])
    predictor.norm.eval()
    before = predictor.norm.running_mean.clone()
    rationale, environment = states()
    y = targets(TASKS["binary"])
    ours = predictor.swap_loss(rationale, environment, y, TASKS["binary"])
    assert torch.equal(predictor.norm.running_mean, before)
    assert ours == predictor.eval().swap_loss(rationale, environment, y, TASKS["binary"])


@pytest.mark.parametrize("linear", [False, True], ids=["hidden layer", "linear"])
@pytest.mark.parametrize("task", TASKS)
def test_one_graph_beside_its_own_environment_is_the_full_graph(task, linear):
    task = TASKS[task]
    predictor = predictor_of(task, dropout=0.5, linear=linear).eval()
    rationale, environment = states(rows=1)
    y = targets(task)[:1]
    ours = predictor.swap_loss(rationale, environment, y, task)
    torch.testing.assert_close(ours, task.loss(predictor(rationale + environment), y))
    assert predictor.swap_loss(rationale, environment, y, task, others_only=True) == 0


def test_the_network_is_that_of_its_layers():
    predictor = predictor_of(TASKS["binary"])
    h = states()[0]
    copy, layers = twin(predictor, 1.0)
    torch.testing.assert_close(predictor(h), layers(h))
    torch.testing.assert_close(predictor.norm.running_var, copy.norm.running_var)
    assert [tuple(each.shape) for each in predictor.parameters()] == [(8, 4), (8,), (8,), (8,), (3, 8), (3,)]
    linear = GraphPredictor(D, outputs=2, dropout=0.5, linear=True)
    assert [tuple(each.shape) for each in linear.parameters()] == [(2, 4), (2,)]
    x = torch.randn(5, D)
    torch.testing.assert_close(linear(x), x @ linear.head.weight.T + linear.head.bias)


def test_dropout_is_drawn_from_torchs_generator():
    predictor, (rationale, environment) = predictor_of(TASKS["binary"], dropout=0.5), states()
    y = targets(TASKS["binary"])

    def draw(seed):
        torch.manual_seed(seed)
        return [predictor.swap_loss(rationale, environment, y, TASKS["binary"]).item() for _ in range(2)]

    first = draw(3)
    assert first == draw(3)
    assert len({*first, *draw(4)}) == 4


def test_compilation_passes_through():
    task, predictor = TASKS["binary"], predictor_of(TASKS["binary"], dropout=0.5)
    y, seed = targets(task), torch.tensor(5)
    tensors = states()

    def loss(rationale, environment):
        return predictor.swap_loss(rationale, environment, y, task, others_only=True, seed=seed)

    expected = torch.autograd.grad(loss(*tensors), tensors)
    compiled = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(*tensors), tensors)
    for ours, theirs in zip(compiled, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("rows", "others_only", "pairs"), [(1, False, 1), (1, True, 0)])
def test_batch_normalization_refuses_a_single_row_by_name(rows, others_only, pairs):
    task, predictor = TASKS["binary"], predictor_of(TASKS["binary"])
    before = predictor.norm.running_mean.clone()
    rationale, environment = states(rows=rows)
    with pytest.raises(ValueError, match=f"BatchNorm in training needs two rows at least, got {pairs}; use larger batches"):
        predictor.swap_loss(rationale, environment, targets(task)[:rows], task, others_only=others_only)
    with pytest.raises(ValueError, match="BatchNorm in training needs two rows at least, got 1; use larger batches"):
        predictor(rationale)
    assert torch.equal(predictor.norm.running_mean, before)
    assert predictor.norm.num_batches_tracked == 0


def test_what_does_not_fit_is_named():
    task, (rationale, environment) = TASKS["binary"], states()
    y = targets(task)
    predictor = predictor_of(task)
    before = predictor.norm.running_mean.clone()
    for changed, message in (
        ({"rationale": rationale[0]}, r"pooled states \[B, 4\] and \[K, 4\], got \(4,\) and \(6, 4\)"),
        ({"environment": environment[:, :3]}, r"pooled states \[B, 4\] and \[K, 4\], got \(6, 4\) and \(6, 3\)"),
        ({"y": y[:5]}, r"'targets' must be \[6, 3\] for binary_cross_entropy, got \[5, 3\]"),
        ({"environments": SUBSET}, r"'environments' must be int64 \[6\].*got torch.int64 \(3,\)"),
        ({"environment": environment[SUBSET], "others_only": True}, "'others_only' with 3 columns of 6 rows needs"),
    ):
        given = {"rationale": rationale, "environment": environment, "y": y, "task": task, **changed}
        with pytest.raises(ValueError, match=message):
            predictor.swap_loss(**given)
    assert torch.equal(predictor.norm.running_mean, before)
    with pytest.raises(ValueError, match=r"'dropout' must be in \[0, 1\), got 1.0"):
        GraphPredictor(D, outputs=1, dropout=1.0)
    predictor.norm = nn.BatchNorm1d(2 * D, track_running_stats=False)
    with pytest.raises(ValueError, match="keeps running statistics, got one without 'track_running_stats'"):
        predictor.double().swap_loss(rationale, environment, y, task)
