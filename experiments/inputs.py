"""Raw inputs of a command: a text, lines of standard input, or a column of a file, each with the place it is from."""

from __future__ import annotations

import csv
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*SEPARATORS, ".jsonl", ".parquet")


@dataclass(frozen=True)
class Inputs:
    """Raw inputs in order.

    Args:
        values: what a model is to read.
        place: where one of them is from, by its row: ``file:line``, or a name.
        table: the file that they are a column of, else ``None``.
    """

    values: Sequence[Any]
    place: Callable[[int], str]
    table: pd.DataFrame | None = None


def literal(arguments: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Command-line arguments in which Hydra takes the values of some entries as they stand.

    Unquoted, it would read a comma as a list of choices, and brackets and dollar signs in its own way. ``null`` stays what it is.
    """
    return [_quoted(each) if (key := each.partition("=")[0]) in keys and each != f"{key}=null" else each for each in arguments]


def _quoted(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if not equals:
        return argument
    # A backslash counts where a quotation mark, the end or an interpolation follows it.
    value = re.sub(r"(\\*)(\$\{)", lambda found: f"{found[1] * 2}\\{found[2]}", value)
    value = re.sub(r"(\\*)(')", lambda found: f"{found[1] * 2}\\{found[2]}", value)
    value = re.sub(r"(\\+)$", lambda found: found[1] * 2, value)
    return f"{key}='{value}'"


def read_inputs(text: str | None, file: str | None, *, column: str) -> Inputs:
    """What the command line names; ``-`` as a text is every line of standard input.

    Raises:
        SystemExit: neither or both of a text and a file, or a file that cannot be read; says what.
    """
    if (text is None) == (file is None):
        raise SystemExit("give either a text (text='…') or a file (file=reviews.csv column=text)")
    if text is not None:
        # Not splitlines(): a line may hold other separators than "\n".
        lines = sys.stdin.read().removesuffix("\n").split("\n") if text == "-" else [text]
        lines = [] if lines == [""] and text == "-" else lines
        return Inputs(lines, lambda row: f"standard input:{row + 1}" if text == "-" else "the text")
    path = Path(str(file)).expanduser()
    check_suffix(path, "file")
    try:
        table = _read(path, column)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    if column not in table.columns:
        raise SystemExit(f"{path} has no column {column!r}, only {', '.join(map(str, table.columns))}; name one: column=…")
    return Inputs(table[column].tolist(), lambda row: f"{path}:{_line(path, row)}", table)


def check_suffix(path: Path, key: str) -> None:
    """Raise unless the suffix says what kind of file it is."""
    if path.suffix not in SUFFIXES:
        raise SystemExit(f"{key}={path}: expected a name that ends in {', '.join(SUFFIXES)}")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table by the suffix of its file; where a cell is text alone, tuples are written as lists of JSON."""
    from rationalizers.run import write_atomically

    if path.suffix == ".parquet":
        table.map(_listed).to_parquet(path, index=False)
    elif path.suffix == ".jsonl":
        write_atomically(path, table.map(_listed).to_json(orient="records", lines=True, force_ascii=False))
    else:
        lists = table.map(lambda cell: json.dumps(cell, ensure_ascii=False) if isinstance(cell, tuple) else cell)
        write_atomically(path, lists.to_csv(index=False, sep=SEPARATORS[path.suffix], lineterminator="\n"))


def _listed(cell: Any) -> Any:
    return list(cell) if isinstance(cell, tuple) else cell


def _read(path: Path, column: str) -> pd.DataFrame:
    from rationalizers.extras import require

    pandas = require("pandas", extra="report")
    if path.suffix == ".parquet":
        table: pd.DataFrame = pandas.read_parquet(path)
    elif path.suffix == ".jsonl":
        table = pandas.DataFrame([record for _, record in _records(path)])
    else:
        table = pandas.read_csv(path, sep=SEPARATORS[path.suffix])
        if column in table.columns:
            # As it is written: an input may be the word "null", which is no missing value.
            as_written = {"usecols": [column], "dtype": str, "keep_default_na": False}
            table[column] = pandas.read_csv(path, sep=SEPARATORS[path.suffix], **as_written)[column]
    return table


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    from rationalizers.data.records import records

    return records(path, Counter())


def _line(path: Path, row: int) -> int:
    """The line on which a row of a table begins; of a file without lines, the number of the row."""
    if path.suffix == ".parquet":
        return row + 1
    if path.suffix == ".jsonl":
        place, _ = next(itertools.islice(_records(path), row, None))
        return int(place.rpartition(":")[2])
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=SEPARATORS[path.suffix])
        begun, found = 1, -1  # the head is no row
        for cells in reader:
            if cells:  # blank lines are no rows
                if found == row:
                    return begun
                found += 1
            begun = reader.line_num + 1
    raise AssertionError(f"{path} has no row {row}")
