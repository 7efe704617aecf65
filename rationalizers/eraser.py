"""ERASER's numbers from prediction files and annotations; the metrics themselves are those of `rationalizers.metrics.eraser`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from rationalizers.data.annotations import Annotation, Annotations, Evidence
from rationalizers.data.predictions import Marked, Prediction, check_predictions
from rationalizers.metrics.eraser import (
    Hard,
    check_parity,
    classification_scores,
    faithfulness_scores,
    hard_scores,
    soft_scores,
)
from rationalizers.segment import offsets, segment_sum

# What predictions are about: an example and one of its documents.
Key = tuple[str, str]


def score_predictions(
    predictions: Sequence[Prediction],
    annotations: Annotations,
    *,
    thresholds: Sequence[float] = (0.1, 0.5),
    fractions: Sequence[float] | None = None,
    parity: str | None = None,
    one_to_one: bool | None = None,
) -> dict[str, float]:
    """Every number that the predictions allow for, by name.

    Selected spans, scores of tokens and of sentences, classes and ablated probabilities are each scored where the predictions
    have them. Predictions may cover a part of the split: what is scored are the examples that both name, and ``annotations``,
    ``predicted``, ``missing`` and ``unknown`` count the examples of the split, those scored, those without a prediction, and the
    predictions of examples that the split has not. A sentence is evidence if one of its tokens is. Evidence of all groups counts
    together.

    With ``parity="eraser"`` every number is what the benchmark's own script gives: it scores predictions of unknown examples as
    well, and spans of missing ones as not found; counts empty spans of evidence; takes sentences from the file, where they may be
    unknown (−1); looks at the first prediction only to decide what is scored; and needs a class for every example of the split.

    Args:
        predictions: at least one.
        annotations: the split they are about.
        thresholds: of the overlap (intersection over union) from which a span counts as found.
        fractions: of the tokens, thresholds of AOPC; ``None`` takes all that the predictions have.
        parity: ``None`` or ``eraser``.
        one_to_one: whether a span of evidence may be found once only; ``None`` leaves it to ``parity``.

    Raises:
        ValueError: `check_predictions` fails; no prediction is of this split; an unknown ``parity``, or what it needs is missing.
    """
    check_parity(parity)
    if not predictions:
        raise ValueError("'predictions' must hold at least one, got none")
    check_predictions(predictions, annotations)
    known = [each for each in predictions if each.id in annotations.examples]
    if not known:
        raise ValueError(
            f"none of the {len(predictions)} predictions is of the split {annotations.split!r} of {annotations.name} (the first "
            f"is of {predictions[0].id!r}); name the split that they are of (split=…)"
        )
    numbers: dict[str, float] = {
        "annotations": len(annotations.examples),
        "predicted": len(known),
        "missing": len(annotations.examples) - len(known),
        "unknown": len(predictions) - len(known),
    }
    scored = known if parity is None else list(predictions)
    examples = [annotations.examples[each.id] for each in known] if parity is None else list(annotations.examples.values())
    first = next((document for each in (predictions[:1] if parity else scored) for document in each.documents), None)
    if first is not None and (first.spans if parity else first.spans is not None):
        hard = _hard(scored, examples, empty=parity is not None)
        numbers |= hard_scores(hard, thresholds=thresholds, parity=parity, one_to_one=one_to_one)
    for unit in ("token", "sentence"):
        if first is not None and getattr(first, f"{unit}s") is not None:
            scores, truth, ptr = _soft(scored, annotations, unit=unit, as_written=parity is not None)
            numbers |= soft_scores(scores, truth, ptr, parity=parity, prefix=unit)
    if scored[0].label is not None:
        numbers |= _classes(scored, annotations, complete=parity is not None)
    if scored[0].without is not None or scored[0].alone is not None or scored[0].tokens_to_flip is not None:
        numbers |= _faithfulness(scored, annotations, fractions=fractions, parity=parity)
    return numbers


def _hard(predictions: Sequence[Prediction], examples: Sequence[Annotation], *, empty: bool) -> Hard:
    """Spans of both sides by example and document; of the evidence, empty ones too where asked for."""
    predicted = {(each.id, mark.docid): set(mark.spans or ()) for each in predictions for mark in each.documents}
    gold: dict[Key, set[tuple[int, int]]] = {}
    for example in examples:
        for span in (*_evidence(example), *(example.empty if empty else ())):
            gold.setdefault((example.id, span.docid), set()).add((span.start, span.end))
    keys = {key: place for place, key in enumerate(dict.fromkeys([*predicted, *gold]))}
    return Hard(
        predicted=_rows(predicted, keys),
        gold=_rows(gold, keys),
        scored=torch.tensor([key in predicted for key in keys]),
        annotated=torch.tensor([key in gold for key in keys]),
    )


def _rows(spans: Mapping[Key, set[tuple[int, int]]], keys: Mapping[Key, int]) -> Tensor:
    """``[S, 3]`` = place of the key, start, end."""
    rows = [(keys[key], start, end) for key, found in spans.items() for start, end in sorted(found)]
    return torch.tensor(rows, dtype=torch.long).reshape(-1, 3)


def _evidence(example: Annotation) -> list[Evidence]:
    """The evidence of all groups together."""
    return [span for group in example.groups for span in group]


def _soft(
    predictions: Sequence[Prediction], annotations: Annotations, *, unit: str, as_written: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores ``[N]``, truth ``[N]`` bool and offsets ``[D+1]`` of every predicted document."""
    scores: list[float] = []
    truth: list[Tensor] = []
    length: list[int] = []
    for each in predictions:
        example = annotations.examples.get(each.id)
        for mark in each.documents:
            mine = [span for span in _evidence(example) if span.docid == mark.docid] if example else []
            given = _scores(mark, unit)
            scores += given
            length.append(len(given))
            if unit == "sentence" and as_written:
                truth.append(
                    _cover(len(given), [(span.start_sentence, span.end_sentence) for span in mine if span.start_sentence >= 0])
                )
            elif unit == "sentence":
                sizes = torch.tensor(annotations.documents.lengths(mark.docid, each.where))
                tokens = _cover(int(sizes.sum()), [(span.start, span.end) for span in mine])
                truth.append(segment_sum(tokens.long(), offsets(sizes)) > 0)
            else:
                truth.append(_cover(len(given), [(span.start, span.end) for span in mine]))
    ptr = torch.tensor([0, *accumulate(length)])
    return torch.tensor(scores, dtype=torch.float64), torch.cat(truth), ptr


