"""Weights of a model as a file of safetensors, which can hold numbers and nothing that is executed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_file
from torch import nn

from rationalizers.run import WEIGHTS


def write_weights(model: nn.Module, folder: Path) -> None:
    """Write every weight under one name, where parts share it under the first: safetensors' choice differs from run to run."""
    own = {name for name, _ in chain(model.named_parameters(), model.named_buffers())}
    save_file({name: weight.contiguous() for name, weight in model.state_dict().items() if name in own}, folder / WEIGHTS)


def read_weights(model: nn.Module, folder: Path) -> None:
    """Read them into a model.

    Raises:
        ValueError: no file of safetensors, or one of another model than ``config.yaml`` describes.
    """
    file = folder / WEIGHTS
    try:
        with _named(file):
            load_model(model, str(file))
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit the model that {folder / 'config.yaml'} describes: {error}") from error


def count_weights(folder: Path) -> int:
    """How many numbers they are, by the head of the file alone.

    Raises:
        ValueError: no file of safetensors.
    """
    file = folder / WEIGHTS
    with _named(file), safe_open(file, framework="pt") as held:
        return sum(math.prod(held.get_slice(name).get_shape()) for name in held.keys())  # noqa: SIM118


@contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise ValueError(f"{file} is not a safetensors file ({error}); nothing in it was executed") from error
