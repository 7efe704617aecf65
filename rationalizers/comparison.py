"""Several runs side by side: means and spreads over seeds, floors, and paired differences with their uncertainty.

Seeds are few, so intervals are Student's: in simulations of normal data, bootstrap intervals that promise 95 % cover the mean
in 75 to 84 % of the cases with three to five seeds, t intervals in 94 to 97 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from rationalizers.caveats import caveats
from rationalizers.extras import require
from rationalizers.page import MISSING, number, probability, spread
from rationalizers.result import Result, read_results
from rationalizers.table import Table, to_html, to_markdown, to_text
from rationalizers.variant import variants

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

METRICS = {
    "accuracy": "accuracy",
    "token_f1": "token F1",
    "token_precision": "token precision",
    "token_recall": "token recall",
    "iou_f1@0.5": "IoU F1 at 0.5",
    "selected_share": "selected share",
}
SELECTIONS = {"model": "", "random": "random, same size", "all": "select all", "oracle": "oracle, same size"}
LEVEL = 0.95


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

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Test numbers, tidy: ``run``, ``dataset``, ``method``, ``seed``, ``selection``, ``metric``, ``value``.

        ``selection`` is ``model`` or the name of a floor.
        """
        pandas = require("pandas", extra="report")
        rows = []
        for result, method in zip(self.results, self.methods, strict=True):
            for name, value in result.test.items():
                _, selection, metric = name.split("/", 2) if name.startswith("floor/") else ("", "model", name)
                if metric in METRICS and selection in SELECTIONS:
                    rows.append((result.name, result.dataset, method, result.seed, selection, metric, value))
        columns = ["run", "dataset", "method", "seed", "selection", "metric", "value"]
        frame: pd.DataFrame = pandas.DataFrame(rows, columns=columns)
        return frame

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
            one row for each ``(dataset, method, selection)``, ``model`` followed by the floors; columns ``(metric, "mean")``,
            ``(metric, "sd")`` for the metrics of `METRICS`, and ``("runs", "n")``. NaN where a number does not exist.
        """
        pandas = require("pandas", extra="report")
        grouped = self.frame.groupby(["dataset", "method", "selection", "metric"])["value"].agg(["mean", "std"])
        rows, index = [], []
        for dataset in self.datasets:
            for method, results in self.groups(dataset).items():
                for selection in SELECTIONS:
                    keys = [(dataset, method, selection, metric) for metric in METRICS]
                    if selection == "model" or any(key in grouped.index for key in keys):
                        found = [tuple(grouped.loc[key]) if key in grouped.index else (math.nan, math.nan) for key in keys]
                        index.append((dataset, method, selection))
                        rows.append([len(results), *(value for pair in found for value in pair)])
        columns = pandas.MultiIndex.from_tuples(
            [("runs", "n"), *((metric, statistic) for metric in METRICS for statistic in ("mean", "sd"))]
        )
        names = ["dataset", "method", "selection"]
        frame: pd.DataFrame = pandas.DataFrame(rows, index=pandas.MultiIndex.from_tuples(index, names=names), columns=columns)
        return frame

    def differences(self, reference: str | None = None) -> pd.DataFrame:
        """Paired differences between methods on the same data, over the seeds that both have.

        d̄ ± t_{.975, n−1} s_d / √n, and the two-sided p value of the paired t test. One common seed has neither; nor have
        differences that are all equal, which show no spread to measure against.

        Args:
            reference: every other method minus this one; ``None`` compares every pair, the second by name minus the first.

        Returns:
            ``dataset``, ``method``, ``reference``, ``metric``, ``n``, ``difference``, ``low``, ``high``, ``p``.

        Raises:
            ValueError: no run has that method.
            ImportError: pandas or scipy is not installed.
        """
        pandas = require("pandas", extra="report")
        if reference is not None and reference not in self.methods:
            raise ValueError(f"'reference' must be one of {', '.join(sorted(set(self.methods)))}; got {reference!r}")
        model = self.frame[self.frame["selection"] == "model"]
        rows = []
        for dataset in self.datasets:
            methods = list(self.groups(dataset))
            if reference is None:
                pairs = list(combinations(methods, 2))
            else:
                pairs = [(reference, method) for method in methods if method != reference and reference in methods]
            values = model[model["dataset"] == dataset].pivot_table(index="seed", columns=["method", "metric"], values="value")
            for base, method in pairs:
                for metric in METRICS:
                    if (method, metric) in values and (base, metric) in values:
                        paired = (values[(method, metric)] - values[(base, metric)]).dropna()
                        if len(paired):
                            rows.append((dataset, method, base, metric, *paired_t(paired.tolist())))
        columns = ["dataset", "method", "reference", "metric", "n", "difference", "low", "high", "p"]
        frame: pd.DataFrame = pandas.DataFrame(rows, columns=columns)
        return frame

    def rows(self, dataset: str) -> list[Row]:
        """The table of a data set to read: every method with its floors.

        A floor that equals selecting everything, as those of a method that selects everything do, is not repeated; selecting
        everything comes once, at the end, where it is the same for all methods.
        """
        rows, everything = [], {}
        for (method, selection), line in self.table().loc[dataset].iterrows():  # type: ignore[misc]
            cells = [(float(line[(metric, "mean")]), float(line[(metric, "sd")])) for metric in METRICS]
            rows.append(Row(method, selection, int(line[("runs", "n")]), cells))
            if selection == "all":
                everything[method] = rows[-1].means
        shared = len(set(everything.values())) == 1 and len(everything) > 1
        shown = [
            row
            for row in rows
            if row.selection == "model"
            or (row.selection == "all" and not shared)
            or (row.selection != "all" and row.means != everything.get(row.method))
        ]
        return [*shown, *[row for row in rows if row.selection == "all"][: int(shared)]]

    def tables(self, reference: str | None = None) -> list[Table]:
        """The table and the differences as text."""
        means = [
            [dataset, row.name if row.selection == "model" else f"  {row.name}", str(row.n) if row.selection == "model" else "", *row.text]
            for dataset in self.datasets
            for row in self.rows(dataset)
        ]
        differences = [
            [
                row.dataset, f"{row.method} − {row.reference}", METRICS[row.metric], str(row.n), number(row.difference, sign=True),
                MISSING if math.isnan(row.low) else f"[{number(row.low, sign=True)}, {number(row.high, sign=True)}]",
                probability(row.p),
            ]  # fmt: skip
            for row in self.differences(reference).itertuples()
        ]
        found = [
            Table("Test split, mean ± standard deviation over seeds", ["data", "method", "n", *METRICS.values()], means),
            Table(
                "Paired differences over common seeds (95 % t interval; p is not corrected for the number of comparisons)",
                ["data", "pair", "metric", "n", "difference", "95 % interval", "p"],
                differences,
                names=3,
            ),
        ]
        return [table for table in found if table.rows]

    def to_text(self, *, width: int = 160) -> str:
        """Table, differences and notes for a terminal of that many columns."""
        return to_text(self.tables(), self.notes, width=width)

    def to_markdown(self) -> str:
        """Table, differences and notes in Markdown."""
        return to_markdown(self.tables(), self.notes)

    def to_html(self) -> Markup:
        """Table, differences and notes as HTML without a style of its own."""
        return to_html(self.tables(), self.notes)

    def _repr_html_(self) -> str:
        return self.to_html()


@dataclass(frozen=True)
class Row:
    """A method, or one of its floors, in the table of a data set.

    Args:
        method: name of the group of runs.
        selection: ``model`` or the name of a floor.
        n: how many runs.
        cells: mean and standard deviation for each of `METRICS`.
    """

    method: str
    selection: str
    n: int
    cells: Sequence[tuple[float, float]]

    @property
    def name(self) -> str:
        """What to call it."""
        return self.method if self.selection == "model" else SELECTIONS[self.selection]

    @property
    def means(self) -> tuple[float | None, ...]:
        """Rounded so that equal numbers are equal."""
        return tuple(None if math.isnan(mean) else round(mean, 9) for mean, _ in self.cells)

    @property
    def text(self) -> list[str]:
        """The cells to read; floors without their spread."""
        return [spread(mean, deviation if self.selection == "model" else math.nan) for mean, deviation in self.cells]


def compare(folders: Iterable[str | Path]) -> Comparison:
    """Read finished runs and group them.

    Args:
        folders: run folders; unfinished ``.partial`` ones are left out with a note. `rationalizers.result.find_runs` lists
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


def paired_t(differences: Sequence[float]) -> tuple[int, float, float, float, float]:
    """n, mean, and the interval and p value of the paired t test; NaN where the differences have no spread."""
    stats = require("scipy.stats", extra="report")
    n = len(differences)
    mean = math.fsum(differences) / n
    variance = math.fsum((each - mean) ** 2 for each in differences) / (n - 1) if n > 1 else 0.0
    error = math.sqrt(variance / n)
    if error <= 1e-12 * max(1.0, abs(mean)):
        return n, mean, math.nan, math.nan, math.nan
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    return n, mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, n - 1))
