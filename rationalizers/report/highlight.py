"""Highlighted text: what the model read, what people marked, and both at once, as HTML."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from rationalizers.build import build
from rationalizers.extras import require
from rationalizers.report.figure import with_own_ids
from rationalizers.report.page import number, render

if TYPE_CHECKING:
    from markupsafe import Markup

SHADES = 4

Interval = Sequence[int]


class Pictures(ABC):
    """Draws examples that are no text; a line of ``rationales.jsonl`` names its class as ``_target_``.

    Attributes:
        unit: what the units are called, in the plural.
    """

    unit: ClassVar[str]

    @abstractmethod
    def draw(self, record: Mapping[str, Any]) -> Markup:
        """The example of a line, with the model's rationale and human evidence where known.

        Raises:
            ValueError: the line does not hold what it should.
        """


def highlight(
    words: Sequence[str],
    selected: Sequence[Interval],
    *,
    scores: Sequence[float | None] | None = None,
    evidence: Sequence[Interval] | None = None,
    marks: Mapping[str, Sequence[Interval]] | None = None,
) -> Markup:
    """A text in reading flow with the model's rationale, human evidence and further marks on top of each other.

    The rationale is a background, evidence a thick underline, a mark a dotted outline: none hides another, and none is told by
    colour alone; each has a tooltip. Intervals that touch stay apart. The looks are in ``templates/highlight.css.j2``.

    Args:
        words: of the text.
        selected: the rationale, intervals ``(start, end)``, half-open, in words.
        scores: one number per word. The shade of a selected word is the place of its score between the lowest and the highest
            of the text; where they are missing or all equal the background has one colour.
        evidence: intervals ``(start, end, group)``; ``None`` (unknown) looks like none.
        marks: further intervals by name (``shortcut``).

    Raises:
        ValueError: an interval does not lie within the words, or there are not as many scores as words.
    """
    escape, markup = (getattr(require("markupsafe", extra="report"), name) for name in ("escape", "Markup"))
    n = len(words)
    if scores is not None and len(scores) != n:
        raise ValueError(f"'scores' must have one number for each of the {n} words, got {len(scores)}")
    layers = [
        *_layers("rationale", "model rationale", selected, n),
        *_layers("evidence", "human evidence", evidence or (), n),
        *(layer for name, runs in (marks or {}).items() for layer in _layers("marked", name, runs, n)),
    ]
    shades = _shades(scores or [None] * n)
    # Words are the even units, the spaces between them the odd ones; a layer ends before the space that follows its last word.
    units = [unit for word in words for unit in (word, " ")][:-1]
    cuts = {0, len(units), *(edge for layer in layers for edge in (layer.start, layer.end))}
    if scores is not None:  # every selected word has a shade and a tooltip of its own
        cuts |= {place for layer in layers if layer.kind == "rationale" for place in range(layer.start, layer.end, 2)}
    pieces = []
    for start, end in pairwise(sorted(cuts)):
        text = escape("".join(units[start:end]))
        over = [layer for layer in layers if layer.start <= start < layer.end]
        if over:
            text = _piece(markup, text, over, start, end, shade=shades[start // 2], score=(scores or [None] * n)[start // 2])
        pieces.append(text)
    joined: Markup = markup("").join(pieces)
    return joined


def explanation_html(record: Mapping[str, Any]) -> Markup:
    """One line of ``rationales.jsonl`` as HTML that carries its own style, for a notebook."""
    shown = card(record)
    return render("explanation.html.j2", card=shown, key=key([shown]))


def card(record: Mapping[str, Any], *, owner: str = "") -> dict[str, Any]:
    """What the ``example`` template shows of one line of ``rationales.jsonl``.

    Args:
        record: the line.
        owner: tells apart what a page shows of the same example more than once.

    Raises:
        ValueError: an interval does not lie within the words, or there are not as many scores as words; names the example.
    """
    words, fields = record["words"], {name: runs for name, runs in record["fields"].items() if runs}
    scores = record["scores"]
    try:
        pictures = build({"_target_": record["_target_"]}, Pictures) if "_target_" in record else None
        if pictures is None:
            text = highlight(words, record["selected"], scores=scores, evidence=record["evidence"], marks=fields)
        else:
            text = with_own_ids(pictures.draw(record), owner) if owner else pictures.draw(record)
    except ValueError as error:
        raise ValueError(f"example {record['id']!r}: {error}") from error
    label, prediction, probabilities = record["label"], record["prediction"], record["probabilities"]
    return {
        "id": record["id"],
        "query": " ".join(record["query"]),
        "text": text,
        "drawn": pictures is not None,
        "unit": "words" if pictures is None else pictures.unit,
        "long": pictures is None and len(words) > 220,
        "numbers": [
            {"target": target, "value": value, "truth": record["truth"].get(target), "unit": record["unit"]}
            for target, value in record.get("values", {}).items()
        ],
        "label": label,
        "prediction": prediction,
        "probability": probabilities.get(prediction),
        "label_probability": None if label == prediction else probabilities.get(label),
        "right": None if label is None else label == prediction,
        "agreement": agreement(record),
        "marks": list(fields),
        "shaded": pictures is None and any(shade is not None for shade in _shades(scores)),
    }


def key(cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the key to the colours must explain for these cards: ``evidence``, ``marks``, ``shaded``."""
    return {
        "drawn": any(shown["drawn"] for shown in cards),
        "evidence": any(shown["agreement"]["evidence"] for shown in cards),
        "marks": list(dict.fromkeys(name for shown in cards for name in shown["marks"])),
        "shaded": any(shown["shaded"] for shown in cards),
    }


