"""Open a trained rationalizer: without Hydra, without a data module, and without trusting the folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_model

from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.budget import BESIDE, TIMES, Budget, weights_of
from rationalizers.build import build, trusting
from rationalizers.extras import require
from rationalizers.featurizer import Explanation, Featurizer
from rationalizers.run import PARTIAL, partial_of, read_config
from rationalizers.task import BinaryTasks, Classification, Regression

if TYPE_CHECKING:
    import pandas as pd


class Trained:
    """A trained rationalizer in evaluation mode that takes raw input, of which results never depend on ``batch_size``.

    Called, it explains; `predict` and `predict_proba` are those of scikit-learn's estimators; `frame` takes a DataFrame.

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
        return [each for batch in self._batches(inputs, batch_size) for each in self._explained(batch)]

    def _batches(self, inputs: Sequence[Any], batch_size: int) -> Iterator[Batch]:
        """Inputs a batch at a time, where the model is."""
        for start in range(0, len(inputs), batch_size):
            yield self.featurizer.batch(inputs[start : start + batch_size], first=start).to(self.model.device)

    @torch.no_grad()
    def _explained(self, batch: Batch) -> list[Explanation]:
        """What the model says about a batch."""
        explained = self.featurizer.explain(batch, self.model(batch), self.model.task)
        targets = self.model.targets(batch)
        return explained if targets is None else [each.with_targets(some) for each, some in zip(explained, targets, strict=True)]

    @torch.no_grad()
    def _values(self, inputs: Sequence[Any], batch_size: int) -> NDArray[np.float64]:
        """Deployed predictions ``[n, C]``, as `Task.predict` has them."""
        predict = self.model.task.predict
        found = [
            predict(self.model(batch).logits).double().cpu().numpy() for batch in self._batches(_several(inputs), batch_size)
        ]
        return np.concatenate([np.empty((0, self.model.task.outputs)), *found])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of `predict_proba`: classes, or questions that are answered by yes or no.

        Raises:
            TypeError: the model predicts numbers.
        """
        if isinstance(self.model.task, Regression):
            raise TypeError(f"{self!r} predicts numbers, which have no classes or probabilities; ask 'predict'")
        return self.model.task.names

    def predict_proba(self, inputs: Sequence[Any], *, batch_size: int = 64) -> NDArray[np.float64]:
        """Probabilities ``[n, C]`` of classes, or of yes ``[n, T]``, in the order of `classes`.

        Raises:
            TypeError: the model predicts numbers, or ``inputs`` is a single string.
            ValueError: an input without units.
        """
        _ = self.classes
        return self._values(inputs, batch_size)

    def predict(self, inputs: Sequence[Any], *, batch_size: int = 64) -> NDArray[Any]:
        """Names of classes ``[n]``; true for yes ``[n, T]``; or numbers in the unit of the data ``[n, T]``.

        Raises:
            TypeError: ``inputs`` is a single string.
            ValueError: an input without units.
        """
        values = self._values(inputs, batch_size)
        if isinstance(self.model.task, Classification):
            named: NDArray[Any] = np.asarray(self.model.task.names)[values.argmax(1)]
            return named
        return values > 0.5 if isinstance(self.model.task, BinaryTasks) else values

    def explain(self, inputs: Sequence[Any], *, batch_size: int = 64) -> list[Explanation]:
        """One explanation of each input, in order: the call of a list under the name that other explainers have.

        Raises:
            TypeError: ``inputs`` is a single string.
            ValueError: an input without units.
        """
        return self(_several(inputs), batch_size=batch_size)

    def frame(self, data: pd.DataFrame, column: str, *, batch_size: int = 64, progress: bool = True) -> pd.DataFrame:
        """Explain a column of a DataFrame.

        Args:
            data: with raw inputs in ``column``; it is not changed.
            column: its name.
            batch_size: inputs at a time.
            progress: show a bar.

        Returns:
            with the index of ``data``: ``prediction`` and its ``probability``, or a column for each question or number;
            ``rationale``, selected words or numbers of nodes as a tuple, and ``selected``, their share of all.

        Raises:
            KeyError: no such column.
            ImportError: pandas is not installed.
            ValueError: an input without units, named by its place.
        """
        from rich.progress import track

        pandas = require("pandas", extra="report")
        if column not in data.columns:
            raise KeyError(f"there is no column {column!r} in this DataFrame, only {', '.join(map(str, data.columns))}")
        inputs = data[column].tolist()
        batches = track(
            self._batches(inputs, batch_size),
            total=math.ceil(len(inputs) / batch_size),
            description="explaining",
            disable=not progress,
            transient=True,
        )
        rows = [_row(each) for batch in batches for each in self._explained(batch)]
        found: pd.DataFrame = pandas.DataFrame(rows, index=data.index)
        return found

    def __repr__(self) -> str:
        return f"Trained({self.config['name']}: {type(self.model).__name__}, {', '.join(self.model.task.names)})"


def _several(inputs: Sequence[Any]) -> Sequence[Any]:
    if isinstance(inputs, str):
        raise TypeError(f"'inputs' must be a sequence of inputs, got the string {inputs!r}; give a list of one")
    return inputs


def _row(explanation: Explanation) -> dict[str, Any]:
    """What `Trained.frame` has of an example."""
    said = explanation.prediction
    row: dict[str, Any] = dict(said) if isinstance(said, Mapping) else {"prediction": said}
    if isinstance(said, str):
        row["probability"] = explanation.probabilities[said]
    return {**row, "rationale": explanation.rationale, "selected": explanation.share}


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
    if folder.name.endswith(PARTIAL) or (not folder.exists() and partial_of(folder).exists()):
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
        held = weights_of(weights)
        remedy = f"{weights} holds {held:,}, so it does not fit the model that {folder / 'config.yaml'} describes"
        with Budget(TIMES * held + BESIDE, remedy=remedy):
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
