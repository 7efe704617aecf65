"""Test examples with their rationales as a table of W&B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rationalizers.report.choice import draw
from rationalizers.report.highlight import covered, explanation_html

if TYPE_CHECKING:
    from wandb import Table

COLUMNS = ("id", "label", "prediction", "right", "probability", "share", "rationale")


def rationale_table(records: Sequence[Mapping[str, Any]], *, examples: int) -> Table:
    """A row for each example: what it is, what the model says of it, and from what.

    Args:
        records: lines of ``rationales.jsonl``, of texts or graphs.
        examples: how many, chosen by a hash of their names as reports choose them.

    Returns:
        columns `COLUMNS`, then the text with its rationale in brackets, ``⟦like this⟧``, or a drawing.

    Raises:
        ImportError: the extra ``report`` is not installed, which draws graphs.
    """
    import wandb

    chosen = sorted(records, key=draw)[:examples]
    drawn = any("_target_" in record for record in chosen)
    rows: list[Any] = []
    for record in chosen:
        words, label, prediction = record["words"], record["label"], record["prediction"]
        selected = sorted(covered(record["selected"]))
        shown = wandb.Html(str(explanation_html(record)), inject=False) if drawn else bracketed(words, record["selected"])
        rows.append(
            [
                str(record["id"]),
                _numbers(record.get("truth", {})) if label is None else label,
                _numbers(record.get("values", {})) if prediction is None else prediction,
                None if label is None else label == prediction,
                record["probabilities"].get(prediction),
                len(selected) / max(1, len(words)),
                " ".join(str(words[place]) for place in selected),
                shown,
            ]
        )
    return wandb.Table(columns=[*COLUMNS, "drawing" if drawn else "text"], data=rows)


def bracketed(words: Sequence[str], selected: Sequence[Sequence[int]]) -> str:
    """A text in which every selected stretch, half-open and in words, stands in brackets."""
    pieces = list(words)
    for start, end in selected:
        pieces[start] = f"⟦{pieces[start]}"
        pieces[end - 1] = f"{pieces[end - 1]}⟧"
    return " ".join(pieces)


def _numbers(values: Mapping[str, float | None]) -> str | None:
    """Numbers by name in one text; ``None`` where there are none."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None) or None
