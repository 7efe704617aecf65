"""Layers against those of torch, and random bits against the binomial distribution."""

import pytest
import torch
from torch import nn

from graph.encoders.layers import ROWS, AlignedLinear, BitDropout, NodeNorm, Perceptron, kept

# Linear layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 8), (12, 8), (16, 13), (10, 3)])
@pytest.mark.parametrize("rows", [5, ROWS + 1])
def test_a_linear_layer_is_that_of_torch(inputs, outputs, rows):
    ours = AlignedLinear(inputs, outputs).double()
    theirs = nn.Linear(inputs, outputs).double()
    theirs.load_state_dict(ours.state_dict())
    x, grad = (torch.randn(rows, width, dtype=torch.float64) for width in (inputs, outputs))
    found = []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_()
        out = layer(given)
        assert out.is_contiguous()
        found.append([out, *torch.autograd.grad(out, (given, *layer.parameters()), grad)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-11)


def test_a_linear_layer_may_have_no_bias():
    layer = AlignedLinear(6, 5, bias=False)
    x = torch.randn(ROWS, 6)
    torch.testing.assert_close(layer(x), x @ layer.weight.T)


# Normalisation --------------------------------------------------------------------------------------------------------


def expanded(rows, count):
    return torch.repeat_interleave(rows, count, dim=0)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_rows_that_stand_for_several_nodes_are_normalised_like_their_copies(momentum):
    ours, theirs = NodeNorm(4, momentum=momentum).double(), nn.BatchNorm1d(4, momentum=momentum).double()
    nn.init.uniform_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    count = torch.tensor([1, 4, 2])
    for _ in range(3):
        rows = torch.randn(3, 4, dtype=torch.float64)
        grad = torch.randn(7, 4, dtype=torch.float64)
        one, other = rows.clone().requires_grad_(), rows.clone().requires_grad_()
        out, full = expanded(ours(one, count), count), theirs(expanded(other, count))
        torch.testing.assert_close(out, full)
        for a, b in zip(
            torch.autograd.grad(out, (one, *ours.parameters()), grad),
            torch.autograd.grad(full, (other, *theirs.parameters()), grad),
            strict=True,
        ):
            torch.testing.assert_close(a, b)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(rows, count), theirs.eval()(rows))


def test_normalisation_of_one_node_is_refused_in_training_only():
    norm = NodeNorm(4)
    for given in ((torch.ones(1, 4),), (torch.ones(1, 4), torch.tensor([1]))):
        with pytest.raises(ValueError, match="at least two rows in training, got one; use larger batches"):
            norm(*given)
    assert norm.num_batches_tracked == 0
    assert norm(torch.ones(1, 4), torch.tensor([2])).tolist() == [[0.0] * 4]
    assert norm.eval()(torch.ones(1, 4)).shape == (1, 4)


def test_a_perceptron_is_its_four_parts():
    ours = Perceptron(6).double()
    theirs = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 6)).double()
    for part, twin in zip((ours.inner, ours.norm, ours.outer), (theirs[0], theirs[1], theirs[3]), strict=True):
        twin.load_state_dict(part.state_dict())
    x = torch.randn(9, 6, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    count = torch.tensor([3, 1, 2])
    torch.testing.assert_close(expanded(ours(x[:3], count), count), theirs(expanded(x[:3], count)))


# Dropout --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 0.1, 0.002, 0.75, 0.999])
def test_the_share_that_is_kept_is_right(p):
    drawn = kept(torch.empty(1000, 1000), p)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    # Five standard deviations of a binomial distribution: 0.1 could not be told from 26/256 with a byte alone.
    assert drawn.mean(dtype=torch.float64).item() == pytest.approx(1 - p, abs=5 * (p * (1 - p) / 1e6) ** 0.5)


@pytest.mark.parametrize("shift", [1, 7, 8, 64, 1000])
def test_draws_do_not_depend_on_each_other(shift):
    drawn = kept(torch.empty(10**6), 0.3)
    both = (drawn[shift:] * drawn[:-shift]).mean(dtype=torch.float64).item()
    assert both == pytest.approx(0.49, abs=5 * (0.49 * 0.51 / 1e6) ** 0.5 * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_kept_is_scaled_and_passes_its_gradient(dtype):
    x = torch.full((50, 7), 3.0, dtype=dtype, requires_grad=True)
    out = BitDropout(0.2)(x)
    out.sum().backward()
    assert out.dtype == dtype
    assert out.unique().tolist() == pytest.approx([0.0, 3.75])
    torch.testing.assert_close(x.grad * 3, out.detach())


def test_dropout_does_nothing_where_it_should_not():
    x = torch.randn(5, 3)
    assert BitDropout(0.0)(x) is x
    assert BitDropout(0.7).eval()(x) is x
    assert BitDropout(0.7)(torch.empty(0, 3)).shape == (0, 3)


def test_dropout_is_repeated_by_its_seed_and_not_otherwise():
    x, draws = torch.ones(64), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append([BitDropout(0.5)(x), BitDropout(0.5)(x)])
    assert draws[0][0].equal(draws[1][0])
    assert draws[0][1].equal(draws[1][1])
    assert not draws[0][0].equal(draws[0][1])
    assert not draws[0][0].equal(draws[2][0])


def test_dropout_shows_its_probability_and_checks_it():
    assert repr(BitDropout(0.5)) == "BitDropout(p=0.5)"
    for p in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"'p' must be in \[0, 1\), got {p}"):
            BitDropout(p)
