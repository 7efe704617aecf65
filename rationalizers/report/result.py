"""A finished run as it is read back from its folder: what was run, its numbers, its examples."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rationalizers.extras import require
from rationalizers.parsing import parse_json
from rationalizers.report.record import REMEDY, check_record, is_count, numbers_only
from rationalizers.run import PARTIAL, WEIGHTS, read_config

if TYPE_CHECKING:
    import pandas as pd

    from rationalizers.evaluation.store import Evaluation
    from rationalizers.statistics import Floats

FILES = ("config.yaml", "metrics.json", "metrics.jsonl", "timing.json", "rationales.jsonl")
FACTS = ("name", "method", "dataset", "seed", "data")


@dataclass(frozen=True)
class Result:
    """What a run folder says.

    Args:
        folder: where it is.
        config: ``config.yaml``.
        metrics: ``metrics.json``: ``best_epoch``, ``epochs``, and numbers by split.
        evaluation: where the numbers of the test split are from; ``None`` is the training.
    """

    folder: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    evaluation: Evaluation | None = None

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.config["name"])

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.config["method"])

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return str(self.config["dataset"])

    @property
    def seed(self) -> int:
        """Random seed."""
        return int(self.config["seed"])

    @property
    def test(self) -> Mapping[str, float]:
        """Numbers of the test split by metric."""
        numbers: Mapping[str, float] = self.metrics["test"]
        return numbers

    def with_test(self, numbers: Mapping[str, float], *, explained_by: str | None = None) -> Result:
        """The same run with these numbers in place of those of its test split, named after what explained it."""
        method = self.method if explained_by is None else f"{self.method} + {explained_by}"
        return Result(self.folder, self.config, {**self.metrics, "test": dict(numbers)}).renamed(method)

    def renamed(self, method: str) -> Result:
        """The same run under another name of its method."""
        return replace(self, config={**self.config, "method": method})

    def with_evaluation(self, evaluation: Evaluation) -> Result:
        """The same run with the numbers, the examples and the explanations of one of its evaluations.

        The method is named after what explained it, unless that is its own rationale.
        """
        settings = evaluation.settings
        explained_by = None if settings["attribution"] is None else settings["explained_by"]
        return replace(self.with_test(evaluation.numbers, explained_by=explained_by), evaluation=evaluation)

    @cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """The finished evaluations of the run by name.

        Raises:
            ValueError: a file is not one; names it.
        """
        if not any((self.folder / "evaluation").glob("*.json")):
            return {}
        # Brings torch with it, which reports of runs without evaluations do not need.
        from rationalizers.evaluation.store import read_evaluations

        return read_evaluations(self.folder)

    @property
    def ids(self) -> tuple[str, ...]:
        """The examples that numbers are known of, sorted; empty where the run has not been evaluated."""
        return self._known[0]

    @property
    def columns(self) -> Mapping[str, Floats]:
        """Numerators and denominators ``[2, B]`` of every number over `ids`; empty where the run has not been evaluated."""
        return self._known[1]

    @cached_property
    def _known(self) -> tuple[tuple[str, ...], dict[str, Floats]]:
        if self.evaluation is None:
            return (), {}
        import numpy as np

        from rationalizers.evaluation.store import read_columns

        rows = read_columns(self.folder, self.evaluation.name)
        ids = tuple(sorted(rows))
        names = dict.fromkeys(name for row in rows.values() for name in row)
        nothing = (0.0, 0.0)
        return ids, {name: np.array([rows[one].get(name, nothing) for one in ids], np.float64).T for name in names}

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """One mapping of numbers per epoch, counted from 0 in ``epoch``.

        Raises:
            ValueError: a line is no such mapping; names file and line.
        """
        file = self.folder / "metrics.jsonl"
        rows = []
        for where, row in _read_lines(file):
            if not is_count(row.get("epoch")):
                raise ValueError(f"{where}: 'epoch' should be a count, got {row.get('epoch')!r}; {REMEDY}")
            rows.append(numbers_only(row))
        return rows

    @cached_property
    def timing(self) -> dict[str, Any]:
        """Seconds and counts by name."""
        return numbers_only(_read_json(self.folder / "timing.json"))

    @property
    def examples(self) -> list[dict[str, Any]]:
        """One mapping per example, as the evaluation explained it where there is one.

        Read each time that it is asked for: kept, those of 200 runs would fill the memory.

        Raises:
            ValueError: a line does not describe an example; names file and line.
        """
        name = "rationales.jsonl" if self.evaluation is None else f"evaluation/{self.evaluation.name}.rationales.jsonl"
        found = []
        for where, record in _read_lines(self.folder / name):
            check_record(record, where)
            found.append(record)
        return found


def read_result(folder: str | Path) -> Result:
    """The result of a finished run; its examples and epochs are read when they are first asked for.

    Raises:
        FileNotFoundError: a file that a finished run has is missing; names folder and file.
        ValueError: a file does not hold what it should; names the file, and the line where it has lines.
    """
    folder = Path(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} is not a finished run: {name} is missing; start its training command again, or leave it out"
            )
    config, metrics = read_config(folder), _read_json(folder / "metrics.json")
    for held, names, file in ((config, FACTS, "config.yaml"), (metrics, ("best_epoch", "epochs", "val", "test"), "metrics.json")):
        missing = [name for name in names if name not in held]
        if missing:
            raise ValueError(f"{folder / file}: expected {', '.join(names)}; missing: {', '.join(missing)}")
    if not isinstance(config["seed"], int) or not isinstance(config["data"], dict):
        raise ValueError(f"{folder / 'config.yaml'}: 'seed' should be a whole number and 'data' a mapping; {REMEDY}")
    for name in ("best_epoch", "epochs"):
        if not is_count(metrics[name]):
            raise ValueError(f"{folder / 'metrics.json'}: {name!r} should be a count, got {metrics[name]!r}; {REMEDY}")
    for split in ("val", "test"):
        if not isinstance(metrics[split], dict):
            raise ValueError(f"{folder / 'metrics.json'}: {split!r} should be numbers by name, got {metrics[split]!r}; {REMEDY}")
    return Result(folder, config, {**metrics, **{split: numbers_only(metrics[split]) for split in ("val", "test")}})


def find_runs(roots: str | Path | Iterable[str | Path]) -> list[Path]:
    """All run folders below some folders, finished or not, at any depth; a folder may be a run itself.

    What lies inside a run, or in a hidden folder, is no run of its own. Of a folder that W&B keeps it is the run folder among the
    files; the ``config.yaml`` beside it is W&B's own.

    Args:
        roots: a folder, a pattern of folders as ``runs/*/rnp-*`` (``**`` is any depth), or several of either.

    Returns:
        each once, in the order of the roots, and below one by name.

    Raises:
        FileNotFoundError: there is no such folder, or there is no run below any of them.
    """
    found: dict[Path, Path] = {}
    for root in folders_of(roots):
        inside: list[Path] = []
        # A folder sorts before what lies in it.
        for folder in sorted(file.parent for file in root.rglob("config.yaml")):
            hidden = any(part.startswith(".") for part in folder.relative_to(root).parts)
            own = folder.name == "files" and keeps_run(folder.parent)
            if not hidden and not own and not any(run in folder.parents for run in inside):
                inside.append(folder)
                found.setdefault(folder.resolve(), folder)
    if not found:
        listed = ", ".join(_named(roots)) or "no folder"
        raise FileNotFoundError(f"there is no run below {listed}; train something, or name another folder")
    outside = [place for place in found if not any(parent in found for parent in place.parents)]
    return [found[place] for place in outside]


def keeps_run(folder: Path) -> bool:
    """Whether a folder has the name of one that W&B keeps a run in: its record file, and in ``files`` what else it was given."""
    return re.fullmatch(r"(offline-)?run-\d{8}_\d{6}-.+", folder.name) is not None


def home_of(roots: str | Path | Iterable[str | Path], folders: Sequence[Path]) -> Path:
    """The folder that was looked in, or, where that was a pattern or several, the one that all runs found there lie in.

    Args:
        roots: as `find_runs` takes them.
        folders: what it found.
    """
    if isinstance(roots, (str, Path)) and Path(roots).is_dir():
        return Path(roots)
    return Path(os.path.commonpath([folder.parent.absolute() for folder in folders]))


def folders_of(roots: str | Path | Iterable[str | Path]) -> list[Path]:
    """The folders to look for runs in, each once.

    Args:
        roots: as `find_runs` takes them.

    Raises:
        FileNotFoundError: one names no folder.
    """
    return list(dict.fromkeys(folder for each in _named(roots) for folder in _folders(each)))


def _named(roots: str | Path | Iterable[str | Path]) -> list[str]:
    return [str(root) for root in ([roots] if isinstance(roots, (str, Path)) else roots)]


def _folders(root: str) -> list[Path]:
    """A folder, or those that match a pattern, by name, without what lies below another one."""
    if Path(root).is_dir():
        return [Path(root)]
    matching = {Path(name) for name in glob.glob(root, recursive=True) if Path(name).is_dir()}
    if not matching:
        raise FileNotFoundError(f"there is no folder {root} to look for runs in; train something, or name another folder")
    return sorted(folder for folder in matching if not matching & set(folder.parents))


def read_results(folders: Iterable[str | Path]) -> tuple[list[Result], list[str]]:
    """Results of the finished runs, and notes about the unfinished ones and about every folder of something else.

    Raises:
        FileNotFoundError, ValueError: as `read_result`.
        ValueError: no finished run is among them.
    """
    results, notes, unfinished = [], [], []
    for folder in map(Path, folders):
        if folder.name.endswith(PARTIAL):
            unfinished.append(folder.name)
        elif _foreign(folder):
            notes.append(f"{folder} is no run, its config.yaml is of something else, and was left out.")
        elif not (folder / "metrics.jsonl").is_file() and (folder / WEIGHTS).is_file():
            notes.append(f"{folder} is a model without its training, as it is published, and was left out.")
        else:
            results.append(read_result(folder))
    if unfinished:
        told = f"{unfinished[0]} is" if len(unfinished) == 1 else f"{len(unfinished)} runs ({', '.join(unfinished)}) are"
        remedy = "start its training command again, it resumes" if len(unfinished) == 1 else "start their sweep again, it goes on"
        notes.insert(0, f"{told} unfinished and left out; {remedy}.")
    if not results:
        raise ValueError(" ".join(["there is no finished run to read.", *notes]))
    return results, notes


def read_runs(folders: Iterable[str | Path]) -> pd.DataFrame:
    """Test numbers of finished runs in tidy form: ``run``, ``method``, ``dataset``, ``seed``, ``metric``, ``value``.

    Unfinished ``.partial`` folders are left out; ``attrs["notes"]`` of the frame names them.

    Raises:
        FileNotFoundError, ValueError: as `read_results`.
        ImportError: pandas is not installed.
    """
    pandas = require("pandas", extra="report")
    results, notes = read_results(folders)
    rows = [
        (result.name, result.method, result.dataset, result.seed, metric, value)
        for result in results
        for metric, value in result.test.items()
    ]
    frame: pd.DataFrame = pandas.DataFrame(rows, columns=["run", "method", "dataset", "seed", "metric", "value"])
    frame.attrs["notes"] = notes
    return frame


def _foreign(folder: Path) -> bool:
    """Whether a folder has a ``config.yaml`` that is of no run of any format."""
    file = folder / "config.yaml"
    return file.is_file() and re.search(r"^format\s*:", file.read_text("utf-8", errors="replace"), flags=re.MULTILINE) is None


def _read_json(file: Path) -> dict[str, Any]:
    return _mapping(file.read_bytes(), str(file))


def _read_lines(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The mappings of a file, each with its ``file:line``."""
    # Not splitlines(): words may hold line separators other than "\n".
    lines = ((f"{file}:{place}", line) for place, line in enumerate(file.read_bytes().split(b"\n"), start=1) if line)
    return [(where, _mapping(line, where)) for where, line in lines]


def _mapping(content: bytes, where: str) -> dict[str, Any]:
    try:
        value = parse_json(content)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}; {REMEDY}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a mapping, got {type(value).__name__}")
    return value
