"""The report of several runs: one table, differences with their uncertainty, and the same texts read by every method."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from rationalizers.report.choice import draw, share_out
from rationalizers.report.comparison import Comparison, compare
from rationalizers.report.curve import cell_rows, curve_charts
from rationalizers.report.dial import label
from rationalizers.report.export import exports
from rationalizers.report.highlight import card, key
from rationalizers.report.page import render
from rationalizers.report.result import Result
from rationalizers.report.script import sorting
from rationalizers.report.seeds import Difference
from rationalizers.report.setting_table import setting_table
from rationalizers.report.tradeoff import CHARTED, tradeoffs
from rationalizers.run import write_atomically

GROUPS = {
    "divided": "Right by some methods, wrong by others",
    "right": "Right by every method",
    "wrong": "Wrong by every method",
    "unlabelled": "Texts without a label",
}
# Pairs that are shown without being asked for, notes likewise, and methods beside each other.
OPEN_PAIRS = 8
SHOWN_NOTES = 8
SIDE_BY_SIDE = 12
# Where the mean of a method is marked as another than that of the reference.
LEVEL = 0.05
# Letters of a table that a page carries, and what its forms are.
CARRIED = 200_000
FORMS = {"csv": ("CSV", "text/csv"), "md": ("Markdown", "text/markdown"), "tex": ("LaTeX", "text/x-tex")}


def write_comparison(
    folders: Iterable[str | Path],
    path: str | Path,
    *,
    reference: str | None = None,
    examples: int = 6,
    dial: str | None = None,
    evaluation: str | None = None,
    split: str = "test",
) -> Path:
    """Write a page that compares runs: one file that needs no other and asks nothing of the network.

    Args:
        folders: run folders; unfinished ones are left out with a note.
        path: the file to write. Links to the reports of the runs are relative to it.
        reference: compare every other method with this one; ``None`` compares every pair.
        examples: how many texts to show for each data set, chosen by a hash of their names.
        dial: dotted key of the number that curves are drawn over; ``None`` takes the one in which runs of a method differ.
        evaluation: pattern of names of evaluations, as in `compare`.
        split: which the numbers are of, as in `compare`.

    Returns:
        the file.

    Raises:
        FileNotFoundError: a folder is not a finished run; names folder and file.
        ValueError: a file does not hold what it should, there is no finished run, no evaluation matches, no run has the method
            ``reference``, or ``dial`` is no number in which runs differ.
        ImportError: the extra ``report`` is not installed.
    """
    comparison = compare(folders, dial=dial, evaluation=evaluation, split=split)
    return write_page(comparison, path, reference=reference, examples=examples)


def write_page(comparison: Comparison, path: str | Path, *, reference: str | None = None, examples: int = 6) -> Path:
    """Write the page of a comparison that has been made; arguments and errors as `write_comparison`."""
    path = Path(path)
    sections = []
    for dataset, differences in comparison.pairs_to_read(reference).items():
        groups, metrics = comparison.groups(dataset), comparison.metrics_of(dataset)
        sections.append(
            {
                "dataset": dataset,
                "rows": comparison.rows(dataset),
                "sampled": any(row.intervals for row in comparison.means[dataset]),
                "seconds": {method: seconds_per_epoch(results) for method, results in groups.items()},
                "encoded": any("encoding_seconds" in result.timing for results in groups.values() for result in results),
                "metrics": metrics,
                "charts": tradeoffs(dataset, comparison.means[dataset], groups, metrics),
                "settings": setting_table(groups),
                "curves": curves(comparison, dataset, reference),
                "pairs": pair_rows(differences, scales(differences)),
                "distinct": distinct(differences, reference),
                "crowded": comparison.crowded(reference).get(dataset, 0),
                "stability": comparison.seeds[dataset],
                "runs": {method: links(results, path) for method, results in groups.items()},
                "examples": side_by_side(comparison, dataset, examples),
            }
        )
    page = render(
        "comparison.html.j2",
        title="Comparison of runs",
        sections=sections,
        notes=comparison.told(reference),
        split=comparison.split,
        reference=reference,
        downloads=downloads(exports(comparison, reference)),
        script=sorting(),
        charted=CHARTED,
        open_pairs=OPEN_PAIRS,
        shown_notes=SHOWN_NOTES,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
    return path


def distinct(differences: Sequence[Difference], reference: str | None) -> dict[tuple[str, str], float]:
    """Methods and metrics that differ from the reference, with the corrected p value over seeds, which is below `LEVEL`."""
    found = {(each.method, each.metric): each.p_holm for each in differences if each.reference == reference}
    return {cell: p for cell, p in found.items() if p < LEVEL}


def downloads(texts: Mapping[str, str]) -> dict[str, list[tuple[str, str, str]]]:
    """Files that a page carries with it as ``data:`` addresses.

    Args:
        texts: of the files by name.

    Returns:
        by the name of a table, form, name of the file and address of each of its files that has no more than `CARRIED` letters.
    """
    found: dict[str, list[tuple[str, str, str]]] = {}
    for file, text in texts.items():
        stem, _, suffix = file.rpartition(".")
        if suffix in FORMS and len(text) <= CARRIED:
            form, kind = FORMS[suffix]
            # Letters that need no escape in a quoted attribute stay as they are, so that the address is short.
            address = f"data:{kind};charset=utf-8,{quote(text, safe=',;:/=()[]|*+-._~!$@?')}"
            found.setdefault(stem, []).append((form, file, address))
    return found


def curves(comparison: Comparison, dataset: str, reference: str | None) -> dict[str, Any] | None:
    """Charts, means and differences along the dial of a data set; ``None`` where it has none."""
    dial = comparison.dials.get(dataset)
    if dial is None:
        return None
    at: dict[float, list[Difference]] = {}
    for value, difference in comparison.pairs_at(dataset, reference):
        at.setdefault(value, []).append(difference)
    # One scale over all values, so that the rows of a pair can be compared.
    limits = scales([each for found in at.values() for each in found])
    pairs = [(value, row) for value, found in at.items() for row in pair_rows(found, limits)]
    metrics = comparison.metrics_of(dataset)
    return {
        "dial": dial,
        "charts": curve_charts(dataset, dial, metrics),
        "floors": any(
            name.startswith("floor/random/")
            for line in dial.lines.values()
            for runs in line.values()
            for run in runs
            for name in run.test
        ),
        "rows": [(method, label(value), n, found) for method, value, n, found in cell_rows(dial, metrics)],
        "pairs": [
            (label(value), row)
            for value, row in sorted(pairs, key=lambda each: (each[1]["reference"], each[1]["method"], each[0]))
        ],
    }


def seconds_per_epoch(results: Sequence[Result]) -> float:
    """Mean over runs; NaN where none has it."""
    found = [result.timing["seconds_per_epoch"] for result in results if "seconds_per_epoch" in result.timing]
    return fmean(found) if found else math.nan


def scales(differences: Sequence[Difference]) -> dict[str, float]:
    """The largest end of an interval for each metric, on either side of zero."""
    limits: dict[str, float] = {}
    for each in differences:
        bounds = (each.difference, each.low, each.high) if each.known else (each.difference,)
        limits[each.metric] = max(limits.get(each.metric, 0.0), *map(abs, bounds))
    return limits


def pair_rows(differences: Sequence[Difference], limits: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row for each pair of methods; each metric has a scale of its own, with zero in the middle.

    Args:
        differences: of any pairs.
        limits: where the scale of each metric ends.

    Returns:
        ``method``, ``reference``, and ``cells``: by metric the difference and where to draw it and its interval, in percent.
    """
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
    every = comparison.groups(dataset)
    groups = dict(list(every.items())[:SIDE_BY_SIDE])
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
            {
                "id": name,
                "label": first[name]["label"],
                "cards": {method: card(found[name], owner=f"{dataset} {method}") for method, found in records.items()},
            }
            for name in names
        ]
        for group, names in share_out(grouped, count).items()
    }
    return {
        "seed": seed,
        "shown": len(groups),
        "left_out": len(every) - len(groups),
        "groups": [{"heading": GROUPS[group], "of": len(grouped[group]), "examples": each} for group, each in shown.items()],
        "key": key([each for found in shown.values() for example in found for each in example["cards"].values()]),
    }


def _group(records: Sequence[Mapping[str, Any]]) -> str:
    if any(record["label"] is None for record in records):
        return "unlabelled"
    right = {record["label"] == record["prediction"] for record in records}
    return "divided" if len(right) > 1 else "right" if right == {True} else "wrong"
