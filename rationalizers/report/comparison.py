"""Several runs side by side: means over seeds with their floors, and paired differences between methods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rationalizers.extras import require
from rationalizers.report.caveats import beside_floors, caveats, within_noise
from rationalizers.report.curve import cells, curve_tables, differences_at
from rationalizers.report.dial import Dial, find_dials
from rationalizers.report.evaluated import with_evaluations
from rationalizers.report.number_table import difference_table, mean_table
from rationalizers.report.result import Result, read_results
from rationalizers.report.seeds import Difference, Row, corrected, differences, metrics_of, pairs_of, rows
from rationalizers.report.setting import SECTIONS, flatten
from rationalizers.report.stability import Stability, seed_rows, seed_table
from rationalizers.report.table import Table, to_html, to_latex, to_markdown, to_text
from rationalizers.report.variant import natural, variants

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup


# Each is a bootstrap in every metric, and nobody reads more; with a reference there are as many as methods.
MOST_PAIRS = 100
LONG = 150


@dataclass(frozen=True)
class Comparison:
    """Runs grouped by data set and method; a group holds runs that differ in nothing but their seed.

    Args:
        results: the runs.
        methods: the name of the group of each: its method and, where runs of one method differ in more than the seed, what
            they differ in.
        notes: what a reader should know before believing the numbers.
        dials: by data set, the number of the configuration that curves are drawn over.
        split: which the numbers are of.
    """

    results: tuple[Result, ...]
    methods: tuple[str, ...]
    notes: tuple[str, ...]
    dials: Mapping[str, Dial]
    split: str = "test"

    @property
    def metrics(self) -> dict[str, str]:
        """The metrics that are compared, with their names."""
        return metrics_of(self.results)

    def metrics_of(self, dataset: str) -> dict[str, str]:
        """Those that are compared on a data set."""
        return metrics_of(result for result in self.results if result.dataset == dataset)

    @property
    def datasets(self) -> list[str]:
        """Their names, sorted."""
        return sorted({result.dataset for result in self.results})

    def groups(self, dataset: str) -> dict[str, list[Result]]:
        """The runs of a data set by method, both sorted; runs by seed."""
        found: dict[str, list[Result]] = {}
        runs = zip(self.results, self.methods, strict=True)
        for result, method in sorted(runs, key=lambda each: (natural(each[1]), each[0].seed)):
            if result.dataset == dataset:
                found.setdefault(method, []).append(result)
        return found

    def table(self) -> pd.DataFrame:
        """Mean and standard deviation over seeds (n − 1 in the denominator).

        Returns:
            one row for each ``(dataset, method, selection)``, where selection is ``model`` or a floor (``random``, ``first``,
            ``last``, ``all``, ``oracle``, ``majority``); columns ``("runs", "n")`` and, for every metric, ``(metric, "mean")``,
            ``(metric, "sd")``, and ``(metric, "example_low")`` and ``(metric, "example_high")``, the 95 % interval over examples
            of methods whose runs were all evaluated. NaN where a number does not exist.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        lines = [(dataset, row) for dataset in self.datasets for row in self.means[dataset]]
        statistics = ("mean", "sd", "example_low", "example_high")
        columns = [("runs", "n"), *((metric, statistic) for metric in self.metrics for statistic in statistics)]
        index = [(dataset, row.method, row.selection) for dataset, row in lines]
        unknown = (math.nan, math.nan)
        frame: pd.DataFrame = pandas.DataFrame(
            [
                [
                    row.n,
                    *(
                        value
                        for name in self.metrics
                        for value in (*row.cells.get(name, unknown), *row.intervals.get(name, unknown))
                    ),
                ]
                for _, row in lines
            ],
            index=pandas.MultiIndex.from_tuples(index, names=["dataset", "method", "selection"]),
            columns=pandas.MultiIndex.from_tuples(columns),
        )
        return frame

    def differences(self, reference: str | None = None) -> pd.DataFrame:
        """Paired differences between methods on the same data, over the seeds that both have.

        Args:
            reference: every other method minus this one, as `pairs`; ``None`` compares every pair, the second by name minus the
                first.

        Returns:
            ``dataset``, ``method``, ``reference``, ``metric``, ``n``, ``difference``, the 95 % paired t interval ``low`` and
            ``high``, and ``p`` (see `rationalizers.report.seeds`); of evaluated runs the paired bootstrap interval over examples
            ``example_low`` and ``example_high``, and ``example_p`` (see `rationalizers.statistics`); and both p values corrected
            for the number of comparisons of the metric on the data set, ``p_holm`` and ``example_p_holm``.

        Raises:
            ValueError: no run has that method.
            ImportError: pandas or scipy is not installed.
        """
        pandas = require("pandas", extra="report")
        columns = ["dataset", *(each.name for each in fields(Difference))]
        lines = [(dataset, *vars(each).values()) for dataset, found in self.pairs(reference).items() for each in found]
        frame: pd.DataFrame = pandas.DataFrame(lines, columns=columns)
        return frame

    def curves(self) -> pd.DataFrame:
        """Means over seeds along the number that runs were made for several values of.

        Returns:
            ``dataset``, ``dial`` (its key), ``method``, ``value``, ``metric``, ``n``, ``mean``, and the ends ``low`` and
            ``high`` of the 95 % t interval, NaN for one run.

        Raises:
            ImportError: pandas or scipy is not installed.
        """
        pandas = require("pandas", extra="report")
        columns = ["dataset", "dial", "method", "value", "metric", "n", "mean", "low", "high"]
        lines = [
            (dataset, dial.key, each.method, each.value, each.metric, each.n, each.mean, each.low, each.high)
            for dataset, dial in self.dials.items()
            for each in cells(dial, self.metrics_of(dataset))
        ]
        frame: pd.DataFrame = pandas.DataFrame(lines, columns=columns)
        return frame

    def pairs(self, reference: str | None = None) -> dict[str, list[Difference]]:
        """The differences by data set; arguments and errors as `differences`.

        A method with curves may be the reference as a whole: other methods with curves are compared with it where the number
        has the same value.
        """
        return {dataset: self._compared(dataset, pairs) for dataset, pairs in self._pairs(reference).items()}

    def pairs_to_read(self, reference: str | None = None) -> dict[str, list[Difference]]:
        """As `pairs`, without those of runs on different curves, which `pairs_at` has, unless one of them is the reference.

        Of a data set with more than `MOST_PAIRS` others there are none, and `warnings` says so.
        """
        crowded = self.crowded(reference)
        shown = {dataset: [] if dataset in crowded else pairs for dataset, pairs in self._readable(reference).items()}
        return {dataset: self._compared(dataset, pairs) for dataset, pairs in shown.items()}

    def crowded(self, reference: str | None = None) -> dict[str, int]:
        """The data sets with more than `MOST_PAIRS` pairs to read, and how many; none where a reference is named."""
        found = {} if reference is not None else {dataset: len(pairs) for dataset, pairs in self._readable(None).items()}
        return {dataset: count for dataset, count in found.items() if count > MOST_PAIRS}

    def pairs_at(self, dataset: str, reference: str | None = None) -> list[tuple[float, Difference]]:
        """Differences between methods with curves where the number has the same value, with that value."""
        key = (dataset, reference)
        if key not in self._pairs_at:
            dial = self.dials[dataset]
            found = differences_at(dial, reference if reference in dial.lines else None, self.metrics)
            told = corrected([each for _, each in found])
            self._pairs_at[key] = [(value, each) for (value, _), each in zip(found, told, strict=True)]
        return self._pairs_at[key]

    def warnings(self, reference: str | None = None) -> list[str]:
        """What evaluations and intervals say against the numbers: what is within the noise, of a floor or of another method.

        Unlike `notes` these need the numbers of single examples, which are read when they are first asked for. ``reference`` as
        in `differences`.
        """
        found = []
        crowded = self.crowded(reference)
        for dataset, pairs in self.pairs_to_read(reference).items():
            told = [*beside_floors(self.groups(dataset), self.metrics), *within_noise(pairs, self.metrics)]
            if dataset in crowded:
                told.append(f"{crowded[dataset]:,} pairs of methods are too many to compare each; name one as the reference.")
            found += [f"{dataset}: {sentence}" for sentence in told]
        return found

    @cached_property
    def means(self) -> dict[str, list[Row]]:
        """Every method and every floor by data set."""
        return {dataset: rows(self.groups(dataset), self.metrics_of(dataset)) for dataset in self.datasets}

    @cached_property
    def seeds(self) -> dict[str, list[Stability]]:
        """Stability over seeds of what was evaluated, by data set."""
        return {dataset: seed_rows(self.groups(dataset)) for dataset in self.datasets}

    @cached_property
    def _differences(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[Difference]]:
        return {}

    @cached_property
    def _pairs_at(self) -> dict[tuple[str, str | None], list[tuple[float, Difference]]]:
        return {}

    def rows(self, dataset: str) -> list[Row]:
        """The table of a data set to read.

        A floor that equals selecting everything, as all do for a method that selects everything, is not repeated; selecting
        everything comes once, at the end and without a method, where it is the same for all methods.
        """
        found = self.means[dataset]
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

    def told(self, reference: str | None = None) -> list[str]:
        """`notes` and `warnings`."""
        return [*self.notes, *self.warnings(reference)]

    def to_text(self, *, reference: str | None = None, width: int = 160) -> str:
        """Table, differences and notes for a terminal of ``width`` columns; ``reference`` as in `differences`.

        More than `LONG` differences are left to the other forms.
        """
        tables, notes = self.tables(reference), self.told(reference)
        long = [table for table in tables if table.name == "differences" and len(table.rows) > LONG]
        notes += [f"{len(table.rows)} paired differences are too many to print; a reference makes them fewer." for table in long]
        return to_text([table for table in tables if table not in long], notes, width=width)

    def to_markdown(self, *, reference: str | None = None) -> str:
        """Table, differences and notes in Markdown; ``reference`` as in `differences`."""
        return to_markdown(self.tables(reference), self.told(reference))

    def to_latex(self, *, reference: str | None = None) -> str:
        """Table, differences and notes in LaTeX (`rationalizers.report.table.to_latex`); ``reference`` as in `differences`."""
        return to_latex(self.tables(reference), self.told(reference))

    def to_html(self, *, reference: str | None = None) -> Markup:
        """Table, differences and notes as HTML without a style of their own; ``reference`` as in `differences`."""
        return to_html(self.tables(reference), self.told(reference))

    def _repr_html_(self) -> str:
        return self.to_html()

    def tables(self, reference: str | None = None) -> list[Table]:
        """What there is to tell as tables of text; ``reference`` as in `differences`."""
        tables = [mean_table(name, self.rows(name), self.metrics_of(name), self.split) for name in self.datasets]
        tables += [difference_table(self.pairs_to_read(reference), self.metrics), seed_table(self.seeds)]
        for dataset, dial in self.dials.items():
            tables += curve_tables(dataset, dial, self.pairs_at(dataset, reference), self.metrics_of(dataset))
        return [table for table in tables if table.rows]

    def _compared(self, dataset: str, pairs: Sequence[tuple[str, str]]) -> list[Difference]:
        """The differences of some pairs, computed once."""
        key = (dataset, tuple(pairs))
        if key not in self._differences:
            self._differences[key] = corrected(differences(self.groups(dataset), pairs, self.metrics))
        return self._differences[key]

    def _pairs(self, reference: str | None) -> dict[str, list[tuple[str, str]]]:
        """The pairs of `pairs` by data set."""
        lines = {method for dial in self.dials.values() for method in dial.lines}
        if reference is not None and reference not in self.methods and reference not in lines:
            known = ", ".join(sorted({*self.methods, *lines}, key=natural))
            raise ValueError(f"'reference' must be one of the compared methods, {known}; got {reference!r}")
        found = {}
        for dataset in self.datasets:
            groups, places = self.groups(dataset), self._places(dataset)
            if reference is None or reference in self.methods:
                found[dataset] = pairs_of(groups, reference)
            else:
                every = [pair for base, (method, _) in places.items() if method == reference for pair in pairs_of(groups, base)]
                found[dataset] = [pair for pair in every if not _apart(places.get(pair[1]), places[pair[0]])]
        return found

    def _readable(self, reference: str | None) -> dict[str, list[tuple[str, str]]]:
        """Those without pairs of runs on different curves, unless one of them is the reference."""
        found = self._pairs(reference)
        for dataset, dial in self.dials.items():
            places = self._places(dataset)
            if len(dial.lines) > 1 and (reference in dial.lines or reference not in self.methods):
                found[dataset] = [pair for pair in found[dataset] if not set(pair) <= places.keys()]
        return found

    def _places(self, dataset: str) -> dict[str, tuple[str, float]]:
        """Method and value of the groups that are on a curve."""
        dial = self.dials.get(dataset)
        if dial is None:
            return {}
        found = {name: dial.place(results[0]) for name, results in self.groups(dataset).items()}
        return {name: place for name, place in found.items() if place is not None}


