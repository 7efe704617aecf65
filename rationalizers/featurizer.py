"""Featurizers: from raw input (a text, a SMILES string) to a batch, and from an output back to something to read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rationalizers.base import Output
from rationalizers.batch import Batch
from rationalizers.language.sequence_rationale import TokenRationale
from rationalizers.rewording import Reworded
from rationalizers.task import Task


class Explanation(ABC):
    """One explained example: prediction and rationale in words or atoms.

    Attributes:
        mask: of each word or atom, true or false, or in [0, 1].
        probabilities: of each class; empty where numbers, or several questions, are answered.
    """

    mask: Sequence[float]
    probabilities: Mapping[str, float]

    @property
    @abstractmethod
    def prediction(self) -> str | Mapping[str, float]:
        """The most probable class, or the values by target."""

    @property
    @abstractmethod
    def rationale(self) -> tuple[Any, ...]:
        """What was selected: words, or numbers of nodes."""

    @property
    def share(self) -> float:
        """Share of the words or atoms with mask above one half; zero where there is none."""
        return sum(each > 0.5 for each in self.mask) / max(1, len(self.mask))

    def row(self) -> dict[str, Any]:
        """The example as a row of a table: what was predicted, ``rationale``, and ``selected``, the share of all."""
        said = self.prediction
        row: dict[str, Any] = dict(said) if isinstance(said, Mapping) else {"prediction": said}
        if isinstance(said, str):
            row["probability"] = self.probabilities[said]
        return {**row, "rationale": self.rationale, "selected": self.share}

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """The example as JSON-ready primitives: one line of ``rationales.jsonl``."""

    @abstractmethod
    def _repr_html_(self) -> str:
        """What a notebook shows."""

    def with_targets(self, targets: tuple[TokenRationale, ...]) -> Explanation:
        """The same with the rationales of parts of the input, which some methods predict, too."""
        raise NotImplementedError(f"{type(self).__name__} has no place for rationales of parts of the input")


class Featurizer(ABC):
    """Knows how raw input becomes units; saved with a run so that a trained model can be given raw input.

    Attributes:
        vocabulary: the name of each row of an embedding table; empty where units are not words.
    """

    vocabulary: Sequence[str] = ()

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What an encoder must know to be built (``vocabulary``, ``mask_id``, …)."""

    @abstractmethod
    def batch(self, inputs: Sequence[Any], *, first: int = 0) -> Batch:
        """A batch without targets from raw inputs.

        Args:
            inputs: raw.
            first: place of the first of them among all inputs, for names and errors.

        Raises:
            ValueError: an input that has no units, named by its place.
        """

    @abstractmethod
    def explain(self, batch: Batch, output: Output, task: Task) -> list[Explanation]:
        """The examples of a batch with what a model said about them."""

    @abstractmethod
    def reworded(self, batch: Batch) -> Reworded:
        """The same examples said otherwise: what means the same to a reader, but is other input to a model.

        What is changed depends on an example alone, and not on chance or on the rest of the batch.

        Args:
            batch: that this featurizer made, with its facts and on any device.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was learnt from the training split."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read it back.

        Raises:
            ValueError: a file that does not hold it, named.
        """
