"""The tables of a comparison to take along: Markdown and LaTeX to read, CSV with every digit for other programs."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from rationalizers.extras import require
from rationalizers.report.comparison import Comparison
from rationalizers.report.seeds import Difference
from rationalizers.report.table import to_latex, to_markdown
from rationalizers.run import write_atomically

if TYPE_CHECKING:
    import pandas as pd


def write_tables(comparison: Comparison, folder: str | Path, *, reference: str | None = None) -> list[Path]:
    """Write every table of a comparison as ``.md``, ``.tex`` and ``.csv``, and what to know of them as ``notes.md``.

    Args:
        comparison: of runs.
        folder: where to; files of these names are replaced.
        reference: compare every other method with this one, as `Comparison.differences`.

    Returns:
        the files.

    Raises:
        ValueError: no run has the method ``reference``.
        ImportError: the extra ``report`` is not installed.
    """
    folder = Path(folder)
    written = {folder / name: text for name, text in exports(comparison, reference).items()}
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in written.items():
        write_atomically(file, text)
    return list(written)


def exports(comparison: Comparison, reference: str | None = None) -> dict[str, str]:
    """The contents of these files by name; arguments and errors as `write_tables`.

    Tables to read are those of `Comparison.tables`. CSV has one row for each number: ``runs`` every number of every run,
    ``means`` those over seeds, models and floors alike, ``differences``, ``stability``, ``curves`` and ``curve-differences``.
    """
    found = {
        f"{name}.csv": frame.to_csv(index=False, lineterminator="\n")
        for name, frame in frames(comparison, reference).items()
        if len(frame)
    }
    for table in comparison.tables(reference):
        stem = re.sub(r"[^\w.-]+", "_", table.name)
        found |= {f"{stem}.md": to_markdown([table], []), f"{stem}.tex": to_latex([table], [])}
    notes = comparison.told(reference)
    return {**found, "notes.md": to_markdown([], notes)} if notes else found


def frames(comparison: Comparison, reference: str | None = None) -> dict[str, pd.DataFrame]:
    """The numbers of a comparison in tidy form, by the name of the table; some may have no rows."""
    pandas = require("pandas", extra="report")
    unknown = (math.nan, math.nan)
    compared = [each.name for each in fields(Difference)]
    lines: dict[str, tuple[list[str], list[tuple[object, ...]]]] = {
        "runs": (
            ["dataset", "method", "run", "seed", "metric", "value"],
            [
                (run.dataset, method, run.name, run.seed, metric, value)
                for run, method in zip(comparison.results, comparison.methods, strict=True)
                for metric, value in run.test.items()
            ],
        ),
        "means": (
            ["dataset", "method", "selection", "metric", "n", "mean", "sd", "example_low", "example_high"],
            [
                (dataset, row.method, row.selection, metric, row.n, mean, deviation, *row.intervals.get(metric, unknown))
                for dataset, found in comparison.means.items()
                for row in found
                for metric, (mean, deviation) in row.cells.items()
                if not math.isnan(mean)
            ],
        ),
        "differences": (
            ["dataset", *compared],
            [(name, *vars(each).values()) for name, found in comparison.pairs_to_read(reference).items() for each in found],
        ),
        "stability": (
            ["dataset", "method", "pairs", "overlap", "random"],
            [(name, *vars(each).values()) for name, found in comparison.seeds.items() for each in found],
        ),
        "curve-differences": (
            ["dataset", "dial", "value", *compared],
            [
                (name, dial.key, value, *vars(each).values())
                for name, dial in comparison.dials.items()
                for value, each in comparison.pairs_at(name, reference)
            ],
        ),
    }
    made = {name: pandas.DataFrame(rows, columns=head) for name, (head, rows) in lines.items()}
    return {**made, "curves": comparison.curves()}