def compare(
    folders: Iterable[str | Path], *, dial: str | None = None, evaluation: str | None = None, split: str = "test"
) -> Comparison:
    """Read finished runs and their evaluations, and group them.

    Args:
        folders: run folders; unfinished ``.partial`` ones are left out with a note. `rationalizers.report.result.find_runs` lists
            those below a folder.
        dial: dotted key of the number that curves are drawn over; ``None`` takes the one in which runs of a method differ.
        evaluation: pattern of names of evaluations, as ``test-*-compact``; ``None`` takes all of the split
            (`rationalizers.report.evaluated.with_evaluations`).
        split: which the numbers are of; of another than ``test`` only evaluations have all of them.

    Raises:
        FileNotFoundError: a folder is not a finished run; names folder and file.
        ValueError: a file does not hold what it should, there is no finished run, no evaluation matches, or ``dial`` is no number
            in which runs differ.
    """
    results, notes = read_results(folders)
    results, told = with_evaluations(results, evaluation, split)
    return compare_results(results, notes=[*notes, *told], dial=dial, split=split)


def compare_results(
    results: Sequence[Result], *, notes: Sequence[str] = (), dial: str | None = None, split: str = "test"
) -> Comparison:
    """Group finished runs that have been read, or scored again (`Result.with_evaluation`).

    Args:
        results: the runs.
        notes: what a reader should know of how they came to be these.
        dial: as in `compare`.
        split: which the numbers are of.

    Raises:
        ValueError: ``dial`` is no number in which runs differ.
    """
    results, notes = list(results), list(notes)
    results.sort(key=lambda result: (result.dataset, result.method, result.seed, result.name, str(result.folder)))
    kept: dict[tuple[str, str, int, str], Result] = {}
    for result in results:
        settings = str(sorted(flatten(result, SECTIONS).items()))
        first = kept.setdefault((result.dataset, result.method, result.seed, settings), result)
        if first is not result:
            notes.append(f"{result.folder} repeats {first.folder} (same data, configuration and seed) and was left out.")
    chosen = list(kept.values())
    dials, told = find_dials(chosen, dial)
    methods, described = variants(chosen, dials)
    warned = caveats(list(zip(chosen, methods, strict=True)), metrics_of(chosen), dials)
    # A run that is left out is left out with each of its evaluations, and noted once.
    said = dict.fromkeys((*notes, *told, *described, *warned))
    return Comparison(tuple(chosen), tuple(methods), tuple(said), dials, split)


def _apart(one: tuple[str, float] | None, other: tuple[str, float]) -> bool:
    """Whether both are on curves, at different values."""
    return one is not None and one[1] != other[1]
