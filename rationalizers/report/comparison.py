"""Several runs side by side: means over seeds with their floors, and paired differences between methods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rationalizers.extras import require
from rationalizers.report.caveats import caveats
from rationalizers.report.result import Result, read_results
from rationalizers.report.seeds import METRICS, Difference, Row, differences, rows
from rationalizers.report.table import Table, to_html, to_markdown, to_text
from rationalizers.report.variant import variants

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup


@dataclass(frozen=True)
class Comparison:
    """Runs grouped by data set and method; a group holds runs that differ in nothing but their seed.

    Args:
        results: the runs.
        methods: the name of the group of each: its method and, where runs of one method differ in more than the seed, what
            they differ in.
        notes: what a reader should know before believing the numbers.
    """

    results: tuple[Result, ...]
    methods: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def datasets(self) -> list[str]:
        """Their names, sorted."""
        return sorted({result.dataset for result in self.results})

    def groups(self, dataset: str) -> dict[str, list[Result]]:
        """The runs of a data set by method, both sorted; runs by seed."""
        found: dict[str, list[Result]] = {}
        for result, method in sorted(zip(self.results, self.methods, strict=True), key=lambda each: (each[1], each[0].seed)):
            if result.dataset == dataset:
                found.setdefault(method, []).append(result)
        return found

    def table(self) -> pd.DataFrame:
        """Mean and standard deviation over seeds (n − 1 in the denominator).

        Returns:
            one row for each ``(dataset, method, selection)``, where selection is ``model`` or a floor (``random``, ``first``,
            ``last``, ``all``, ``oracle``); columns ``("runs", "n")`` and, for every metric, ``(metric, "mean")`` and
            ``(metric, "sd")``. NaN where a number does not exist.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        lines = [(dataset, row) for dataset in self.datasets for row in rows(self.groups(dataset))]
        columns = [("runs", "n"), *((metric, statistic) for metric in METRICS for statistic in ("mean", "sd"))]
        index = [(dataset, row.method, row.selection) for dataset, row in lines]
        frame: pd.DataFrame = pandas.DataFrame(
            [[row.n, *(value for pair in row.cells.values() for value in pair)] for _, row in lines],
            index=pandas.MultiIndex.from_tuples(index, names=["dataset", "method", "selection"]),
            columns=pandas.MultiIndex.from_tuples(columns),
        )
        return frame

    def differences(self, reference: str | None = None) -> pd.DataFrame:
        """Paired differences between methods on the same data, over the seeds that both have.

        Args:
            reference: every other method minus this one; ``None`` compares every pair, the second by name minus the first.

        Returns:
            ``dataset``, ``method``, ``reference``, ``metric``, ``n``, ``difference``, the 95 % paired t interval ``low`` and
            ``high``, and ``p`` (see `rationalizers.report.seeds`), not corrected for the number of comparisons.

        Raises:
            ValueError: no run has that method.
            ImportError: pandas or scipy is not installed.
        """
        pandas = require("pandas", extra="report")
        columns = ["dataset", "method", "reference", "metric", "n", "difference", "low", "high", "p"]
        lines = [(dataset, *vars(each).values()) for dataset, found in self.pairs(reference).items() for each in found]
        frame: pd.DataFrame = pandas.DataFrame(lines, columns=columns)
        return frame

    def pairs(self, reference: str | None = None) -> dict[str, list[Difference]]:
        """The differences by data set; arguments and errors as `differences`."""
        if reference is not None and reference not in self.methods:
            known = ", ".join(sorted(set(self.methods)))
            raise ValueError(f"'reference' must be one of the compared methods, {known}; got {reference!r}")
        return {dataset: differences(self.groups(dataset), reference) for dataset in self.datasets}

    def rows(self, dataset: str) -> list[Row]:
        """The table of a data set to read.

        A floor that equals selecting everything, as all do for a method that selects everything, is not repeated; selecting
        everything comes once, at the end and without a method, where it is the same for all methods.
        """
        found = rows(self.groups(dataset))
        everything = {row.method: row for row in found if row.selection == "all"}
        last = next(iter(everything.values()), None)
        shared = last is not None and len(everything) > 1 and all(row.same(last) for row in everything.values())
        shown = []
        for row in found:
            repeated = (
                shared if row.selection == "all" else row.floor and row.method in everything and row.same(everything[row.method])
            )
            if not repeated:
                shown.append(row)
        return [*shown, replace(last, method="")] if shared and last is not None else shown

    def to_text(self, *, reference: str | None = None, width: int = 160) -> str:
        """Table, differences and notes for a terminal of ``width`` columns; ``reference`` as in `differences`."""
        return to_text(self._tables(reference), self.notes, width=width)

    def to_markdown(self, *, reference: str | None = None) -> str:
        """Table, differences and notes in Markdown; ``reference`` as in `differences`."""
        return to_markdown(self._tables(reference), self.notes)

    def to_html(self, *, reference: str | None = None) -> Markup:
        """Table, differences and notes as HTML without a style of their own; ``reference`` as in `differences`."""
        return to_html(self._tables(reference), self.notes)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _tables(self, reference: str | None) -> list[Table]:
        means, paired = [], []
        for dataset, found in self.pairs(reference).items():
            for row in self.rows(dataset):
                indent = "  " if row.floor and row.method else ""
                means.append([dataset, indent + row.name, "" if row.floor else str(row.n), *row.text()])
            for each in found:
                paired.append([dataset, f"{each.method} − {each.reference}", METRICS[each.metric], *each.text()])
        tables = [
            Table("Test split, mean ± standard deviation over n seeds", ["data", "method", "n", *METRICS.values()], means),
            Table(
                "Paired differences over n common seeds (p is not corrected for the number of comparisons)",
                ["data", "pair", "metric", "n", "difference", "95 % t interval", "p"],
                paired,
                names=3,
            ),
        ]
        return [table for table in tables if table.rows]


def compare(folders: Iterable[str | Path]) -> Comparison:
    """Read finished runs and group them.

    Args:
        folders: run folders; unfinished ``.partial`` ones are left out with a note. `rationalizers.report.result.find_runs` lists
            those below a folder.

    Raises:
        FileNotFoundError: a folder is not a finished run; names folder and file.
        ValueError: a file does not hold what it should, or there is no finished run.
    """
    results, notes = read_results(folders)
    results.sort(key=lambda result: (result.dataset, result.method, result.seed, result.name, str(result.folder)))
    methods, described = variants(results)
    notes += described
    kept: dict[tuple[str, str, int], int] = {}
    for place, (result, method) in enumerate(zip(results, methods, strict=True)):
        first = kept.setdefault((result.dataset, method, result.seed), place)
        if first != place:
            notes.append(f"{result.folder} repeats {results[first].folder} (same data, configuration and seed) and was left out.")
    chosen = [(results[place], methods[place]) for place in kept.values()]
    return Comparison(tuple(run for run, _ in chosen), tuple(name for _, name in chosen), (*notes, *caveats(chosen, METRICS)))
