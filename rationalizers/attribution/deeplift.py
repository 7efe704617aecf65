"""Attribution by differences from a baseline, propagated through every function of a model that is not linear.

A model is run twice on the same batch, on the baseline and on the input. Every call of torch that is not linear in what depends
on the embeddings (`RULES`) is met by one of torch's function modes, and gets the slope that makes up its difference,
Δy = slope · Δx, in place of its derivative. One backward pass then gives the multipliers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rationalizers.attribution.base import Attribution
from rationalizers.attribution.embedding import Embedded
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.kernels.split_pool import split_pool_reference


class DeepLift(Attribution):
    """Learning Important Features Through Propagating Activation Differences (Shrikumar, Greenside, Kundaje, 2017).

        a_v = Σ_d (e_vd − e⁰_vd) · M_vd,   M the sum over paths of the products of slopes

    https://arxiv.org/abs/1704.02685. In (−∞, ∞). The baseline e⁰ is zero but for fixed units. Slopes from x⁰, y⁰ to x, y:

    ============== ========================================================= ============================================
    function       slope                                                     rule
    ============== ========================================================= ============================================
    y = f(x)       (y − y⁰) / (x − x⁰)                                       rescale, entry by entry
    y = u · v      (v + v⁰) / 2 and (u + u⁰) / 2                             half of the common change Δu · Δv each
    y = u / v      that of u · (1/v), with (1/v − 1/v⁰) / (v − v⁰)           both of the above
    y = max_t x_t  the share of the way from x⁰ to x on which t is largest   the maximum's own integrated gradients
    ============== ========================================================= ============================================

    On modules such as ``nn.Tanh`` this is captum's ``DeepLift``, which sees neither functions nor gates nor pooling, so that most
    models here are linear to it. DeepLIFT of gated cells is discussed in Evaluating Neural Network Explanation Methods (Poerner,
    Roth, Schütze, 2018, https://arxiv.org/abs/1801.06422); the rule for maxima is ours. Attributions add up to f(e) − f(e⁰)
    (`completeness_gap`) through GRUs, convolutions of texts and graphs, and every pooling; other functions, such as the attention
    and normalisation, keep their derivative, and attributions then do not add up.

    Args:
        share: as in `Attribution`.
    """

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """Differences of embeddings times their multipliers, ``[N]``."""
        f = Embedded(model, batch, target)
        with torch.enable_grad():
            with Slopes() as slopes:
                f(f.baseline.requires_grad_())
            with Slopes(slopes.noted):
                explained = f(f.inputs)
            (multiplier,) = torch.autograd.grad(explained.sum(), f.inputs)
        return ((f.inputs - f.baseline) * multiplier).sum(1)


class Slopes(TorchFunctionMode):
    """Gives functions that are not linear the slopes from what they were called with in another run.

    Args:
        reference: what was ``noted`` in that run, which made the same calls; without one, this run is its own.
    """

    def __init__(self, reference: Sequence[tuple[Tensor, ...]] | None = None) -> None:
        super().__init__()
        self.noted: list[tuple[Tensor, ...]] = []
        self._reference = None if reference is None else iter(reference)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Every call of torch comes by here, but for those that are made in here."""
        rule = RULES.get(func.__name__) if any(_varies(each) for each in args) else None
        return func(*args, **kwargs or {}) if rule is None else rule(self, func, *args, **kwargs or {})

    def before(self, *now: Tensor) -> tuple[Tensor, ...]:
        """What these were in the other run."""
        now = tuple(each.detach() for each in now)
        self.noted.append(now)
        then = now if self._reference is None else next(self._reference)
        assert [each.shape for each in then] == [each.shape for each in now], "both runs make the same calls"
        return then


def _varies(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _with_slopes(y: Tensor, *slopes: tuple[Tensor, Tensor]) -> Tensor:
    """The value y with these derivatives, by pairs of what it depends on and the slope."""
    y = y.detach()
    for x, slope in slopes:
        y = y + slope.detach() * (x - x.detach())
    return y


def _rescale(mode: Slopes, func: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    def f(x: Tensor) -> Tensor:
        y: Tensor = func(x.clone(), *args, **kwargs)  # which may be in place
        return y

    (x0,) = mode.before(x)
    with torch.no_grad():
        step = torch.finfo(x.dtype).eps ** 0.5
        end = torch.where((x - x0).abs() < step, x0 + step, x)  # where nothing changes, the derivative
        slope = (f(end) - f(x0)) / (end - x0)
        y = f(x)
    return _with_slopes(y, (x, slope))


def _product(mode: Slopes, func: Any, u: Any, v: Any) -> Any:
    if not (_varies(u) and _varies(v)):  # linear
        return func(u, v)
    u0, v0 = mode.before(u, v)
    return _with_slopes(u * v, (u, (v + v0) / 2), (v, (u + u0) / 2))


def _quotient(mode: Slopes, func: Any, u: Tensor, v: Any, **kwargs: Any) -> Any:
    if not _varies(v) or kwargs:  # linear, or rounded
        return func(u, v, **kwargs)
    u0, v0 = mode.before(u, v)
    return _with_slopes(u / v, (u, (1 / v + 1 / v0) / 2), (v, -(u + u0) / (2 * v * v0)))


def _constant(mode: Slopes, func: Any, x: Tensor) -> Tensor:
    """What is detached is taken for a constant, such as the shift of a softmax, and so must be the same in both runs."""
    (x0,) = mode.before(x)
    return x0


def _maximum(mode: Slopes, func: Any, out: Tensor, dim: int, index: Tensor, x: Tensor, **kwargs: Any) -> Any:
    y = func(out, dim, index, x, **kwargs)
    if dim != 0 or kwargs != {"reduce": "amax", "include_self": False}:
        return y
    (x0,) = mode.before(x)
    with torch.no_grad():
        share = largest(x0, x - x0, index, out)
    # Where an example has no unit, nothing is added to zero.
    return y.detach() + torch.zeros_like(y).index_add(0, index[:, 0], share * (x - x.detach()))


def largest(x0: Tensor, change: Tensor, index: Tensor, out: Tensor) -> Tensor:
    """Share of α in [0, 1] for which each entry of x⁰ + α · change ``[N, D]`` is the largest of its row ``index`` of ``out``."""

    def top(values: Tensor) -> Tensor:
        return out.new_full(out.shape, -torch.inf).scatter_reduce(0, index, values, "amax").gather(0, index)  # [N, D]

    # Along the upper envelope of the lines, from one corner to the next; equals share.
    share, alpha = torch.zeros_like(x0), torch.zeros_like(x0)
    first = x0 == top(x0)
    while True:
        # Of the lines that meet here the steepest is the largest from here on.
        slope = top(change.masked_fill(~first, -torch.inf))
        first = first & (change == slope)
        height = top(x0.masked_fill(~first, -torch.inf))
        crossing = ((height - x0) / (change - slope)).masked_fill(change <= slope, torch.inf)
        corner = -top(-crossing)
        end = torch.maximum(corner, alpha).clamp(max=1)
        count = torch.zeros_like(out).index_add(0, index[:, 0], first.to(out)).gather(0, index)
        share = share + first * (end - alpha) / count
        if bool((end >= 1).all()):
            return share
        alpha, first = end, crossing == corner


def _gru(mode: Slopes, func: Any, x: Tensor, start: Tensor, weights: Sequence[Tensor], *settings: Any) -> Any:
    # Biases, one layer, any dropout between layers, any mode, one direction, time first: what encoders here are made of.
    if settings[:2] != (True, 1) or settings[4:] != (False, False):
        return func(x, start, weights, *settings)
    with mode:
        into, recurrent, into_bias, recurrent_bias = weights
        read, h, states = F.linear(x, into, into_bias), start[0], []
        for step in read:  # [B, 3H]
            of_r, of_z, of_n = step.chunk(3, 1)
            by_r, by_z, by_n = F.linear(h, recurrent, recurrent_bias).chunk(3, 1)
            r, z = (of_r + by_r).sigmoid(), (of_z + by_z).sigmoid()
            n = (of_n + r * by_n).tanh()
            h = n + z * (h - n)
            states.append(h)
        return torch.stack(states), h[None]


def _split_pool(mode: Slopes, func: Any, *args: Tensor) -> tuple[Tensor, Tensor]:
    with mode:
        return split_pool_reference(*args)


RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("relu", "relu_", "elu", "leaky_relu", "gelu", "softplus", "sigmoid", "tanh", "exp"), _rescale),
    "mul": _product,
    "div": _quotient,
    "scatter_reduce": _maximum,
    "detach": _constant,
    "gru": _gru,
    "split_pool.default": _split_pool,
}
