"""The report of one run: its numbers beside their floors, its learning curves, and examples to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rationalizers.report.caveats import FLOORS
from rationalizers.report.choice import draw, share_out
from rationalizers.report.evaluation_panel import panels
from rationalizers.report.figure import line_chart
from rationalizers.report.highlight import agreement, card, key
from rationalizers.report.page import brief, number, render
from rationalizers.report.result import Result, read_result
from rationalizers.report.seeds import SENTENCES
from rationalizers.run import write_atomically

PREDICTION = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1 of the classes",
    "roc_auc": "ROC-AUC, mean over targets",
    "r2": "R²",
    "rmse": "Root mean squared error, in the unit of the data",
    "mae": "Mean absolute error, in the unit of the data",
}
NAMES = {
    "loss": "Loss",
    **PREDICTION,
    **{f"whole_input/{name}": f"{shown}, on whole inputs" for name, shown in PREDICTION.items()},
    **{f"rationale_input/{name}": f"{shown}, from the rationale alone" for name, shown in PREDICTION.items()},
    **{f"rationale_input/{name}": f"{shown}, from the rationale alone" for name, shown in PREDICTION.items()},
    "selected_share": "Selected share",
    "mean_mask": "Mean of the mask",
    "leakage": "Leakage: change of the prediction when what was not selected is replaced",
    "runs": "Runs per text",
    "empty_share": "Share of empty rationales",
    "token_f1": "Token F1",
    "token_precision": "Token precision",
    "token_recall": "Token recall",
    "token_f1_macro": "Token F1 per text",
    "token_precision_macro": "Token precision per text",
    "token_recall_macro": "Token recall per text",
    "sentence_f1": "Sentence F1",
    "sentence_precision": "Sentence precision",
    "sentence_recall": "Sentence recall",
    "sentence_f1_macro": "Sentence F1 per text",
    "sentence_precision_macro": "Sentence precision per text",
    "sentence_recall_macro": "Sentence recall per text",
    "iou_f1@0.1": "IoU F1 at 0.1",
    "iou_f1@0.5": "IoU F1 at 0.5",
    "exact_f1": "Exact-span F1",
    "auprc": "AUPRC of the scores",
    **{
        f"{unit}_{name}": f"{unit.capitalize()} {shown}"
        for unit in ("node", "edge")
        for name, shown in {
            "roc_auc": "ROC-AUC per graph",
            "roc_auc_pooled": "ROC-AUC, all graphs at once",
            "precision@evidence": "precision at the number of evidence units",
            "precision@5": "precision at 5",
            "f1": "F1",
            "precision": "precision",
            "recall": "recall",
            "f1_macro": "F1 per graph",
            "precision_macro": "precision per graph",
            "recall_macro": "recall per graph",
        }.items()
    },
    "examples_without_evidence": "Examples without evidence, not counted",
}
COUNTS = ("examples_without_evidence",)
# An example belongs to the first group whose condition it meets.
GROUPS = {
    "wrong": "Wrong predictions",
    "elsewhere": "Right predictions, rationale no closer to the evidence than random words",
    "right": "Right predictions",
    "measured": "Predicted numbers",
    "unlabelled": "Examples without a label",
}


def write_report(folder: Path, *, examples: int = 12) -> Path:
    """Write ``report.html`` into a run folder: one file that needs no other and asks nothing of the network.

    Args:
        folder: a run with ``metrics.json``, ``metrics.jsonl``, ``timing.json`` and ``rationales.jsonl``.
        examples: how many texts to show, divided evenly between mistakes and successes; which ones is decided by a hash of
            their names, so that it depends neither on the model nor on chance.

    Returns:
        the file.

    Raises:
        FileNotFoundError: a file of the run is missing; names folder and file.
        ValueError: a file does not hold what it should; names the file.
        ImportError: the extra ``report`` is not installed.
    """
    result = read_result(folder)
    file = result.folder / "report.html"
    plausibility, other = metric_rows(result)
    groups: list[dict[str, Any]] = [
        {"heading": GROUPS[name], "of": total, "cards": [card(record) for record in chosen]}
        for name, (total, chosen) in choose(result.examples, examples).items()
    ]
    page = render(
        "report.html.j2",
        title=result.name,
        result=result,
        seconds=result.timing.get("fit_seconds"),
        encoding=encoding(result.timing),
        warnings=floor_warnings(result.test),
        plausibility=plausibility,
        other=other,
        sentences=any(row["name"] in (NAMES[name] for name in SENTENCES) for row in plausibility),
        nodes=any(name.startswith("node_") for name in result.test),
        floors=list(dict.fromkeys(name for row in plausibility for name in row["floors"])),
        curves=curves(result),
        panels=panels(result),
        groups=groups,
        key=key([shown for each in groups for shown in each["cards"]]),
        config=yaml.dump(dict(result.config), Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True),
    )
    write_atomically(file, page)
    return file


def floor_warnings(numbers: Mapping[str, float]) -> list[str]:
    """A sentence for every floor that token F1 does not reach; empty where it is not known."""
    model = numbers.get("token_f1")
    if model is None:
        return []
    return [
        f"Token F1 {number(model)} is below the {number(floor)} of {described}: "
        "by this number the rationale does not show where the evidence is."
        for name, described in FLOORS.items()
        if (floor := numbers.get(f"floor/{name}/token_f1")) is not None and model < floor - 1e-9
    ]


def encoding(timing: Mapping[str, Any]) -> str | None:
    """How long the states of a frozen encoder took; ``None`` where none were computed."""
    seconds, documents = timing.get("encoding_seconds"), timing.get("encoding_documents")
    if seconds is None or documents is None:
        return None
    each = f" ({brief(seconds / documents)} s per document)" if documents else ""
    return f"states of {documents:,} documents in {brief(seconds)} s{each}, once"


def metric_rows(result: Result) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Test numbers that have floors, with them, and all others, with the number of the validation split."""
    floors: dict[str, dict[str, float]] = {}
    test = dict(result.test)
    for name in [name for name in test if name.startswith("floor/") and name.count("/") > 1]:
        _, floor, metric = name.split("/", 2)
        floors.setdefault(floor, {})[metric] = test.pop(name)
    order = [*(name for name in NAMES if name in test), *(name for name in test if name not in NAMES)]
    plausibility, other = [], []
    for name in order:
        model = test[name]
        row = {"name": NAMES.get(name, name), "model": model, "digits": 0 if name in COUNTS else 3}
        beside = {floor: numbers[name] for floor, numbers in floors.items() if name in numbers}
        if beside:
            # The oracle is a ceiling; any other selection that does as well takes the meaning from the number.
            # That selecting everything recalls everything says nothing.
            beaten = {
                floor
                for floor, value in beside.items()
                if floor != "oracle" and not (floor == "all" and "recall" in name) and value >= model - 1e-9
            }
            plausibility.append({**row, "floors": beside, "beaten": beaten})
        else:
            other.append({**row, "val": result.metrics["val"].get(name)})
    return plausibility, other


