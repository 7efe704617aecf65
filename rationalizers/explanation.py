"""An explained text: what a trained rationalizer says about one example."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rationalizers.extras import require
from rationalizers.featurizer import Explanation
from rationalizers.language.sequence_rationale import TokenRationale

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TextExplanation(Explanation):
    """Prediction and rationale of a text; shows itself highlighted in a notebook.

    Args:
        id: name of the example.
        tokens: its words.
        mask: which of them were selected.
        scores: score of each, before thresholding.
        probabilities: probability of each class.
        query: words that were always visible.
        label: true class, where known.
        evidence: human evidence ``(start, end, group)`` in words, ``None`` where unknown.
        marks: further intervals worth showing, by name.
        targets: rationales of its words, of a method that predicts them, too (`rationalizers.methods.sequential`); places count
            from the first word of the query.
    """

    id: str
    tokens: tuple[str, ...]
    mask: tuple[bool, ...]
    scores: tuple[float, ...]
    probabilities: Mapping[str, float]
    query: tuple[str, ...] = ()
    label: str | None = None
    evidence: tuple[tuple[int, int, int], ...] | None = None
    marks: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    targets: tuple[TokenRationale, ...] = ()

    def with_targets(self, targets: tuple[TokenRationale, ...]) -> TextExplanation:
        """The same with rationales of its words."""
        return replace(self, targets=targets)

    @property
    def prediction(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda label: self.probabilities[label])

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.probabilities[self.prediction]

    @property
    def rationale(self) -> tuple[str, ...]:
        """The selected words in order."""
        return tuple(token for token, selected in zip(self.tokens, self.mask, strict=True) if selected)

    @property
    def selected(self) -> list[tuple[int, int]]:
        """Maximal selected runs, half-open, in words."""
        edges = [i for i, (a, b) in enumerate(zip((False, *self.mask), (*self.mask, False), strict=True)) if a != b]
        return list(zip(edges[::2], edges[1::2], strict=True))

    def to_frame(self) -> pd.DataFrame:
        """One row per word: ``token``, ``selected``, ``score``, and ``evidence`` where known.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        columns: dict[str, Any] = {"token": self.tokens, "selected": self.mask, "score": self.scores}
        if self.evidence is not None:
            columns["evidence"] = [any(s <= i < e for s, e, _ in self.evidence) for i in range(len(self.tokens))]
        frame: pd.DataFrame = pandas.DataFrame(columns)
        return frame

    def record(self) -> dict[str, Any]:
        """One line of ``rationales.jsonl``."""
        return {
            "id": self.id,
            "words": list(self.tokens),
            "query": list(self.query),
            "selected": [list(run) for run in self.selected],
            "scores": [round(score, 4) if math.isfinite(score) else None for score in self.scores],
            "evidence": None if self.evidence is None else [list(span) for span in self.evidence],
            "label": self.label,
            "prediction": self.prediction,
            "probabilities": {label: round(value, 6) for label, value in self.probabilities.items()},
            "fields": {name: [list(run) for run in runs] for name, runs in self.marks.items()},
        }

    def _repr_html_(self) -> str:
        from rationalizers.report.highlight import explanation_html

        html: str = explanation_html(self.record())
        return html
