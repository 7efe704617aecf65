"""Open a trained rationalizer: without Hydra, without a data module, and without trusting the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.budget import BESIDE, TIMES, Budget
from rationalizers.build import build, trusting
from rationalizers.extras import require
from rationalizers.featurizer import Explanation, Featurizer
from rationalizers.publishing import Publishable
from rationalizers.run import PARTIAL, WEIGHTS, partial_of, read_config
from rationalizers.source import from_hub, locate
from rationalizers.task import BinaryTasks, Classification, Regression, Task
from rationalizers.weights import count_weights, read_weights

if TYPE_CHECKING:
    import pandas as pd

    from rationalizers.attribution import Padded


class Trained(Publishable):
    """A trained rationalizer in evaluation mode that takes raw input, of which results never depend on ``batch_size``.

    Called, it explains; `predict` and `predict_proba` are those of scikit-learn's estimators; `frame` takes a DataFrame.

    Attributes:
        model: the Lightning module.
        featurizer: raw input to batches and back.
        config: what the run folder says about the run.
        folder: that run folder; ``None`` where there is none.
    """

    def __init__(self, model: Rationalizer, featurizer: Featurizer, config: dict[str, Any], folder: Path | None = None) -> None:
        self.model, self.featurizer, self.config, self.folder = model.eval(), featurizer, config, folder

    @overload
    def __call__(self, inputs: str) -> Explanation: ...

    @overload
    def __call__(self, inputs: Iterable[Any], *, batch_size: int = ...) -> list[Explanation]: ...

    def __call__(self, inputs: Any, *, batch_size: int = 64) -> Explanation | list[Explanation]:
        """Explain one raw input (a string), or several.

        Args:
            inputs: a string; or a list, an array or a pandas Series of strings or of whatever the featurizer takes.
            batch_size: inputs at a time; the result does not depend on it.

        Returns:
            one explanation with tokens, mask, prediction and probability, or a list in the order of the inputs.

        Raises:
            TypeError: inputs that are no sequence.
            ValueError: an input without units, or a ``batch_size`` below one.
        """
        return next(self.stream([inputs])) if isinstance(inputs, str) else list(self.stream(inputs, batch_size=batch_size))

    def stream(self, inputs: Iterable[Any], *, batch_size: int = 64) -> Iterator[Explanation]:
        """One explanation of each input, in order, as they are made: of more inputs than explanations fit into memory.

        Raises:
            TypeError: inputs that are no sequence, or a single string.
            ValueError: an input without units, or a ``batch_size`` below one.
        """
        for batch in self._batches(inputs, batch_size):
            yield from self._explained(batch)

    def _batches(self, inputs: Iterable[Any], batch_size: int) -> Iterator[Batch]:
        """Inputs a batch at a time, where the model is."""
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        several = _several(inputs)
        for start in range(0, len(several), batch_size):
            yield self.featurizer.batch(several[start : start + batch_size], first=start).to(self.model.device)

    @torch.no_grad()
    def _explained(self, batch: Batch) -> list[Explanation]:
        """What the model says about a batch."""
        explained = self.featurizer.explain(batch, self.model(batch), self.model.task)
        targets = self.model.targets(batch)
        return explained if targets is None else [each.with_targets(some) for each, some in zip(explained, targets, strict=True)]

    @torch.no_grad()
    def _values(self, inputs: Iterable[Any], batch_size: int) -> NDArray[np.float64]:
        """Deployed predictions ``[n, C]``, as `Task.predict` has them."""
        predict = self.model.task.predict
        found = [predict(self.model(batch).logits).double().cpu().numpy() for batch in self._batches(inputs, batch_size)]
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

    def predict_proba(self, inputs: Iterable[Any], *, batch_size: int = 64) -> NDArray[np.float64]:
        """Probabilities ``[n, C]`` of classes, or of yes ``[n, T]``, in the order of `classes`.

        Raises:
            TypeError: the model predicts numbers, or ``inputs`` is a single string.
            ValueError: an input without units.
        """
        _ = self.classes
        return self._values(inputs, batch_size)

    def predict(self, inputs: Iterable[Any], *, batch_size: int = 64) -> NDArray[Any]:
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

    def explain(self, inputs: Iterable[Any], *, batch_size: int = 64) -> list[Explanation]:
        """One explanation of each input, in order: the call of a list under the name that other explainers have.

        Raises:
            TypeError: ``inputs`` is a single string.
            ValueError: an input without units.
        """
        return list(self.stream(inputs, batch_size=batch_size))

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
        explained = track(
            self.stream(data[column], batch_size=batch_size),
            total=len(data),
            description="explaining",
            disable=not progress,
            transient=True,
        )
        rows = [each.row() for each in explained]
        found: pd.DataFrame = pandas.DataFrame(rows, index=data.index, columns=None if rows else _columns(self.model.task))
        return found

    def captum(self, inputs: Iterable[Any]) -> Padded:
        """The prediction as captum (https://captum.ai) wants it, a function of padded embeddings ``[B, L, D] → [B, C]``.

            f = model.captum(texts)
            IntegratedGradients(f).attribute(f.embeddings, baselines=f.baselines, target=1).sum(-1)  # [B, L]

        Args:
            inputs: B raw inputs, all of which are in one batch.

        Raises:
            TypeError: a single string.
            ValueError: no input, one without units, or a model that does not embed its input exactly once.
        """
        from rationalizers.attribution import Padded

        several = _several(inputs)
        if not several:
            raise ValueError("'inputs' is empty; give at least one input")
        return Padded(self.model, self.featurizer.batch(several).to(self.model.device))

    @staticmethod
    def from_pretrained(
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        trust: Sequence[str] = (),
        device: str = "cpu",
    ) -> Trained:
        """The trained rationalizer of a folder, else of the repository ``owner/name`` of the Hugging Face Hub.

        A mistyped folder is asked for on the Hub, as by others' ``from_pretrained``; `load_rationalizer` never does that.

        Args:
            name: a folder, or ``owner/name``.
            revision: a branch, tag or commit of the repository.
            token: of an account; ``None`` is the one that is logged in.
            cache_dir: where repositories are kept.
            force_download: fetch what is there already, too.
            local_files_only: ask no server.
            trust: as in `load_rationalizer`.
            device: as in `load_rationalizer`.

        Raises:
            ConnectionError, FileNotFoundError, ImportError, PermissionError, ValueError: as `load_rationalizer`.
        """
        if Path(name).is_dir():
            return load_rationalizer(Path(name), trust=trust, device=device)
        folder = from_hub(
            str(name),
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        return load_rationalizer(folder, trust=trust, device=device)

    def __repr__(self) -> str:
        return f"Trained({self.config['name']}: {type(self.model).__name__}, {', '.join(self.model.task.names)})"


def _several(inputs: Iterable[Any]) -> list[Any]:
    """Inputs in a list, whatever holds them: of a pandas Series its values, not what its index calls 0, 1, 2."""
    if isinstance(inputs, str) or not isinstance(inputs, Iterable):
        said = f"the string {inputs!r}" if isinstance(inputs, str) else type(inputs).__name__
        raise TypeError(f"'inputs' must be a sequence of inputs, got {said}; give a list of one")
    if isinstance(inputs, Mapping) or hasattr(inputs, "columns"):
        raise TypeError(
            f"'inputs' must be a sequence of inputs, got {type(inputs).__name__}; give a column of it, or call 'frame'"
        )
    return list(inputs)


def _columns(task: Task) -> list[str]:
    """Columns of `Trained.frame`, as `Explanation.row` names them."""
    chosen = isinstance(task, Classification) or (isinstance(task, BinaryTasks) and task.outputs == 1)
    return [*(("prediction", "probability") if chosen else task.names), "rationale", "selected"]


def load_rationalizer(source: str | Path, *, trust: Sequence[str] = (), device: str = "cpu") -> Trained:
    """The trained rationalizer of a run folder, ready to explain raw input.

    Opening a folder never executes anything from it: YAML is read as plain data, weights as safetensors, classes only from this
    project and from packages named in ``trust``.

    Args:
        source: the folder of a finished run; ``hub:owner/name`` or ``hub:owner/name@revision`` for one on the Hugging Face Hub;
            ``wandb:entity/project/name:version`` for one in Weights & Biases (`rationalizers.source`).
        trust: packages, by name, whose classes the run may use beyond this project's own.
        device: where the model goes.

    Raises:
        ConnectionError: a server cannot be reached, or does not give the run.
        FileNotFoundError: the run, or a file of it, is missing.
        PermissionError: a server wants a login.
        ValueError: a file does not hold what it should, or a class is not allowed; named with the remedy.
    """
    folder = locate(source)
    if folder.name.endswith(PARTIAL) or (not folder.exists() and partial_of(folder).exists()):
        raise FileNotFoundError(f"{folder} is not finished; start its training command again, it resumes")
    config = read_config(folder)
    if not (folder / WEIGHTS).is_file():
        others = sorted(file.name for file in folder.iterdir() if file.suffix in (".pt", ".pth", ".bin", ".pkl", ".ckpt"))
        note = f"; {', '.join(others)} may hold pickled objects and is not opened" if others else ""
        raise FileNotFoundError(f"{folder} has no {WEIGHTS}{note}")
    with trusting(trust):
        for section in ("featurizer", "model"):
            if not isinstance(config.get(section), dict) or "_target_" not in config[section]:
                raise ValueError(
                    f"{folder / 'config.yaml'}: {section}: expected a mapping with a '_target_', got {config.get(section)!r}"
                )
        featurizer = build(config["featurizer"], Featurizer)
        featurizer.load(folder / "assets")
        _compare(config["model"], featurizer.facts(), folder)
        held = count_weights(folder)
        remedy = f"{folder / WEIGHTS} holds {held:,}, so it does not fit the model that {folder / 'config.yaml'} describes"
        with Budget(TIMES * held + BESIDE, remedy=remedy):
            model = build(config["model"], Rationalizer)
    read_weights(model, folder)
    return Trained(model.to(device), featurizer, config, folder)


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