def agreement(record: Mapping[str, Any]) -> dict[str, Any]:
    """How a rationale and human evidence overlap in one example, counted in words.

    Returns:
        ``words``, ``selected``, and, where evidence is known, ``evidence`` and ``hits`` (else ``None``).
    """
    selected = covered(record["selected"])
    counts: dict[str, Any] = {"words": len(record["words"]), "selected": len(selected), "evidence": None, "hits": None}
    if record["evidence"] is not None:
        gold = covered(record["evidence"])
        counts.update(evidence=len(gold), hits=len(gold & selected))
    return counts


def covered(intervals: Sequence[Interval]) -> set[int]:
    """The words inside any of the intervals."""
    return {place for start, end, *_ in intervals for place in range(start, end)}


@dataclass(frozen=True)
class _Layer:
    """One interval to show, in units (words and the spaces between them)."""

    kind: str
    name: str
    start: int
    end: int


def _layers(kind: str, name: str, intervals: Sequence[Interval], n: int) -> list[_Layer]:
    found = []
    for start, end, *_ in intervals:
        if not 0 <= start < end <= n:
            raise ValueError(f"{name} [{start}, {end}) does not lie within the {n} words")
        found.append(_Layer(kind, name, 2 * start, 2 * end - 1))
    return found


def _piece(
    markup: type[Markup], text: Markup, over: Sequence[_Layer], start: int, end: int, *, shade: int | None, score: float | None
) -> Markup:
    """A stretch of text under the same layers."""
    kinds = list(dict.fromkeys(layer.kind for layer in over))
    classes = list(kinds)
    for kind in ("rationale", "marked"):
        # Corners and the sides of an outline belong to the ends of an interval only.
        classes += [f"{kind}-first"] if any(layer.kind == kind and layer.start == start for layer in over) else []
        classes += [f"{kind}-last"] if any(layer.kind == kind and layer.end == end for layer in over) else []
    names = list(dict.fromkeys(layer.name for layer in over))
    if "rationale" in kinds:
        classes += [] if shade is None else [f"shade-{shade}"]
        names[0] += "" if score is None else f" (score {number(score, digits=2)})"
    tag = "mark" if "rationale" in kinds else "span"
    return markup('<{0} class="{1}" title="{2}">{3}</{0}>').format(tag, " ".join(classes), " + ".join(names), text)


def _shades(scores: Sequence[float | None]) -> list[int | None]:
    """1 (lowest) to ``SHADES`` (highest) for every score, ``None`` where there is no score or no difference."""
    finite = [score for score in scores if score is not None and math.isfinite(score)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    if high <= low:
        return [None] * len(scores)
    return [
        None if score is None or not math.isfinite(score) else 1 + min(SHADES - 1, int(SHADES * (score - low) / (high - low)))
        for score in scores
    ]
