"""What the page of a run shows of its evaluations: faithfulness, agreement and leaks beside their floors, and examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rationalizers.report.example_extremes import extremes
from rationalizers.report.figure import Curve, curve_chart
from rationalizers.report.highlight import key
from rationalizers.report.reading import Reading, readings, selects_all, side
from rationalizers.report.resampling import gap
from rationalizers.report.result import Result

if TYPE_CHECKING:
    from markupsafe import Markup

    from rationalizers.evaluation.store import Evaluation

# What it means that a unit is absent (`rationalizers.absence`).
ABSENT = {
    "compact": "units are cut out, and the others close up",
    "remove": "units are cut out, and the others keep their places",
    "mask_token": "units are read as [MASK]",
    "zero": "units are read as zero",
    "state": "states of units are zero after their neighbours have seen them",
    "message": "units send no messages",
}
FLOORS = ("random", "first", "last", "all", "oracle")
FAITHFULNESS = {
    "comprehensiveness": "Comprehensiveness, without the selection",
    "comprehensiveness_aopc": "Comprehensiveness, mean over sizes",
    "sufficiency": "Sufficiency, the selection alone",
    "sufficiency_aopc": "Sufficiency, mean over sizes",
}
AGREEMENT = {"f1": "F1", "precision": "precision", "recall": "recall", "f1_macro": "F1, mean over examples"}
PLAUSIBILITY = {
    **{f"{unit}_{name}": f"{unit.capitalize()} {shown}" for unit in ("token", "node") for name, shown in AGREEMENT.items()},
    "auprc": "AUPRC of the scores",
    "node_roc_auc": "Node ROC-AUC of the scores",
}
# Name, and what it means. The sentences are those of docs/leakage.md in short.
LEAKAGE = {
    "leakage": ("Leakage", "how far the prediction moves when what was not selected is replaced; 0 where a mask hides"),
    "mask_signal": ("Mask signal", "how often a probe that sees only where the mask lies reads the predicted label"),
    "label_signal": ("Label signal", "the same of the true label"),
    "right_on_own": ("Right on its own selection", "share of right predictions; of numbers, minus the error"),
    "right_on_random": ("Right on random units", "as many units, drawn at random"),
    "right_on_oracle": ("Right on evidence of this size", "as many units, human evidence first"),
    "right_on_human": ("Right on human evidence", "all evidence, however much there is"),
    "right_on_all": ("Right on everything", "nothing is left out"),
    "full_text_gap": ("Full-text gap", "right on everything minus right on its own selection"),
    "edit_overlap": (
        "Overlap after edits",
        "of the selections (Jaccard) before and after edits that change no meaning: other words, renumbered nodes",
    ),
    "edit_flip": ("Changed answers", "share of predictions that such edits change"),
}
BESIDE = ("random", "majority", "oracle")


def panels(result: Result, *, examples: int = 3) -> list[dict[str, Any]]:
    """What to show of every evaluation of a run: of its own rationale first, then of attributions by name.

    Args:
        result: a run.
        examples: how many of the worst and of the best to show.
    """
    evaluations = result.evaluations.values()
    order = sorted(evaluations, key=lambda each: (each.settings["attribution"] is not None, each.settings["split"], each.name))
    return [_panel(result.with_evaluation(each), each, examples) for each in order]


def _panel(result: Result, evaluation: Evaluation, examples: int) -> dict[str, Any]:
    settings, numbers = evaluation.settings, evaluation.numbers
    own = settings["attribution"] is None
    told = readings([result])
    found = extremes(result, examples)
    cards = [shown["card"] for each in (found.worst, found.best) for shown in each]
    return {
        "name": evaluation.name,
        "heading": "Own rationale" if own else str(settings["explained_by"]),
        "own": own,
        "split": settings["split"],
        "absence": settings["absence"],
        "absent": ABSENT.get(settings["absence"], settings["absence"]),
        "count": len(result.ids),
        "selects_all": selects_all([result]),
        "chart": chart(evaluation),
        "faithfulness": [
            row(evaluation, name, shown, ("random",), told) for name, shown in FAITHFULNESS.items() if name in numbers
        ],
        "plausibility": [
            {**row(evaluation, name, shown, FLOORS, told), "marks": marks(result, name)}
            for name, shown in PLAUSIBILITY.items()
            if name in numbers
        ],
        "leakage": [
            {**row(evaluation, name, shown, BESIDE, told), "meaning": meaning, "known": _known(result, name)}
            for name, (shown, meaning) in LEAKAGE.items()
            if name in numbers
        ],
        "floors": [floor for floor in FLOORS if any(f"floor/{floor}/{name}" in numbers for name in PLAUSIBILITY)],
        "beside": [floor for floor in BESIDE if any(f"floor/{floor}/{name}" in numbers for name in LEAKAGE)],
        "extremes": found,
        "key": key(cards),
        "notes": evaluation.notes,
    }


def chart(evaluation: Evaluation) -> Markup | None:
    """Faithfulness over sizes with the floors of random units; ``None`` where no size was asked for."""
    curve = evaluation.curve
    curves = [
        Curve(name, _points(curve, name, (math.nan,)), [(x, y) for x, y in _points(curve, f"floor/random/{name}", ())])
        for name in ("comprehensiveness", "sufficiency")
    ]
    if not any(each.points for each in curves):
        return None
    # A prediction may become surer by what is taken away, and numbers have no bounds.
    title = f"Faithfulness over sizes, {evaluation.name}"
    return curve_chart(title, curves, x="share of the units", line=None, within=(-math.inf, math.inf))


def row(evaluation: Evaluation, name: str, shown: str, floors: Sequence[str], told: Mapping[str, Reading]) -> dict[str, Any]:
    """A number with its interval, its floors with theirs, and what it says beside them."""
    unknown = (math.nan, math.nan)

    def cell(key: str) -> tuple[float, float, float]:
        return (evaluation.numbers[key], *evaluation.intervals.get(key, unknown))

    return {
        "name": shown,
        "model": cell(name),
        "floors": {floor: cell(key) for floor in floors if (key := f"floor/{floor}/{name}") in evaluation.numbers},
        "reading": told.get(name),
    }


def marks(result: Result, name: str) -> dict[str, str]:
    """Of each floor of an agreement with people: ``beaten`` where it is not below the model, ``near`` within the noise of it.

    The oracle is a ceiling, and that selecting everything recalls everything says nothing.
    """
    found = {}
    for floor in FLOORS:
        if floor == "oracle" or (floor == "all" and "recall" in name):
            continue
        each = gap([result], [result], name, f"floor/{floor}/{name}")
        where = side(each)
        if each is not None and where is not None and where != "above":
            found[floor] = "beaten" if each.value <= 1e-9 else "near"
    return found


def _points(curve: Mapping[str, Sequence[float]], name: str, more: tuple[float, ...]) -> list[Any]:
    """The points of a line that are known."""
    pairs = zip(curve["fractions"], curve.get(name, [math.nan] * len(curve["fractions"])), strict=True)
    return [(x, y, *more) for x, y in pairs if not math.isnan(y)]


def _known(result: Result, name: str) -> int:
    """Of how many examples a number is."""
    column = result.columns.get(name)
    return 0 if column is None else int((column[1] > 0).sum())
