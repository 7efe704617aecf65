"""JSON and YAML that somebody else may have written: read as plain data, within bounds, or refused with the file's name.

A file of a few lines can describe more than any memory holds (YAML's aliases), nest deeper than Python's stack, or hold
characters that no file can be written with again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

# Of a configuration; those of our runs have some kilobytes, a hundred values and seven levels.
BYTES, VALUES, LEVELS = 2**22, 100_000, 64


def read_json(file: Path, *, problem: str = "not JSON", remedy: str = "correct the file or get it again") -> Any:
    """The value that a file of JSON describes.

    Args:
        file: to read.
        problem: what to say of a file that is not JSON.
        remedy: what to do then.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as `parse_json`, with the file, and the line where that is known.
    """
    try:
        return parse_json(file.read_bytes())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}:{error.lineno}: {problem}: {error.msg}; {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{file}: {problem}: {error}; {remedy}") from error


def parse_json(content: bytes) -> Any:
    """The value that JSON text in UTF-8 describes.

    Raises:
        ValueError: it is not JSON or not UTF-8, is nested too deeply, or holds half a character or too long a number.
    """
    text = content.decode("utf-8")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("values are nested too deeply") from error
    if "\\ud" in text.lower():  # half of a pair of surrogates cannot be written to any file
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    return found


def parse_yaml(content: bytes, where: str) -> Any:
    """The value that plain YAML in UTF-8 describes; tags that name classes are errors.

    Raises:
        ValueError: it is not plain YAML, or describes more than a configuration can be; names the place.
    """
    if len(content) > BYTES:
        raise ValueError(f"{where}: expected a configuration of at most {BYTES:,} bytes, got {len(content):,}; is this the file?")
    try:
        found = yaml.safe_load(content.decode("utf-8"))
        values, levels = _extent(found, {}, set())
    except RecursionError as error:
        raise ValueError(f"{where}: expected at most {LEVELS} levels, got values nested too deeply; write them flat") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: not plain YAML: {error}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if values > VALUES or levels > LEVELS:
        raise ValueError(
            f"{where}: expected at most {VALUES:,} values on {LEVELS} levels, got {min(values, 10**9):,} or more on {levels}; "
            "write out what its aliases (*name) repeat, or remove them"
        )
    return found


def _extent(value: Any, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """How many values there are with everything that aliases repeat, and on how many levels; each is looked at once."""
    if isinstance(value, str):
        value.encode("utf-8")  # raises where no file can hold it
    if not isinstance(value, (dict, list)):
        return 1, 0
    if id(value) in above:
        raise ValueError("a value contains itself; remove the alias (*name)")
    if id(value) not in known:
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        below = [_extent(part, known, above | {id(value)}) for part in parts]
        known[id(value)] = (1 + sum(count for count, _ in below), 1 + max((level for _, level in below), default=0))
    return known[id(value)]
