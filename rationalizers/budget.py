"""How many numbers a model may make room for: a configuration of one line can ask for more than any memory holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# What initialization makes beside the weights themselves, and what does not depend on their size.
TIMES, BESIDE = 4, 2**20


class Budget(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this context, new tensors may have so many elements in all; the first that goes beyond is an error, and not made.

    Args:
        elements: how many.
        remedy: what to do where they are not enough.
    """

    def __init__(self, elements: int, *, remedy: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements, self.remedy, self.asked = elements, remedy, 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count what is made out of nothing; operations on tensors keep their size or are of no account.

        Raises:
            ValueError: more elements than allowed.
        """
        self.asked += _made(func, args, kwargs or {})
        if self.asked > self.elements:
            raise ValueError(f"more than {self.elements:,} numbers are asked for; {self.remedy}")
        return func(*args, **(kwargs or {}))


def _made(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Elements of the tensor that a call makes of a size alone."""
    arguments = func._schema.arguments
    if any("Tensor" in str(argument.type) for argument in arguments):
        return 0
    for place, argument in enumerate(arguments):
        given = args[place] if place < len(args) else kwargs.get(argument.name)
        if argument.name == "size" and given is not None:
            return math.prod(given)
        if argument.name in ("n", "end") and isinstance(given, int):  # randperm, eye; arange
            return given
    return 0
