"""DeepLIFT: rules by hand, captum on what captum sees, and differences that add up through whole models."""

from functools import partial

import pytest
import torch
from captum import attr
from torch import nn

from rationalizers.attribution import DeepLift, InputXGradient, completeness_gap
from rationalizers.attribution.base import explained
from rationalizers.attribution.deeplift import Slopes, largest
from rationalizers.attribution.embedding import Embedded
from tests.attribution.bag import MODELS, bag, explainable
from tests.contract import example


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def multipliers(f, x0, x):
    """What ``f`` does to a difference, entry by entry."""
    x0, x = torch.tensor(x0).requires_grad_(), torch.tensor(x).requires_grad_()
    with Slopes() as slopes:
        f(x0)
    with Slopes(slopes.noted):
        y = f(x)
    return torch.autograd.grad(y.sum(), x)[0]


# Rules --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x0", "x", "expected"),
    [
        (lambda x: x.relu(), [-1.0, -1.0, 2.0], [3.0, -2.0, 3.0], [0.75, 0.0, 1.0]),  # 3 of 4
        (lambda x: (1 * x).relu_(), [-1.0], [3.0], [0.75]),
        (lambda x: x.exp(), [0.0, 0.5], [1.0, 0.5], [torch.e - 1, torch.e**0.5]),  # without a difference, the derivative
        (lambda x: x[0] * x[1], [1.0, 2.0], [3.0, 5.0], [3.5, 2.0]),  # 2 · 3.5 + 3 · 2 = 15 − 2
        (lambda x: x[0] / x[1], [1.0, 2.0], [3.0, 4.0], [0.375, -0.25]),  # 2 · 0.375 − 2 · 0.25 = 3/4 − 1/2
        (nn.functional.gelu, [0.0], [50.0], [1.0]),
        (lambda x: torch.div(x, x.abs() + 2, rounding_mode="floor"), [3.0], [4.0], [0.0]),
        (lambda x: 2 * x + x / 4, [2.0], [3.0], [2.25]),
        (lambda x: (x - x.detach()).exp(), [2.0], [3.0], [torch.e - 1]),  # detached is 2 both times
    ],
)
def test_slopes_make_up_the_difference(f, x0, x, expected):
    torch.testing.assert_close(multipliers(f, x0, x), torch.tensor(expected), atol=1e-7, rtol=1e-6)


def test_the_largest_takes_turns_on_the_way():
    # 0 + α and 1 − α/2 cross at 2/3; 3α − 2 reaches them at 1 only.
    x0, x = torch.tensor([[0.0], [1.0], [-2.0]]), torch.tensor([[1.0], [0.5], [1.0]])
    share = largest(x0, x - x0, torch.zeros(3, 1, dtype=torch.long), torch.zeros(1, 1))
    torch.testing.assert_close(share, torch.tensor([[1 / 3], [2 / 3], [0.0]]))


def test_equals_share():
    x0, x = torch.zeros(3, 1), torch.tensor([[1.0], [1.0], [0.5]])
    share = largest(x0, x - x0, torch.zeros(3, 1, dtype=torch.long), torch.zeros(1, 1))
    assert share.tolist() == [[0.5], [0.5], [0.0]]


def test_shares_are_those_of_many_points_on_the_way():
    torch.manual_seed(0)
    x0, x = torch.randn(9, 5), torch.randn(9, 5)
    owner = torch.tensor([0, 0, 0, 0, 0, 0, 2, 2, 2])  # row 1 has none
    share = largest(x0, x - x0, owner[:, None].expand(9, 5), torch.zeros(3, 5))
    way = x0 + (torch.arange(20_000) + 0.5)[:, None, None] / 20_000 * (x - x0)
    seen = torch.cat([nn.functional.one_hot(part.argmax(1), part.shape[1]).double().mean(0).T for part in way.split([6, 3], 1)])
    torch.testing.assert_close(share, seen, atol=2e-4, rtol=0)


# Captum -------------------------------------------------------------------------------------------------------------------


class Beside(nn.Module):
    """Input and baseline one after the other, as captum gives them, through a `bag`."""

    def __init__(self, model):
        super().__init__()
        self.layers, self.head = model.predictor.encoder.layers, model.predictor.head

    def forward(self, e):
        return self.head(self.layers(e).view(-1, 6, 4).mean(1))


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
@pytest.mark.parametrize(
    "layer", [nn.ReLU, partial(nn.ReLU, inplace=True), nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Softplus]
)
def test_of_modules_it_is_captums(layer):
    model, packed = bag(nn.Linear(4, 4), layer(), nn.Linear(4, 4)), example(6, seed=2)
    e = model.predictor.encoder.table(packed.units).detach().requires_grad_()
    beside = Beside(model).double()
    captums = attr.DeepLift(beside).attribute(e, baselines=torch.zeros_like(e), target=int(explained(model, packed)))
    torch.testing.assert_close(DeepLift(share=0.3)(model, packed).scores, captums.sum(1), atol=1e-7, rtol=1e-6)


# Whole models -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_differences_add_up_where_gradients_do_not(name):
    model, packed = explainable(name)
    gap = completeness_gap(DeepLift(share=0.3), model, packed, absence="zero")
    torch.testing.assert_close(gap, torch.zeros(3), atol=1e-9, rtol=0)
    assert completeness_gap(InputXGradient(share=0.3), model, packed, absence="zero").abs().max() > 1e-3


@pytest.mark.parametrize("name", ["full, attention", "erm"])
def test_they_do_so_in_single_precision(name):
    model, packed = explainable(name)
    torch.set_default_dtype(torch.float32)
    gap = completeness_gap(DeepLift(share=0.3), model.float(), packed, absence="zero")
    torch.testing.assert_close(gap, torch.zeros(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_as_ever_on_the_way(name):
    model, packed = explainable(name)
    f = Embedded(model, packed, explained(model, packed))
    with Slopes() as slopes:
        f(f.baseline.requires_grad_())
    with Slopes(slopes.noted):
        found = f(f.inputs)
    torch.testing.assert_close(found, f(f.inputs))
