"""The report of several runs: one table, differences with their uncertainty, and the same texts read by every method."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rationalizers.report.comparison import Comparison, compare
from rationalizers.report.figure import Point, scatter_chart
from rationalizers.report.highlight import card, key
from rationalizers.report.page import render
from rationalizers.report.result import Result
from rationalizers.report.run_page import draw, share_out
from rationalizers.report.seeds import METRICS, SELECTIONS, Difference, Row, rows
from rationalizers.run import write_atomically

if TYPE_CHECKING:
    from markupsafe import Markup

GROUPS = {
    "divided": "Right by some methods, wrong by others",
    "right": "Right by every method",
    "wrong": "Wrong by every method",
    "unlabelled": "Texts without a label",
}


def write_comparison(folders: Iterable[str | Path], path: str | Path, *, reference: str | None = None, examples: int = 6) -> Path:
    """Write a page that compares runs: one file that needs no other and asks nothing of the network.

    Args:
        folders: run folders; unfinished ones are left out with a note.
        path: the file to write. Links to the reports of the runs are relative to it.
        reference: compare every other method with this one; ``None`` compares every pair.
        examples: how many texts to show for each data set, chosen by a hash of their names.

    Returns:
        the file.

    Raises:
        FileNotFoundError: a folder is not a finished run; names folder and file.
        ValueError: a file does not hold what it should, there is no finished run, or no run has the method ``reference``.
        ImportError: the extra ``report`` is not installed.
    """
    comparison, path = compare(folders), Path(path)
    sections = [
        {
            "dataset": dataset,
            "rows": comparison.rows(dataset),
            "chart": chart(dataset, rows(comparison.groups(dataset))),
            "pairs": pair_rows(differences),
            "runs": {method: links(results, path) for method, results in comparison.groups(dataset).items()},
            "examples": side_by_side(comparison, dataset, examples),
        }
        for dataset, differences in comparison.pairs(reference).items()
    ]
    page = render("comparison.html.j2", title="Comparison of runs", sections=sections, notes=comparison.notes, metrics=METRICS)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
    return path


def chart(dataset: str, found: Sequence[Row]) -> Markup | None:
    """Accuracy against token F1; ``None`` where no method has both."""
    floors = {(row.method, row.selection): row.cells["token_f1"][0] for row in found if row.floor}
    points = []
    for row in found:
        (x, x_error), (y, y_error) = row.cells["accuracy"], row.cells["token_f1"]
        if not row.floor and not math.isnan(x + y):
            points.append(Point(row.method, x, y, x_error, y_error, floors.get((row.method, "random"), math.nan)))
    if not points:
        return None
    everything = floors.get((points[0].name, "all"))
    line = None if everything is None else (SELECTIONS["all"], everything)
    return scatter_chart(f"Accuracy and token F1 on {dataset}", points, x="accuracy", y="token F1", line=line)


def pair_rows(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """One row for each pair of methods; each metric has a scale of its own, with zero in the middle.

    Returns:
        ``method``, ``reference``, and ``cells``: by metric the difference and where to draw it and its interval, in percent.
    """
    limits: dict[str, float] = {}
    for each in differences:
        bounds = (each.difference, each.low, each.high) if each.known else (each.difference,)
        limits[each.metric] = max(limits.get(each.metric, 0.0), *map(abs, bounds))
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for each in differences:
        scale = 48 / limits[each.metric] if limits[each.metric] > 0 else 0.0
        at = {name: 50 + scale * value for name, value in (("mean", each.difference), ("low", each.low), ("high", each.high))}
        row = lines.setdefault((each.method, each.reference), {"method": each.method, "reference": each.reference, "cells": {}})
        row["cells"][each.metric] = {"difference": each, "at": at}
    return list(lines.values())


def links(results: Sequence[Result], path: Path) -> list[tuple[int, str | None]]:
    """Seed of every run and the address of its report as seen from ``path``; ``None`` where it has none."""
    found: list[tuple[int, str | None]] = []
    for result in results:
        report = result.folder / "report.html"
        address = quote(Path(os.path.relpath(report.resolve(), path.resolve().parent)).as_posix())
        found.append((result.seed, address if report.is_file() else None))
    return found


def side_by_side(comparison: Comparison, dataset: str, count: int) -> dict[str, Any]:
    """The same texts as every method saw them, in the first seed that all of them have (else the first of each)."""
    groups = comparison.groups(dataset)
    common = set.intersection(*({result.seed for result in results} for results in groups.values()))
    seed = min(common, default=None)
    records = {}
    for method, results in groups.items():
        run = next(result for result in results if seed is None or result.seed == seed)
        records[method] = {record["id"]: record for record in run.examples}
    first, *others = records.values()
    # Data sets of one name can still differ; only texts that are the same word for word are.
    same = [
        name
        for name, record in first.items()
        if all(name in other and other[name]["words"] == record["words"] for other in others)
    ]
    grouped: dict[str, list[str]] = {name: [] for name in GROUPS}
    for name in sorted(same, key=lambda name: draw(first[name])):
        grouped[_group([found[name] for found in records.values()])].append(name)
    shown = {
        group: [
            {"id": name, "label": first[name]["label"], "cards": {method: card(found[name]) for method, found in records.items()}}
            for name in names
        ]
        for group, names in share_out(grouped, count).items()
    }
    return {
        "seed": seed,
        "groups": [{"heading": GROUPS[group], "of": len(grouped[group]), "examples": each} for group, each in shown.items()],
        "key": key([each for found in shown.values() for example in found for each in example["cards"].values()]),
    }


def _group(records: Sequence[Mapping[str, Any]]) -> str:
    if any(record["label"] is None for record in records):
        return "unlabelled"
    right = {record["label"] == record["prediction"] for record in records}
    return "divided" if len(right) > 1 else "right" if right == {True} else "wrong"
