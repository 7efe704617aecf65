"""Masks drawn from gates, together with how much each example selects and how often that changes: one pass over the units.

Three gates, each with its own function: `concrete_sample`, `straight_through_sample` and `hardkuma_sample`. They share an
operator, the noise (`rationalizers.kernels.philox`, from a seed tensor: a step can be replayed, and CPU and CUDA draw the same),
and what they return.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rationalizers.kernels.arguments import (
    check_bool,
    check_floating,
    check_offsets,
    check_reach,
    check_seed,
    check_units,
)
from rationalizers.kernels.gates import CONCRETE, EDGE, HARDKUMA, HIGH, LOW, STRAIGHT_THROUGH
from rationalizers.kernels.philox import uniform
from rationalizers.kernels.precision import widest
from rationalizers.kernels.twin import cuda_twin
from rationalizers.segment import neighbours, owners, segment_sum


class Draw(NamedTuple):
    """What a gate gives.

    Attributes:
        mask: in [0, 1] ``[N]``, 0 at fixed units.
        share: of the selectable units ``[B]``, Σ_t m_t / n_b; zero where nothing is selectable.
        transitions: mean change between selectable neighbours ``[B]``, Σ_t |m_t − m_t−1| / pairs_b; zero where there is no pair.
    """

    mask: Tensor
    share: Tensor
    transitions: Tensor


def concrete_sample(logits: Tensor, ptr: Tensor, seed: Tensor, *, fixed: Tensor, temperature: float) -> Draw:
    """Draw from the binary concrete distribution: m = σ((s + logit u) / τ), u uniform.

    Source: The Concrete Distribution (Maddison, Mnih, Teh, 2017, https://arxiv.org/abs/1611.00712). Gradients are those of the
    formula, of the mask, the share and the transitions; a second derivative is refused.

    Args:
        logits: s ``[N]``, floating.
        ptr: offsets ``[B+1]``, int64.
        seed: int64 scalar; on the CPU, or reading it waits for the device.
        fixed: units that are not selectable, bool ``[N]``.
        temperature: τ > 0.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: shapes that do not fit, a seed that is no int64 scalar, τ is not positive, or (on the CPU) ``ptr`` does not
            rise from 0 to N.
    """
    return _concrete(logits, ptr, seed, fixed, temperature, CONCRETE)


def straight_through_sample(logits: Tensor, ptr: Tensor, seed: Tensor, *, fixed: Tensor, temperature: float) -> Draw:
    """Draw as `concrete_sample`, rounded to 0 or 1, with the gradient of what was rounded: (hard − soft).detach() + soft.

    Args:
        logits: s ``[N]``, floating.
        ptr: offsets ``[B+1]``, int64.
        seed: int64 scalar; on the CPU, or reading it waits for the device.
        fixed: units that are not selectable, bool ``[N]``.
        temperature: τ > 0.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: shapes that do not fit, a seed that is no int64 scalar, τ is not positive, or (on the CPU) ``ptr`` does not
            rise from 0 to N.
    """
    return _concrete(logits, ptr, seed, fixed, temperature, STRAIGHT_THROUGH)


def hardkuma_sample(a: Tensor, b: Tensor, ptr: Tensor, seed: Tensor, *, fixed: Tensor) -> Draw:
    """Draw from HardKuma, a distribution with mass on 0 and 1: m = min(1, max(0, 1.2 k − 0.1)), k = (1 − (1−u)^(1/b))^(1/a).

    u is uniform in (.001, .999). ``share`` and ``transitions`` are expectations over u, in closed form as in the paper: with
    q_t = P(m_t ≠ 0) = (1 − (1/12)^a_t)^b_t, the share is the mean of q_t and a transition (1−q_t−1) q_t + q_t−1 (1−q_t).

    Source: Interpretable Neural Predictions with Differentiable Binary Variables (Bastings, Aziz, Titov, 2019,
    https://arxiv.org/abs/1905.08160). A second derivative is refused.

    Args:
        a: first shape parameter ``[N]``, floating, positive.
        b: second shape parameter ``[N]``, like ``a``.
        ptr: offsets ``[B+1]``, int64.
        seed: int64 scalar; on the CPU, or reading it waits for the device.
        fixed: units that are not selectable, bool ``[N]``.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: shapes that do not fit, a seed that is no int64 scalar, or (on the CPU) ``ptr`` does not rise from 0 to N.
    """
    check_floating(a=a, b=b)
    _check(a, ptr, seed, fixed, name="a")
    if b.shape != a.shape or b.dtype != a.dtype:
        raise ValueError(f"'b' must be {a.dtype} {tuple(a.shape)} like 'a', got {b.dtype} {tuple(b.shape)}")
    mask, share, transitions, _ = _gated_sample(torch.stack([a, b]), ptr, seed, fixed, HARDKUMA, 1.0)
    return Draw(mask, share, transitions)


def _concrete(logits: Tensor, ptr: Tensor, seed: Tensor, fixed: Tensor, temperature: float, gate: int) -> Draw:
    check_floating(logits=logits)
    _check(logits, ptr, seed, fixed, name="logits")
    if not temperature > 0:  # NaN is not
        raise ValueError(f"'temperature' must be positive, got {temperature}")
    mask, share, transitions, _ = _gated_sample(logits[None], ptr, seed, fixed, gate, temperature)
    return Draw(mask, share, transitions)


def _check(parameter: Tensor, ptr: Tensor, seed: Tensor, fixed: Tensor, *, name: str) -> None:
    check_offsets(ptr)
    check_seed(seed)
    check_bool(fixed=fixed)
    if parameter.dim() != 1:
        raise ValueError(f"'{name}' must be [N], got {tuple(parameter.shape)}; give one number per unit")
    check_units(parameter.shape[0], fixed=fixed)
    check_reach(ptr, parameter.shape[0])


def previous(x: Tensor) -> Tensor:
    """The number before each, zero at the first: ``[N] → [N]``."""
    return torch.nn.functional.pad(x[:-1], (1, 0))[: x.shape[0]]


def gated_sample_reference(
    parameters: Tensor, ptr: Tensor, seed: Tensor, fixed: Tensor, gate: int, temperature: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The definition: mask, share, transitions, and how many units and pairs are selectable, ``[2, B]``; autograd follows it."""
    wide = widest(parameters)
    u = uniform(seed, parameters.shape[1], device=parameters.device).to(wide)  # [N]
    if gate == HARDKUMA:
        a, b = parameters.to(wide)
        soft = (-torch.expm1(torch.log1p(-(EDGE + (1 - 2 * EDGE) * u)) / b)).log().div(a).exp()
        drawn = (soft * (HIGH - LOW) + LOW).clamp(0, 1)
        counted = (b * torch.log(-torch.expm1(a * math.log(LOW / (LOW - HIGH))))).exp()  # [N], P(m ≠ 0)
    else:
        soft = torch.sigmoid((parameters[0].to(wide) + u.log() - torch.log1p(-u)) / temperature)
        # Summed in this order, what is rounded is exactly 0 or 1.
        drawn = (soft > 0.5).to(wide) + (soft - soft.detach()) if gate == STRAIGHT_THROUGH else soft
        counted = drawn
    pair = neighbours(~fixed, ptr)
    counted = counted.masked_fill(fixed, 0.0)
    before = previous(counted)
    change = counted + before - 2 * counted * before if gate == HARDKUMA else (counted - before).abs()
    counts = torch.stack([segment_sum(each.to(wide), ptr) for each in (~fixed, pair)])  # [2, B]
    share = segment_sum(counted, ptr) / counts[0].clamp(min=1)
    transitions = segment_sum(change.masked_fill(~pair, 0.0), ptr) / counts[1].clamp(min=1)
    own = parameters.dtype
    return drawn.masked_fill(fixed, 0.0).to(own), share.to(own), transitions.to(own), counts


def gated_sample_backward_reference(
    of_mask: Tensor,
    of_share: Tensor,
    of_transitions: Tensor,
    parameters: Tensor,
    mask: Tensor,
    counts: Tensor,
    ptr: Tensor,
    seed: Tensor,
    fixed: Tensor,
    gate: int,
    temperature: float,
) -> Tensor:
    """Gradient of the ``parameters [1 or 2, N]`` from those of the mask ``[N]``, the share and the transitions ``[B]``."""
    wide, n = widest(parameters), parameters.shape[1]
    owner, pair = owners(ptr, n), neighbours(~fixed, ptr)
    per_unit = (of_share.to(wide) / counts[0].clamp(min=1))[owner]  # [N]
    per_pair = (of_transitions.to(wide) / counts[1].clamp(min=1))[owner].masked_fill(~pair, 0.0)
    u = uniform(seed, n, device=parameters.device).to(wide)
    if gate == HARDKUMA:
        a, b = parameters.to(wide)
        return _hardkuma_gradient(a, b, u, of_mask.to(wide), per_unit, per_pair, fixed).to(parameters.dtype)
    of_change = per_pair * torch.sign(mask.to(wide) - previous(mask.to(wide)))
    total = of_mask.to(wide) + per_unit + of_change - _following(of_change)
    soft = torch.sigmoid((parameters[0].to(wide) + u.log() - torch.log1p(-u)) / temperature)
    return (total * soft * (1 - soft) / temperature).masked_fill(fixed, 0.0)[None].to(parameters.dtype)


def _hardkuma_gradient(
    a: Tensor, b: Tensor, u: Tensor, of_mask: Tensor, per_unit: Tensor, per_pair: Tensor, fixed: Tensor
) -> Tensor:
    """Gradients of a and b, ``[2, N]``."""
    log_c = torch.log1p(-(EDGE + (1 - 2 * EDGE) * u))  # of 1 − u
    w = (log_c / b).exp()
    v = -torch.expm1(log_c / b)
    k = (v.log() / a).exp()
    stretched = k * (HIGH - LOW) + LOW
    of_k = (of_mask * (HIGH - LOW)).masked_fill((stretched < 0) | (stretched > 1), 0.0)
    edge = math.log(LOW / (LOW - HIGH))
    below = (a * edge).exp()  # P(m = 0) of b = 1
    log_above = torch.log(-torch.expm1(a * edge))
    q = (b * log_above).exp()
    shown = q.masked_fill(fixed, 0.0)
    of_q = per_unit + per_pair * (1 - 2 * previous(shown)) + _following(per_pair) * (1 - 2 * _following(shown))
    of_a = -of_k * k * v.log() / a.square() - of_q * q * b * below * edge / -torch.expm1(a * edge)
    of_b = of_k * k * w * log_c / (a * b.square() * v) + of_q * q * log_above
    return torch.stack([of_a, of_b]).masked_fill(fixed, 0.0)


def _following(x: Tensor) -> Tensor:
    """The number after each, zero at the last: ``[N] → [N]``."""
    return torch.nn.functional.pad(x[1:], (0, 1))[: x.shape[0]]


_gated_sample = torch.library.custom_op(
    "rationalizers::gated_sample",
    gated_sample_reference,
    mutates_args=(),
    schema="(Tensor parameters, Tensor ptr, Tensor seed, Tensor fixed, int gate, float temperature)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
)
_gated_sample_backward = torch.library.custom_op(
    "rationalizers::gated_sample_backward",
    gated_sample_backward_reference,
    mutates_args=(),
    schema="(Tensor of_mask, Tensor of_share, Tensor of_transitions, Tensor parameters, Tensor mask, Tensor counts, Tensor ptr, "
    "Tensor seed, Tensor fixed, int gate, float temperature) -> Tensor",
)


@_gated_sample.register_fake
def _(
    parameters: Tensor, ptr: Tensor, seed: Tensor, fixed: Tensor, gate: int, temperature: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    examples = ptr.shape[0] - 1
    share, transitions = parameters.new_empty(examples), parameters.new_empty(examples)
    counts = parameters.new_empty(2, examples, dtype=widest(parameters))
    return parameters.new_empty(parameters.shape[1]), share, transitions, counts


@_gated_sample_backward.register_fake
def _(
    of_mask: Tensor,
    of_share: Tensor,
    of_transitions: Tensor,
    parameters: Tensor,
    mask: Tensor,
    counts: Tensor,
    ptr: Tensor,
    seed: Tensor,
    fixed: Tensor,
    gate: int,
    temperature: float,
) -> Tensor:
    return parameters.new_empty(parameters.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    parameters, ptr, seed, fixed, ctx.gate, ctx.temperature = inputs
    mask, _, _, counts = output
    ctx.mark_non_differentiable(counts)
    ctx.save_for_backward(parameters, mask, counts, ptr, seed, fixed)


def _backward(ctx: Any, of_mask: Tensor, of_share: Tensor, of_transitions: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    gradient = _gated_sample_backward(
        of_mask, of_share, of_transitions, *ctx.saved_tensors, gate=ctx.gate, temperature=ctx.temperature
    )
    return gradient, None, None, None, None, None


_gated_sample.register_autograd(_backward, setup_context=_keep)


@cuda_twin(_gated_sample, reference=gated_sample_reference)
def _(
    parameters: Tensor, ptr: Tensor, seed: Tensor, fixed: Tensor, gate: int, temperature: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from rationalizers.kernels.cuda import gated_sample as twin

    return twin.gated_sample(parameters, ptr, seed, fixed, gate, temperature)


@cuda_twin(_gated_sample_backward, reference=gated_sample_backward_reference)
def _(
    of_mask: Tensor,
    of_share: Tensor,
    of_transitions: Tensor,
    parameters: Tensor,
    mask: Tensor,
    counts: Tensor,
    ptr: Tensor,
    seed: Tensor,
    fixed: Tensor,
    gate: int,
    temperature: float,
) -> Tensor:
    from rationalizers.kernels.cuda import gated_sample as twin

    return twin.gated_sample_backward(
        of_mask, of_share, of_transitions, parameters, mask, counts, ptr, seed, fixed, gate, temperature
    )
