"""Tables of comma-separated values, plain or gzipped, with errors that name file, line and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from rationalizers.data.records import BAD_GZIP
from rationalizers.extras import require


def existing(path: Path, *, origin: str) -> Path:
    """The file or folder itself.

    Args:
        path: where it should be.
        origin: where it can be had.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there; get it from {origin}, or give the folder of all data ('root' or RATIONALIZERS_DATA)"
        )
    return path


def read_table(source: Path | IO[bytes], *, header: bool = True, name: Path | None = None) -> Any:
    """The table as a pandas frame; blank lines are rows, empty cells are missing, and nothing else is.

    Args:
        source: file to read.
        header: whether its first line names the columns.
        name: what to call it in an error, where it is not the path.

    Raises:
        ValueError: the file is not such a table.
        ImportError: pandas is not installed.
    """
    pandas = require("pandas", extra="graph")
    try:
        return pandas.read_csv(
            source, header=0 if header else None, skip_blank_lines=False, keep_default_na=False, na_values=["", "nan", "NaN"]
        )
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError, *BAD_GZIP) as error:
        raise ValueError(f"{name or source} is not a table of comma-separated values ({error}); get it again") from error


def numeric(table: Any, columns: Sequence[Any], path: Path, *, header: bool = True) -> Tensor:
    """Columns of a table as numbers ``[R, T]`` in double precision, NaN where a cell is empty.

    Raises:
        ValueError: a column that is not there, or a cell that is no number.
    """
    pandas = require("pandas", extra="graph")
    if absent := [column for column in columns if column not in table.columns]:
        raise ValueError(
            f"{path} has no column {', '.join(map(repr, absent))}; it has {', '.join(map(str, table.columns[:12]))}"
            + (f" and {len(table.columns) - 12} more" if len(table.columns) > 12 else "")
        )
    found = []
    for column in columns:
        values = pandas.to_numeric(table[column], errors="coerce")
        if (wrong := values.isna() & table[column].notna()).any():
            row = int(wrong.to_numpy().argmax())
            raise ValueError(f"{line(path, row, header=header)}: {column!r} should be a number, got {table[column][row]!r}")
        found.append(torch.tensor(values.to_numpy(dtype="float64", copy=True)))
    return torch.stack(found, dim=1)


def line(path: Path, row: int, *, header: bool = True) -> str:
    """The place ``file:line`` of a row that is counted from 0."""
    return f"{path}:{row + 1 + header}"
