"""Rationales of a language model as a page: the words under the pointer and what they came from, a heat map, a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rationalizers.report.page import render

if TYPE_CHECKING:
    from markupsafe import Markup

SHADES = 4


def sequence_html(record: Mapping[str, Any]) -> Markup:
    """The explained text by itself, for a notebook.

    Args:
        record: of `rationalizers.sequence.SequenceExplanation`.
    """
    return render("sequence.html.j2", **_context(record))


def sequence_page(record: Mapping[str, Any], *, title: str) -> Markup:
    """The same as a page of its own with a heat map and a table.

    Args:
        record: of `rationalizers.sequence.SequenceExplanation`.
        title: of the page.
    """
    return render("sequence_page.html.j2", title=title, **_context(record))


def shade(place: int, size: int) -> int:
    """How dark the addition at a place of the order is shown, from `SHADES` for the first down to 1."""
    return SHADES - place * SHADES // size


def _context(record: Mapping[str, Any]) -> dict[str, Any]:
    tokens: Sequence[str] = record["tokens"]
    rows = [
        {
            "target": each["source"] + each["target"],
            "token": tokens[each["source"] + each["target"]],
            "probability": each["probability"][-1],
            "enough": each["reached_argmax"],
            "certified": each["certified"],
            "because": [
                {"place": place, "token": tokens[place], "shade": shade(i, len(each["order"]))}
                for i, place in enumerate(each["order"])
            ],
        }
        for each in record["rationales"]
    ]
    explained = {row["target"] for row in rows}
    pieces = [
        {"place": place, "text": token, "explained": place in explained, "own": place >= record["generated"]}
        for place, token in enumerate(tokens)
    ]
    # Which columns of the heat map have anything to show.
    used = sorted({each["place"] for row in rows for each in row["because"]})
    sides = [pieces[: record["source"]], pieces[record["source"] :]] if record["source"] else [pieces]
    return {"rows": rows, "sides": sides, "used": used, "tokens": tokens}
