"""Weights of a model as a file of safetensors, which can hold numbers and nothing that is executed."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_model, save_file
from torch import nn

WEIGHTS = "model.safetensors"


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
        load_model(model, str(file))
    except SafetensorError as error:
        raise ValueError(f"{file} is not a safetensors file ({error}); nothing in it was executed") from error
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit the model that {folder / 'config.yaml'} describes: {error}") from error