def curves(result: Result) -> list[dict[str, Any]]:
    """Charts over epochs, counted from 1: training terms, validation loss, accuracy, agreement and selected share."""
    rows = result.epochs
    keys = list(dict.fromkeys(key for row in rows for key in row))
    terms = {key.removeprefix("train/"): key for key in keys if key.startswith("train/")}
    panels: dict[str, dict[str, str]] = {
        "Training loss and its terms, unweighted": terms,
        "Validation loss": {"loss": "val/loss"},
        "Validation accuracy and token F1": {"accuracy": "val/accuracy", "token F1": "val/token_f1"},
        "Validation scores": {"ROC-AUC": "val/roc_auc", "R²": "val/r2", "node ROC-AUC": "val/node_roc_auc"},
        "Selected share, validation": {"share": "val/selected_share"},
    }
    charts = []
    for title, shown in panels.items():
        lines = {
            name: [(row["epoch"] + 1, row[key]) for row in rows if isinstance(row.get(key), (int, float))]
            for name, key in shown.items()
        }
        lines = {name: points for name, points in lines.items() if points}
        if lines:
            charts.append({"title": title, "chart": line_chart(title, lines, best=result.metrics["best_epoch"] + 1)})
    return charts


def choose(records: Sequence[Mapping[str, Any]], count: int) -> dict[str, tuple[int, list[Mapping[str, Any]]]]:
    """For each group of `GROUPS` that has examples: how many, and those to show, ``count`` in all."""
    grouped: dict[str, list[Mapping[str, Any]]] = {name: [] for name in GROUPS}
    for record in sorted(records, key=draw):
        grouped[group(record)].append(record)
    return {name: (len(grouped[name]), members) for name, members in share_out(grouped, count).items()}


def group(record: Mapping[str, Any]) -> str:
    """The name in `GROUPS` of an example.

    *Elsewhere*: precision of the rationale < share of evidence among the words, which is what random words reach.
    """
    if record.get("values"):
        return "measured"
    if record["label"] is None:
        return "unlabelled"
    if record["label"] != record["prediction"]:
        return "wrong"
    counts = agreement(record)
    if counts["evidence"] and counts["hits"] * counts["words"] < counts["evidence"] * max(1, counts["selected"]):
        return "elsewhere"
    return "right"


class _WithoutAliases(yaml.SafeDumper):
    """Writes what occurs twice, as the featurizer does, twice, instead of pointing back at it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
