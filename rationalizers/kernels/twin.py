"""Triton twins: where one takes an operator's place, and how to do without.

A twin computes what the torch reference of its operator defines, on CUDA and in less memory traffic. It is imported with the
first CUDA tensor, so that neither Triton nor a CUDA device need be there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

# Offsets inside a twin have 32 bits.
LARGEST = 2**31

TWINNED: dict[str, Any] = {}

log = logging.getLogger(__name__)


def cuda_twin(operator: Any, *, reference: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate what launches the twin of ``operator``; without Triton, CUDA tensors go through the reference as well.

    Args:
        operator: a `torch.library` operator.
        reference: its definition, which takes float64, since twins compute in float32.
    """

    def attach(launch: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(launch)
        def run(*arguments: Any) -> Any:
            return through(launch, reference, arguments)

        if find_spec("triton") is None:
            log.info("no Triton: %s runs in torch on CUDA too", operator)
        else:
            operator.register_kernel("cuda")(run)
            TWINNED[str(operator._qualname)] = operator
        return run

    return attach


def through(launch: Callable[..., Any], reference: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """The twin's result, or the reference's where a number has 64 bits.

    Raises:
        ValueError: a tensor has 2³¹ numbers or more.
    """
    tensors = [each for each in arguments if isinstance(each, Tensor)]
    if any(tensor.dtype == torch.float64 for tensor in tensors):
        return reference(*arguments)
    for tensor in tensors:
        refuse_too_large(tensor.shape)
    with torch.cuda.device_of(tensors[0]):  # type: ignore[no-untyped-call]
        return launch(*arguments)


def refuse_too_large(shape: torch.Size | tuple[int, ...]) -> None:
    """Raise ``ValueError`` where a tensor of this shape is beyond the reach of a twin's 32-bit offsets."""
    numbers = torch.Size(shape).numel()
    if numbers >= LARGEST:
        raise ValueError(
            f"a tensor of {tuple(shape)} has {numbers} numbers, a CUDA kernel here reaches fewer than 2^31 = {LARGEST}; "
            "use smaller batches"
        )


@contextmanager
def references_only() -> Iterator[None]:
    """Let CUDA tensors go through the torch references, to compare with the twins."""
    with ExitStack() as stack:
        for operator in TWINNED.values():
            stack.enter_context(operator.set_kernel_enabled("cuda", enabled=False))
        yield
