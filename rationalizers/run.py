"""A run is a folder: what is in it, and how it comes into being without ever being half there.

While a run is in the making it lives in ``<folder>.partial``; the last act is to rename it. A folder without that suffix is
therefore complete:

=================== ==================================================================================================
config.yaml         plain primitives: format version, model, featurizer, data, trainer, seed
model.safetensors   weights of the epoch with the lowest validation loss
assets/             what the featurizer learnt (vocabulary)
last.ckpt           the end of the last finished epoch, for resuming
metrics.jsonl       one line per epoch
metrics.json        the chosen epoch, its validation numbers, the test numbers with their floors
timing.json         seconds; kept apart because two equal runs differ in them
rationales.jsonl    one line per test example
predictions.jsonl   the same in ERASER's format, of texts
evaluation/         what was asked of the finished run (`rationalizers.evaluation`)
shortcuts.jsonl     what its model selects of labelled examples and people did not, and
shortcuts.json      how much that is, where it was asked (`rationalizers.discovery`)
report.html         all of it to look at
wandb.json          which run of W&B mirrors it, where one does (`rationalizers.tracking`)
=================== ==================================================================================================
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from rationalizers import __version__
from rationalizers.parsing import parse_yaml

# 2: the task is described by its class; `trainer` says what chooses the epoch.
FORMAT = 2
FROM_DATA = "???"
PARTIAL = ".partial"
WEIGHTS = "model.safetensors"
# Not part of what makes two runs the same.
DESCRIPTIVE = ("versions",)


def versions() -> dict[str, str]:
    """Versions of what decides about numbers."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "lightning": version("pytorch-lightning"),
        "rationalizers": __version__,
    }


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new one, never a part."""
    scratch = path.with_name(path.name + ".writing")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.yaml``.

    Raises:
        TypeError: something in it is not a plain primitive.
    """
    try:
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    except yaml.YAMLError as error:
        raise TypeError(f"a run's configuration must hold plain primitives only: {error}") from error
    write_atomically(folder / "config.yaml", text)


def read_config(folder: Path) -> dict[str, Any]:
    """Read ``config.yaml`` of a run folder as plain data; nothing in it is resolved or executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not plain YAML, more than a configuration can hold, not a mapping, another format version, with what reads
            it, or an unresolved ``${…}``, named by its key.
    """
    file = Path(folder) / "config.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.yaml")
    config = parse_yaml(file.read_bytes(), str(file))
    if not isinstance(config, dict):
        raise ValueError(f"{file}: expected a mapping, got {type(config).__name__}")
    _check_format(config, file)
    _refuse_interpolation(config, file, "")
    return config


def _check_format(config: Mapping[str, Any], file: Path) -> None:
    """Raise unless this version reads the format of a configuration."""
    found, said = config.get("format"), config.get("versions")
    if type(found) is not int:
        raise ValueError(f"{file}: expected format {FORMAT}, got {found!r}; no version of rationalizers has written this file")
    by = f" ({said['rationalizers']})" if isinstance(said, Mapping) and "rationalizers" in said else ""
    if found > FORMAT:
        raise ValueError(
            f"{file}: format {found} was written by a newer version of rationalizers{by}, this one ({__version__}) reads format "
            f"{FORMAT}; get the newer one: pip install -U rationalizers"
        )
    if found < FORMAT:
        raise ValueError(
            f"{file}: format {found} was written by an older version of rationalizers{by}, this one ({__version__}) reads format "
            f"{FORMAT}; open it with the version that wrote it, or train it again in another folder (folder=…)"
        )


def _refuse_interpolation(value: Any, file: Path, key: str) -> None:
    if isinstance(value, str) and "${" in value:
        raise ValueError(f"{file}: {key or 'value'} holds {value!r}; run folders are read as they stand, nothing is resolved")
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_interpolation(item, file, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _refuse_interpolation(item, file, f"{key}[{place}]")


def difference(ours: Any, theirs: Any, key: str = "") -> str | None:
    """The first key in which two configurations differ, with both values; ``None`` where they agree.

    ``???`` (left to the data) agrees with anything.
    """
    if ours == FROM_DATA:
        return None
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for name in {**ours, **theirs}:
            if not key and name in DESCRIPTIVE:
                continue
            path = f"{key}.{name}".lstrip(".")
            if name not in ours or name not in theirs:
                return f"{path} is only in {'the new' if name in ours else 'the existing'} configuration"
            found = difference(ours[name], theirs[name], path)
            if found:
                return found
        return None
    return None if ours == theirs else f"{key} is {ours!r} now and {theirs!r} there"


def partial_of(folder: Path) -> Path:
    """Where the run of a folder lies while it is in the making."""
    return folder.with_name(folder.name + PARTIAL)


def open_run(folder: Path, config: Mapping[str, Any]) -> Path | None:
    """The working folder for a run, created or found again; ``None`` when the run is finished already.

    Raises:
        FileExistsError: the folder holds a different run, named by the first difference.
    """
    partial = partial_of(folder)
    for existing in (folder, partial):
        if (existing / "config.yaml").is_file():
            found = difference(dict(config), read_config(existing))
            if found:
                raise FileExistsError(
                    f"{existing} holds another run: {found}. Give this run another folder (folder=…), or delete that one"
                )
            return None if existing == folder else partial
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} exists and is not a run; give this run another folder (folder=…)")
    (partial / "assets").mkdir(parents=True, exist_ok=True)
    write_config(partial, config)
    return partial


def close_run(partial: Path, folder: Path) -> None:
    """Give a complete run its final name."""
    if folder.exists():
        folder.rmdir()
    os.replace(partial, folder)