def _scores(mark: Marked, unit: str) -> tuple[float, ...]:
    found = mark.tokens if unit == "token" else mark.sentences
    assert found is not None  # check_predictions: all documents have it or none
    return found


def _cover(length: int, spans: Sequence[tuple[int, int]]) -> Tensor:
    """Which of ``length`` places lie in one of the spans, ``[length]`` bool."""
    mask = torch.zeros(length, dtype=torch.bool)
    for start, end in spans:
        mask[start:end] = True
    return mask


def _classes(predictions: Sequence[Prediction], annotations: Annotations, *, complete: bool) -> dict[str, float]:
    """Numbers on classes of the examples that both sides name."""
    by_id = {each.id: each.label for each in predictions}
    missing = [name for name in annotations.examples if name not in by_id]
    if complete and missing:
        raise ValueError(
            f"parity with ERASER needs a class for each of the {len(annotations.examples)} examples of {annotations.split!r}; "
            f"{len(missing)} have none, the first is {missing[0]!r}; predict them, or leave 'parity' out"
        )
    index = {label: place for place, label in enumerate(annotations.labels)}
    pairs = [(by_id[name], example.label) for name, example in annotations.examples.items() if name in by_id]
    predicted = torch.tensor([index[str(label)] for label, _ in pairs])
    gold = torch.tensor([index[label] for _, label in pairs])
    return classification_scores(predicted, gold, annotations.labels)


def _faithfulness(
    predictions: Sequence[Prediction], annotations: Annotations, *, fractions: Sequence[float] | None, parity: str | None
) -> dict[str, float]:
    """Numbers on probabilities without the rationale and on it alone."""
    labels = annotations.labels

    def table(rows: Sequence[Mapping[str, float] | None]) -> Tensor | None:
        """``[B, C]``."""
        if rows[0] is None:
            return None
        return torch.tensor([[(row or {})[label] for label in labels] for row in rows], dtype=torch.float64)

    at = predictions[0].thresholded
    without_at = alone_at = shares = None
    if at is not None:
        known = [each.threshold for each in at]
        shares = known if fractions is None else sorted(fractions)
        if absent := [share for share in shares if share not in known]:
            raise ValueError(f"'fractions' names {absent}, but the predictions have {known}; leave it out to take those")
        places = [known.index(share) for share in shares]
        without_at, alone_at = (
            torch.stack(
                [_stacked(table([getattr((each.thresholded or ())[place], side) for each in predictions])) for place in places]
            )
            for side in ("without", "alone")
        )
    flips = lengths = None
    if predictions[0].tokens_to_flip is not None:
        flips = torch.tensor([each.tokens_to_flip or 0 for each in predictions])
        lengths = torch.tensor([_length(each, annotations) for each in predictions])
    return faithfulness_scores(
        _stacked(table([each.probabilities for each in predictions])),
        table([each.without for each in predictions]),
        table([each.alone for each in predictions]),
        predicted=torch.tensor([labels.index(str(each.label)) for each in predictions]),
        without_at=without_at,
        alone_at=alone_at,
        thresholds=shares,
        flips=flips,
        lengths=lengths,
        parity=parity,
    )


def _stacked(table: Tensor | None) -> Tensor:
    assert table is not None  # check_predictions: thresholds and ablations need probabilities
    return table


def _length(prediction: Prediction, annotations: Annotations) -> int:
    """Tokens of the documents of an example."""
    example = annotations.examples.get(prediction.id)
    docids = [mark.docid for mark in prediction.documents] if example is None else example.documents
    return sum(sum(annotations.documents.lengths(docid, prediction.where)) for docid in docids)
