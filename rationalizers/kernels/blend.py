"""States beside what stands for their absence, weighted by a mask: the one step by which a mask hides something."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rationalizers.kernels.arguments import check_floating, check_states
from rationalizers.kernels.precision import widest
from rationalizers.kernels.twin import cuda_twin


def blend(x: Tensor, mask: Tensor, fill: Tensor | None = None) -> Tensor:
    """Each row of ``x`` as far as its mask shows it, and ``fill`` for the rest: m⊙x + (1−m)⊗fill.

    Computed in float32 where the arguments are less precise. It can be differentiated once, by all three:
    ∂/∂x = m⊙g, ∂/∂m_v = Σ_d g_vd (x_vd − fill_d), ∂/∂fill = Σ_v (1−m_v) g_v.

    Args:
        x: ``[N, D]``, floating.
        mask: m ``[N]``, floating.
        fill: ``[D]``, what a hidden row looks like; zero where not given.

    Returns:
        ``[N, D]`` in the precision of ``x``.

    Raises:
        TypeError: an argument is not floating.
        ValueError: the shapes do not fit.
    """
    check_states(x, mask)
    if fill is not None:
        check_floating(fill=fill)
        if fill.shape != x.shape[1:]:
            raise ValueError(f"'fill' must be [D={x.shape[1]}] like a row of 'x', got {tuple(fill.shape)}; give one row for all")
    blended: Tensor = _blend(x, mask, fill)
    return blended


def blend_reference(x: Tensor, mask: Tensor, fill: Tensor | None) -> Tensor:
    """The definition."""
    wide = widest(x, mask, fill)
    m = mask.to(wide)[:, None]  # [N, 1]
    shown = m * x.to(wide)  # [N, D]
    if fill is not None:
        shown = shown + (1 - m) * fill.to(wide)
    return shown.to(x.dtype).contiguous()


def blend_backward_reference(grad: Tensor, x: Tensor, mask: Tensor, fill: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x``, ``mask`` and ``fill`` (empty without one) from that of the result, ``[N, D]``."""
    wide = widest(x, mask, fill)
    g, m = grad.to(wide), mask.to(wide)[:, None]
    hidden = x.to(wide) if fill is None else x.to(wide) - fill.to(wide)  # [N, D]
    of_fill = x.new_empty(0) if fill is None else ((1 - m) * g).sum(0).to(fill.dtype)
    return (m * g).to(x.dtype).contiguous(), (g * hidden).sum(1).to(mask.dtype), of_fill


_blend = torch.library.custom_op(
    "rationalizers::blend", blend_reference, mutates_args=(), schema="(Tensor x, Tensor mask, Tensor? fill) -> Tensor"
)
_blend_backward = torch.library.custom_op(
    "rationalizers::blend_backward",
    blend_backward_reference,
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor mask, Tensor? fill) -> (Tensor, Tensor, Tensor)",
)


@_blend.register_fake
def _(x: Tensor, mask: Tensor, fill: Tensor | None) -> Tensor:
    return x.new_empty(x.shape)


@_blend_backward.register_fake
def _(grad: Tensor, x: Tensor, mask: Tensor, fill: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), mask.new_empty(mask.shape), x.new_empty(0) if fill is None else fill.new_empty(fill.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    x, mask, fill = ctx.saved_tensors
    of_x, of_mask, of_fill = _blend_backward(grad, x, mask, fill)
    return of_x, of_mask, None if fill is None else of_fill


_blend.register_autograd(_backward, setup_context=_keep)


@cuda_twin(_blend, reference=blend_reference)
def _(x: Tensor, mask: Tensor, fill: Tensor | None) -> Tensor:
    from rationalizers.kernels.cuda import blend as twin

    return twin.blend(x, mask, fill)


@cuda_twin(_blend_backward, reference=blend_backward_reference)
def _(grad: Tensor, x: Tensor, mask: Tensor, fill: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    from rationalizers.kernels.cuda import blend as twin

    return twin.blend_backward(grad, x, mask, fill)
