"""Selective rationalization: models that predict and point at the part of the input they predicted from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rationalizers.base import Output, Phase, Rationalizer
    from rationalizers.batch import Batch, Packed
    from rationalizers.load import Trained, load_rationalizer
    from rationalizers.rationale import Rationale
    from rationalizers.training import train

__version__ = "0.1.0"

_PUBLIC = {
    "Batch": "batch",
    "Output": "base",
    "Packed": "batch",
    "Phase": "base",
    "Rationale": "rationale",
    "Rationalizer": "base",
    "Trained": "load",
    "load_rationalizer": "load",
    "train": "training",
}
__all__ = [
    "Batch",
    "Output",
    "Packed",
    "Phase",
    "Rationale",
    "Rationalizer",
    "Trained",
    "load_rationalizer",
    "train",
]


def __getattr__(name: str) -> Any:
    # Lightning takes seconds to import; it is imported when one of the names is first used.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
