"""Open a trained rationalizer: without Hydra, without a data module, and without trusting the folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model

from rationalizers.base import Rationalizer
from rationalizers.build import build, trusting
from rationalizers.featurizer import Explanation, Featurizer
from rationalizers.run import PARTIAL, read_config


class Trained:
    """A trained rationalizer in evaluation mode that takes raw input.

    Attributes:
        model: the Lightning module.
        featurizer: raw input to batches and back.
        config: what the run folder says about the run.
    """

    def __init__(self, model: Rationalizer, featurizer: Featurizer, config: dict[str, Any]) -> None:
        self.model, self.featurizer, self.config = model.eval(), featurizer, config

    @overload
    def __call__(self, inputs: str) -> Explanation: ...

    @overload
    def __call__(self, inputs: Sequence[Any], *, batch_size: int = ...) -> list[Explanation]: ...

    @torch.no_grad()
    def __call__(self, inputs: Any, *, batch_size: int = 64) -> Explanation | list[Explanation]:
        """Explain one raw input (a string), or a sequence of them.

        Args:
            inputs: a string, or a sequence of strings or of whatever the featurizer takes.
            batch_size: inputs at a time; the result does not depend on it.

        Returns:
            one explanation with tokens, mask, prediction and probability, or a list in the order of the inputs.

        Raises:
            ValueError: an input without units.
        """
        if isinstance(inputs, str):
            return self([inputs])[0]
        found: list[Explanation] = []
        for start in range(0, len(inputs), batch_size):
            batch = self.featurizer.batch(inputs[start : start + batch_size], first=start).to(self.model.device)
            explained = self.featurizer.explain(batch, self.model(batch), self.model.task)
            targets = self.model.targets(batch)
            if targets is not None:
                explained = [each.with_targets(some) for each, some in zip(explained, targets, strict=True)]
            found += explained
        return found

    def __repr__(self) -> str:
        return f"Trained({self.config['name']}: {type(self.model).__name__}, {', '.join(self.model.task.names)})"


def load_rationalizer(folder: str | Path, *, trust: Sequence[str] = (), device: str = "cpu") -> Trained:
    """The trained rationalizer of a run folder, ready to explain raw input.

    Opening a folder never executes anything from it: YAML is read as plain data, weights as safetensors, classes only from this
    project and from packages named in ``trust``.

    Args:
        folder: a finished run.
        trust: packages, by name, whose classes the run may use beyond this project's own.
        device: where the model goes.

    Raises:
        FileNotFoundError: a file of the run is missing.
        ValueError: a file does not hold what it should, or a class is not allowed; named with the remedy.
    """
    folder = Path(folder)
    if folder.name.endswith(PARTIAL) or (not folder.exists() and folder.with_name(folder.name + PARTIAL).exists()):
        raise FileNotFoundError(f"{folder} is not finished; start its training command again, it resumes")
    config = read_config(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        others = sorted(file.name for file in folder.iterdir() if file.suffix in (".pt", ".pth", ".bin", ".pkl", ".ckpt"))
        note = f"; {', '.join(others)} may hold pickled objects and is not opened" if others else ""
        raise FileNotFoundError(f"{folder} has no model.safetensors{note}")
    with trusting(trust):
        for section in ("featurizer", "model"):
            if not isinstance(config.get(section), dict) or "_target_" not in config[section]:
                raise ValueError(
                    f"{folder / 'config.yaml'}: {section}: expected a mapping with a '_target_', got {config.get(section)!r}"
                )
        featurizer = build(config["featurizer"], Featurizer)
        featurizer.load(folder / "assets")
        _compare(config["model"], featurizer.facts(), folder)
        model = build(config["model"], Rationalizer)
    try:
        load_model(model, str(weights))
    except SafetensorError as error:
        raise ValueError(f"{weights} is not a safetensors file ({error}); nothing in it was executed") from error
    except RuntimeError as error:
        raise ValueError(f"{weights} does not fit the model that {folder / 'config.yaml'} describes: {error}") from error
    return Trained(model.to(device), featurizer, config)


def _compare(model: Any, facts: Mapping[str, Any], folder: Path) -> None:
    """Raise where the description of the model contradicts what the featurizer's assets say about themselves."""
    if not isinstance(model, Mapping):
        return
    for name, value in model.items():
        if name in facts and value != facts[name]:
            raise ValueError(
                f"{folder / 'assets'} and {folder / 'config.yaml'} belong to different runs: {name} is {facts[name]!r} there "
                f"and {value!r} here"
            )
        _compare(value, facts, folder)
