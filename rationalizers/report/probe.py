"""What tests of language models found, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rationalizers.report.page import render

if TYPE_CHECKING:
    from markupsafe import Markup

QUESTIONS = {
    "passages": "Does the model say the last word because of what people saw it in?",
    "agreement": "Does the model say the word because of what it follows from, past a distractor?",
    "alignments": "Are words put down to the words that people aligned?",
    "crossed": "Does the translation of one sentence depend on another?",
}


def probe_page(records: Sequence[Mapping[str, Any]]) -> Markup:
    """One table for each model, a row for each search, with 95 % intervals over examples.

    Args:
        records: of `rationalizers.probes.probe.Probe`, of one test.
    """
    tables = []
    for record in records:
        numbers = list(dict.fromkeys(number for row in record["numbers"].values() for number in row))
        rows = [
            {"search": search, "cells": [_cell(row.get(number)) for number in numbers]}
            for search, row in record["numbers"].items()
        ]
        tables.append({"model": record["model"], "facts": record["facts"], "numbers": numbers, "rows": rows})
    return render("probe.html.j2", title=QUESTIONS[records[0]["name"]], tables=tables)


def _cell(number: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A number as it is shown; ``differs`` from greedy search where that is unlikely to be chance."""
    if number is None:
        return None
    other = number.get("minus_greedy")
    return {**number, "differs": other is not None and other["p"] < 0.05}
