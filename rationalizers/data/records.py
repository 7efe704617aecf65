"""Lines of JSON files, each with the place ``file:line`` that an error about it names."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from rationalizers.parsing import parse_json

BAD_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


def records(path: Path, met: Counter[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a ``.jsonl`` file, each with its place ``file:line`` (lines count from 1)."""
    number = 0
    try:
        with open_plain_or_gzip(path) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    met["blank_lines"] += 1
                    continue
                try:
                    record = parse_json(line)
                except ValueError as error:
                    raise broken(f"{path}:{number}", f"expected one JSON object, got {_shown(line)} ({error})") from error
                if not isinstance(record, dict):
                    raise broken(f"{path}:{number}", f"expected one JSON object, got {_shown(line)}")
                yield f"{path}:{number}", record
    except BAD_GZIP as error:
        raise broken(f"{path}:{number + 1}", f"expected gzip data, got {error}") from error


def value(record: Mapping[str, Any], key: str, where: str, *kinds: type, optional: bool = False) -> Any:
    """``record[key]`` of one of these types; ``None`` for a null or absent one that is optional."""
    value = record.get(key)
    if optional and value is None:
        return None
    if key not in record:
        raise broken(where, f"expected the key {key!r}, got {', '.join(sorted(record)) or 'none'}")
    if not isinstance(value, kinds):
        raise broken(where, f"{key!r} should be {' or '.join(kind.__name__ for kind in kinds)}, got {value!r}")
    return value


def open_plain_or_gzip(path: Path) -> IO[bytes]:
    """A file for reading, unpacked if its name ends in ``.gz``."""
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def only(*paths: Path) -> Path | None:
    """The one of these that exists, if any."""
    present = [path for path in paths if path.exists()]
    if len(present) > 1:
        raise ValueError(f"{' and '.join(map(str, present))} hold the same thing; remove all but one")
    return present[0] if present else None


def broken(where: str, problem: str, remedy: str = "unpack the set again or correct the file") -> ValueError:
    """The error to raise about a place: what is wrong there, and what to do."""
    return ValueError(f"{where}: {problem}; {remedy}")


def _shown(line: bytes) -> str:
    """The end of a line, where truncation shows."""
    text = line.decode(errors="replace").strip()
    return repr(text if len(text) <= 60 else f"… {text[-60:]}")
