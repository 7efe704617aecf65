"""Evaluations in a run folder: what is written while one is made, and what is left when it is done.

=========================================== ==========================================================================
evaluation/<name>.partial/                  one file of tensors per finished batch; resumed from, then deleted
evaluation/<name>.json                      settings, numbers with their 95 % intervals, the curve over sizes
evaluation/<name>.examples.jsonl            per example and number, the numerator and denominator
evaluation/<name>.rationales.jsonl          every example explained, as ``rationales.jsonl`` of the run has its own
evaluation/<name>.predictions.jsonl         the same in ERASER's format with the probabilities on parts, of texts with classes
metrics.json                                gets the numbers and intervals under ``evaluation``
report.html                                 is written anew with them
=========================================== ==========================================================================
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rationalizers.data.records import broken, records
from rationalizers.evaluation.examine import Examined
from rationalizers.parsing import read_json
from rationalizers.run import PARTIAL, write_atomically, write_json

FOLDER = "evaluation"
# 1: the first.
FORMAT = 1
AGAIN = "delete the file and evaluate again"
# What reports ask of an evaluation.
SETTINGS = ("split", "explained_by", "attribution", "absence")


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Args:
        name: of the evaluation: split, what explained the model, what absent means.
        settings: what decides about its numbers.
        numbers: by name, floors as ``floor/<which>/<number>``.
        intervals: 95 % intervals over examples of those numbers that are ratios of sums.
        curve: faithfulness over sizes: ``fractions``, and by ``comprehensiveness``, ``sufficiency`` and their random floors the
            means at each.
        notes: what was asked for and could not be measured, and why.
    """

    name: str
    settings: Mapping[str, Any]
    numbers: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    curve: Mapping[str, Sequence[float]]
    notes: Sequence[str] = ()

    @classmethod
    def read(cls, file: Path) -> Evaluation:
        """Read ``evaluation/<name>.json``.

        Raises:
            ValueError: it is not one; names the file.
        """
        found = read_json(file, remedy=AGAIN)
        expected = ("format", "name", "settings", "numbers", "intervals", "curve", "notes")
        if not isinstance(found, dict) or set(expected) - found.keys():
            raise ValueError(f"{file}: expected {', '.join(expected)}; {AGAIN}")
        if found["format"] != FORMAT:
            raise ValueError(f"{file}: expected format {FORMAT}, got {found['format']!r}; {AGAIN}")
        # Other files of the evaluation are found by its name.
        if found["name"] != file.stem:
            raise ValueError(f"{file}: expected the name {file.stem!r}, got {found['name']!r}; {AGAIN}")
        if not isinstance(found["settings"], dict) or set(SETTINGS) - found["settings"].keys():
            raise ValueError(f"{file}: expected settings with {', '.join(SETTINGS)}, got {found['settings']!r}; {AGAIN}")
        try:
            numbers = {name: _number(value) for name, value in found["numbers"].items()}
            intervals = {name: (_number(low), _number(high)) for name, (low, high) in found["intervals"].items()}
            curve = {name: [_number(value) for value in values] for name, values in found["curve"].items()}
            notes = tuple(map(str, found["notes"]))
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"{file}: expected numbers by name, intervals of two, and notes ({error}); {AGAIN}") from error
        return cls(found["name"], found["settings"], numbers, intervals, curve, notes)


