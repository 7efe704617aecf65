"""A W&B run as its record file tells it, without W&B's server and without a run folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rationalizers.extras import require
from rationalizers.tracking.record import DamagedRecordError, read_records

if TYPE_CHECKING:
    import pandas as pd

# In the run folder: which run of W&B mirrors it.
IDENTITY = "wandb.json"
# Where the files of the run folder are among those of the W&B run.
SUBFOLDER = "rationalizer"
# What a comparison reads; the rest of the folder is in the artifact.
COMPARED = (
    "config.yaml",
    "metrics.json",
    "metrics.jsonl",
    "timing.json",
    "rationales.jsonl",
    "predictions.jsonl",
    "evaluation/*",
    IDENTITY,
)
# What W&B adds to every row, and to every configuration and summary.
OWN = "_"
_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass(frozen=True)
class Recorded:
    """A run of W&B, read from its record file.

    Args:
        file: that it was read from.
        facts: ``id``, ``name``, ``project``, ``entity``, ``group``, ``job_type`` and ``tags``; empty where W&B was told none.
        config: nested, as it was logged.
        rows: what was logged at each step, with ``_step``, ``_timestamp`` and ``_runtime`` of W&B's own.
        summary: the last value of every name, or what was set in its place.
        exit_code: 0 for a run that ended well; ``None`` for one that never ended.
        notes: what a reader should know: where the file is damaged.
    """

    file: Path
    facts: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The rows of epochs as ``metrics.jsonl`` of the run folder has them, without what W&B adds."""
        named = [{name: value for name, value in row.items() if not name.startswith(OWN)} for row in self.rows]
        return [row for row in named if "epoch" in row]

    def history(self) -> pd.DataFrame:
        """One row for each step: ``_step`` and what was logged; NaN where a name was not.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        columns = dict.fromkeys(["_step", *(name for row in self.rows for name in row if not name.startswith(OWN))])
        frame: pd.DataFrame = pandas.DataFrame(
            [{name: row.get(name) for name in columns} for row in self.rows], columns=[*columns]
        )
        return frame

    def config_frame(self) -> pd.DataFrame:
        """One row for each entry of the configuration: its dotted ``key`` and its ``value``; lists are values.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        frame: pd.DataFrame = pandas.DataFrame([*_entries(self.config)], columns=["key", "value"])
        return frame

    def summary_frame(self) -> pd.DataFrame:
        """One row for each ``name`` of the summary and its ``value``.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        found = [(name, value) for name, value in sorted(self.summary.items()) if not name.startswith(OWN)]
        frame: pd.DataFrame = pandas.DataFrame(found, columns=["name", "value"])
        return frame


def read_recorded(path: str | Path) -> Recorded:
    """Read a record file; a damaged one up to the damage, with a note.

    Args:
        path: a ``run-*.wandb`` file, or the folder ``offline-run-*`` or ``run-*`` with one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no record file of W&B, or a record that came through whole is not one of W&B's.
    """
    file = record_of(Path(path))
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2

    facts: dict[str, Any] = {}
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    rows: dict[int, dict[str, Any]] = {}
    code: int | None = None
    notes: list[str] = []
    try:
        for number, written in enumerate(read_records(file)):
            record: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            try:
                record.ParseFromString(written)
            except DecodeError as error:
                raise ValueError(f"{file}: record {number} is not one of W&B's: {error}") from error
            if record.HasField("run"):
                facts = _facts(record.run)
                _update(config, record.run.config)
                _update(summary, record.run.summary)
            elif record.HasField("config"):
                _update(config, record.config)
            elif record.HasField("summary"):
                _update(summary, record.summary)
            elif record.HasField("history"):
                row: dict[str, Any] = {}
                for item in record.history.item:
                    _set(row, _path(item), _value(item))
                rows.setdefault(int(row.get("_step", record.history.step.num)), {}).update(row)
            elif record.HasField("exit"):
                code = int(record.exit.exit_code)
    except DamagedRecordError as error:
        notes.append(f"{error}; what was logged after that is lost.")
    config.pop("_wandb", None)
    return Recorded(file, facts, config, tuple(rows[step] for step in sorted(rows)), summary, code, tuple(notes))


def record_of(path: Path) -> Path:
    """The record file of a folder ``offline-run-*`` or ``run-*``; a file is its own.

    Raises:
        FileNotFoundError: there is none, or more than one.
    """
    if not path.is_dir():
        if not path.is_file():
            raise FileNotFoundError(f"there is no record file {path} of W&B")
        return path
    found = sorted(path.glob("run-*.wandb"))
    if len(found) != 1:
        raise FileNotFoundError(f"{path} holds {len(found)} record files run-*.wandb, expected one; name the folder of one run")
    return found[0]


def _facts(run: Any) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "name": run.display_name,
        "project": run.project,
        "entity": run.entity,
        "group": run.run_group,
        "job_type": run.job_type,
        "tags": tuple(run.tags),
    }


def _update(held: dict[str, Any], change: Any) -> None:
    """Apply a record that sets and removes names."""
    for item in change.update:
        _set(held, _path(item), _value(item))
    for item in change.remove:
        *above, last = _path(item)
        inner: Any = held
        for name in above:
            inner = inner.get(name, {})
        inner.pop(last, None)


def _set(held: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        held = held.setdefault(name, {})
    held[path[-1]] = value


def _path(item: Any) -> tuple[str, ...]:
    return (item.key,) if item.key else tuple(item.nested_key)


def _value(item: Any) -> Any:
    """A value as JSON says it, numbers that JSON has no word for included."""
    value = json.loads(item.value_json)
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


def _entries(value: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for name, item in value.items():
        key = f"{above}{name}"
        if isinstance(item, Mapping) and item:
            yield from _entries(item, f"{key}.")
        else:
            yield key, item
