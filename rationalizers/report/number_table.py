"""Means with their floors, and differences between methods, as tables to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rationalizers.report.seeds import HOLM, Difference, Row, pair_columns
from rationalizers.report.table import Table


def mean_table(dataset: str, found: Sequence[Row], metrics: Mapping[str, str], split: str) -> Table:
    """Methods with their floors below them.

    Args:
        dataset: its name.
        found: in the order to read.
        metrics: that the rows have, with their names.
        split: which the numbers are of.
    """
    rows = [
        [dataset, ("  " if row.floor and row.method else "") + row.name, "" if row.floor else str(row.n), *row.text()]
        for row in found
    ]
    drawn = " [95 % interval over examples]" if any(row.intervals for row in found) else ""
    title = f"{split.capitalize()} split, mean ± standard deviation over n seeds{drawn}"
    return Table(title, ["data", "method", "n", *metrics.values()], rows, name=f"means-{dataset}")


def difference_table(pairs: Mapping[str, Sequence[Difference]], metrics: Mapping[str, str]) -> Table:
    """Differences of all data sets, a row for each metric.

    Args:
        pairs: by data set.
        metrics: the names of all metrics.
    """
    head, cells = pair_columns([each for found in pairs.values() for each in found])
    rows = [
        [dataset, f"{each.method} − {each.reference}", metrics[each.metric], *cells(each)]
        for dataset, found in pairs.items()
        for each in found
    ]
    title = f"Paired differences over n common seeds ({HOLM})"
    return Table(title, ["data", "pair", "metric", *head], rows, names=3, name="differences")