class Store:
    """Where one evaluation of a run is kept.

    Args:
        folder: of the run.
        name: of the evaluation.

    Raises:
        ValueError: a name that is no file name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if not re.fullmatch(r"[\w.+=,-]+", name) or name.startswith("."):
            raise ValueError(f"'name' must be letters, digits and _ . + = , - as a file name, got {name!r}")
        self.folder, self.name = folder, name
        self.file = folder / FOLDER / f"{name}.json"
        self.examples = folder / FOLDER / f"{name}.examples.jsonl"
        self.rationales = folder / FOLDER / f"{name}.rationales.jsonl"
        self.predictions = folder / FOLDER / f"{name}.predictions.jsonl"
        self.partial = folder / FOLDER / f"{name}{PARTIAL}"

    def open(self, settings: Mapping[str, Any]) -> Evaluation | None:
        """The finished evaluation where there is one; else a place for its parts, with those that are there already.

        Raises:
            FileExistsError: one of this name was made, or begun, with other settings.
        """
        if self.file.is_file():
            found = Evaluation.read(self.file)
            self._same(found.settings, settings, self.file)
            return found
        begun = self.partial / "settings.json"
        if begun.is_file():
            self._same(read_json(begun, remedy=AGAIN), settings, begun)
        else:
            self.partial.mkdir(parents=True, exist_ok=True)
            write_json(begun, dict(settings))
        return None

    def read(self, number: int) -> Examined | None:
        """The answers about a batch, ``None`` where they are not there."""
        file = self._part(number)
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as parts:
                return Examined({name: parts.get_tensor(name) for name in parts.keys()}, parts.metadata()["level"])  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{file}: {error}; delete the file, and the same command makes it again") from error

    def write(self, number: int, examined: Examined) -> None:
        """Keep the answers about a batch."""
        file = self._part(number)
        scratch = file.with_name(file.name + ".writing")
        tensors: dict[str, Tensor] = {name: value.clone() for name, value in examined.tensors.items()}
        save_file(tensors, scratch, metadata={"level": examined.level})
        scratch.replace(file)

    def close(self, evaluation: Evaluation, *, rows: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        """Write what is left of a finished evaluation, and forget its parts.

        Args:
            evaluation: its numbers.
            rows: one for each example (`tensor_rows`).
            records: every example explained (`rationalizers.featurizer.Explanation.record`).
        """
        for file, lines in ((self.examples, rows), (self.rationales, records)):
            write_atomically(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        write_json(self.file, {"format": FORMAT, **_plain(vars(evaluation))})
        shutil.rmtree(self.partial)

    def publish(self, evaluation: Evaluation) -> None:
        """Add the numbers to ``metrics.json`` of the run."""
        file = self.folder / "metrics.json"
        metrics = read_json(file)
        told = {"numbers": evaluation.numbers, "intervals": evaluation.intervals}
        metrics["evaluation"] = {**metrics.get("evaluation", {}), evaluation.name: _plain(told)}
        write_json(file, metrics)

    def _part(self, number: int) -> Path:
        return self.partial / f"{number:05d}.safetensors"

    def _same(self, theirs: Mapping[str, Any], ours: Mapping[str, Any], file: Path) -> None:
        known = json.loads(json.dumps(dict(ours)))
        for key in {**known, **theirs}:
            if known.get(key) != theirs.get(key):
                raise FileExistsError(
                    f"{file} was made with {key} = {theirs.get(key)!r}, now it is {known.get(key)!r}; "
                    "give this evaluation another name (name=…), or delete that one"
                )


def read_evaluations(folder: Path) -> dict[str, Evaluation]:
    """The finished evaluations of a run by name, sorted."""
    found = [Evaluation.read(file) for file in sorted((folder / FOLDER).glob("*.json"))]
    return {each.name: each for each in found}


def read_columns(folder: Path, name: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Numerator and denominator of each number by the id of the example.

    Raises:
        FileNotFoundError: the evaluation has no such file.
        ValueError: a line is not what it should be; names file and line.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for where, row in records(folder / FOLDER / f"{name}.examples.jsonl", Counter()):
        try:
            found[str(row["id"])] = {key: (_number(pair[0]), _number(pair[1])) for key, pair in row["columns"].items()}
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            problem = f"expected an example with 'id' and 'columns', a numerator and a denominator by number ({error!r})"
            raise broken(where, problem, "delete the evaluation and make it again") from error
    return found


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _plain(value: Any) -> Any:
    """JSON without NaN, which is null, and with nine digits that count."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if value != value else float(f"{value:.9g}") if abs(value) != float("inf") else str(value)
    return value


def tensor_rows(columns: Mapping[str, tuple[Tensor, Tensor]], ids: Sequence[str]) -> list[dict[str, Any]]:
    """One JSON-ready row for each example."""
    pairs = {name: torch.stack([a, b], 1).tolist() for name, (a, b) in columns.items()}
    return [
        {"id": one, "columns": {name: [float(f"{value:.9g}") for value in values[place]] for name, values in pairs.items()}}
        for place, one in enumerate(ids)
    ]
