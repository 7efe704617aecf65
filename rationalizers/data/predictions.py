"""ERASER's prediction files (DeYoung et al., ACL 2020, https://www.eraserbenchmark.com): read, checked and written.

One JSON object per example: its ``annotation_id``, for every document what was selected in it (``rationales``), and, where the
model classifies, probabilities of each class on the whole text, without the rationale and on the rationale alone. Of what is
optional, all examples have a field or none.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from rationalizers.data.annotations import Annotations
from rationalizers.data.records import broken, records, value
from rationalizers.run import write_atomically

log = logging.getLogger(__name__)

T = TypeVar("T")

# How far probabilities may sum from 1: they are written with few digits.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Marked:
    """What was selected in one document; ``None`` is a field that the file has not.

    Args:
        docid: name of the document.
        spans: selected tokens, half-open, not empty, not overlapping; ``hard_rationale_predictions``.
        tokens: a score per token; ``soft_rationale_predictions``.
        sentences: a score per sentence; ``soft_sentence_predictions``.

    Raises:
        ValueError: spans or scores are not as said.
    """

    docid: str
    spans: tuple[tuple[int, int], ...] | None = None
    tokens: tuple[float, ...] | None = None
    sentences: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for start, end in self.spans or ():
            if not 0 <= start < end:
                raise ValueError(
                    f"span [{start}, {end}) of document {self.docid!r} should begin at 0 or later and end, exclusively, after "
                    "its start; leave empty spans out"
                )
        for (start, end), (after, last) in pairwise(sorted(self.spans or ())):
            if after < end:
                raise ValueError(
                    f"spans [{start}, {end}) and [{after}, {last}) of document {self.docid!r} overlap; merge them into one"
                )
        for name, scores in (("soft_rationale_predictions", self.tokens), ("soft_sentence_predictions", self.sentences)):
            for place, score in enumerate(scores or ()):
                if not math.isfinite(score):
                    raise ValueError(
                        f"{name!r} of document {self.docid!r} should be finite, got {score} at {place}; give a number"
                    )


@dataclass(frozen=True)
class Ablated:
    """Probabilities of the classes when the best-scored ``threshold`` of the tokens is left out, and when it is all there is."""

    threshold: float
    without: Mapping[str, float]
    alone: Mapping[str, float]


@dataclass(frozen=True)
class Prediction:
    """One line of a prediction file; ``None`` is a field that the file has not.

    Args:
        id: ``annotation_id``.
        documents: ``rationales``.
        label: predicted class; ``classification``.
        probabilities: of each class on the whole text; ``classification_scores``.
        without: the same without the rationale; ``comprehensiveness_classification_scores``.
        alone: the same on the rationale alone; ``sufficiency_classification_scores``.
        tokens_to_flip: how many of the best tokens have to go until another class is predicted.
        thresholded: the same two at several shares of the tokens, ascending; ``thresholded_scores``.
        where: ``file:line``.

    Raises:
        ValueError: a document is there twice, probabilities are none, or one field needs another that is missing.
    """

    id: str
    documents: tuple[Marked, ...]
    label: str | None = None
    probabilities: Mapping[str, float] | None = None
    without: Mapping[str, float] | None = None
    alone: Mapping[str, float] | None = None
    tokens_to_flip: int | None = None
    thresholded: tuple[Ablated, ...] | None = None
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for docid, times in Counter(document.docid for document in self.documents).items():
            if times > 1:
                raise ValueError(f"document {docid!r} has {times} entries in 'rationales'; give each document one")
        if (self.label is None) != (self.probabilities is None):
            raise ValueError("'classification' and 'classification_scores' come together; give both or neither")
        for needs, needed in (
            (WITHOUT, PROBABILITIES),
            (ALONE, PROBABILITIES),
            (FLIP, PROBABILITIES),
            (AT, WITHOUT),
            (AT, ALONE),
        ):
            if self.held(needs) is not None and self.held(needed) is None:
                raise ValueError(f"{needs!r} needs {needed!r}; give both, or leave the first out")
        if self.tokens_to_flip is not None and self.tokens_to_flip < 0:
            raise ValueError(f"{FLIP!r} should be a count of tokens, got {self.tokens_to_flip}; correct it")
        shares = [each.threshold for each in self.thresholded or ()]
        if any(not 0 < share <= 1 for share in shares) or any(a >= b for a, b in pairwise(shares)):
            raise ValueError(f"thresholds should be different and in (0, 1], ascending, got {shares}; correct {AT!r}")
        for name, given in self.distributions():
            _check_distribution(name, given, labels=set(self.probabilities or ()))
        if self.label is not None and self.label not in (self.probabilities or ()):
            raise ValueError(f"'classification' is {self.label!r}, which has no probability in {PROBABILITIES!r}; give it one")

    def held(self, name: str) -> Any:
        """The field of that name in the file."""
        return getattr(self, NAMES[name])

    def distributions(self) -> list[tuple[str, Mapping[str, float]]]:
        """Every distribution over classes, with its name."""
        found = [(name, self.held(name)) for name in (PROBABILITIES, WITHOUT, ALONE) if self.held(name) is not None]
        for each in self.thresholded or ():
            found += [(f"{name} at {each.threshold:g}", shown) for name, shown in ((WITHOUT, each.without), (ALONE, each.alone))]
        return found

    def record(self) -> dict[str, Any]:
        """The line as JSON-ready primitives."""
        found: dict[str, Any] = {"annotation_id": self.id, "rationales": [_document_record(each) for each in self.documents]}
        plain = {name: self.held(name) for name in NAMES if name != AT and self.held(name) is not None}
        if self.thresholded is not None:
            plain[AT] = [{"threshold": at.threshold, WITHOUT: dict(at.without), ALONE: dict(at.alone)} for at in self.thresholded]
        return found | plain


PROBABILITIES = "classification_scores"
WITHOUT = "comprehensiveness_classification_scores"
ALONE = "sufficiency_classification_scores"
FLIP = "tokens_to_flip"
AT = "thresholded_scores"
NAMES = {
    "classification": "label",
    PROBABILITIES: "probabilities",
    WITHOUT: "without",
    ALONE: "alone",
    FLIP: "tokens_to_flip",
    AT: "thresholded",
}
SPANS, TOKENS, SENTENCES = "hard_rationale_predictions", "soft_rationale_predictions", "soft_sentence_predictions"
MARKS = {SPANS: "spans", TOKENS: "tokens", SENTENCES: "sentences"}


def read_predictions(path: str | Path, *, annotations: Annotations | None = None) -> list[Prediction]:
    """The predictions of a file, plain or ``.gz``; blank lines are skipped, unknown keys are named in the log.

    Args:
        path: the file.
        annotations: what they are about; ``None`` checks the file alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: with file and line: invalid JSON, a missing key or a value of another type, an example or a document there
            twice, an empty or overlapping span, scores that are not finite, probabilities that do not sum to 1 or are of other
            classes, a field that only some lines have, and what `check_predictions` finds.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no prediction file {path}; it holds one JSON object per example (docs/predictions.md)")
    unknown: Counter[str] = Counter()
    found = []
    for where, row in records(path, Counter()):
        unknown.update(set(row) - {"annotation_id", "rationales", *NAMES})
        try:
            found.append(_prediction(row, where))
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith(where) else f"{where}: {text}") from error
    if not found:
        raise ValueError(f"{path}: expected one JSON object per example, got none; is this the right file?")
    if unknown:
        log.warning("%s: keys that mean nothing here were left out: %s", path, ", ".join(sorted(unknown)))
    check_predictions(found, annotations)
    return found


def check_predictions(predictions: Sequence[Prediction], annotations: Annotations | None = None) -> None:
    """Raise unless the predictions fit each other and, where given, the documents and classes they are about.

    Raises:
        ValueError: an example is there twice; only some have a field or a threshold; a document does not exist, or a span or a
            number of scores does not fit it; the classes are others. Names the place.
    """
    seen: dict[str, str] = {}
    for prediction in predictions:
        where = prediction.where or f"prediction {prediction.id!r}"
        if prediction.id in seen:
            raise broken(where, f"annotation_id {prediction.id!r} was already at {seen[prediction.id]}", "remove one")
        seen[prediction.id] = where
        _check_alike(prediction, predictions[0], where)
    marked = [(prediction, document) for prediction in predictions for document in prediction.documents]
    for name, held in MARKS.items():
        having = [getattr(document, held) is not None for _, document in marked]
        if any(having) and not all(having):
            prediction, document = marked[having.index(False)]
            where = prediction.where or f"prediction {prediction.id!r}"
            problem = f"document {document.docid!r} has no {name!r}, others have"
            raise broken(
                where, problem, "give it for every document" + (", [] where nothing is selected" if name == SPANS else "")
            )
    for prediction in predictions if annotations is not None else ():
        assert annotations is not None
        _check_against(prediction, annotations, prediction.where or f"prediction {prediction.id!r}")


def write_predictions(path: str | Path, predictions: Sequence[Prediction]) -> Path:
    """Write a prediction file, at once or not at all; returns its path.

    Raises:
        ValueError: they do not fit each other (`check_predictions`), or the name promises compression.
    """
    path = Path(path)
    if path.suffix == ".gz":
        raise ValueError(f"'path' must name a plain file, got {path}; write it without .gz and compress it afterwards")
    check_predictions(predictions)
    lines = (json.dumps(prediction.record(), ensure_ascii=False, allow_nan=False) for prediction in predictions)
    write_atomically(path, "".join(f"{line}\n" for line in lines))
    return path


def _prediction(row: Mapping[str, Any], where: str) -> Prediction:
    """One line."""
    documents = value(row, "rationales", where, list)
    if not all(isinstance(document, dict) for document in documents):
        raise broken(where, f"'rationales' should be a list of objects, one per document, got {documents!r}", "correct it")
    thresholded = value(row, AT, where, list, optional=True)
    return Prediction(
        id=str(value(row, "annotation_id", where, str, int)),
        documents=tuple(_document(document, where) for document in documents),
        label=value(row, "classification", where, str, optional=True),
        probabilities=_distribution(row, PROBABILITIES, where),
        without=_distribution(row, WITHOUT, where),
        alone=_distribution(row, ALONE, where),
        tokens_to_flip=value(row, FLIP, where, int, optional=True),
        thresholded=None if thresholded is None else _thresholded(thresholded, where),
        where=where,
    )


def _document(row: Mapping[str, Any], where: str) -> Marked:
    spans = value(row, SPANS, where, list, optional=True)
    if spans is not None and not all(isinstance(span, dict) for span in spans):
        raise broken(where, f"{SPANS!r} should be a list of objects with start_token and end_token, got {spans!r}", "correct it")
    return Marked(
        docid=str(value(row, "docid", where, str, int)),
        spans=None
        if spans is None
        else tuple((value(span, "start_token", where, int), value(span, "end_token", where, int)) for span in spans),
        tokens=_numbers(row, TOKENS, where),
        sentences=_numbers(row, SENTENCES, where),
    )


def _document_record(document: Marked) -> dict[str, Any]:
    found: dict[str, Any] = {"docid": document.docid}
    if document.spans is not None:
        found[SPANS] = [{"start_token": start, "end_token": end} for start, end in document.spans]
    return found | {
        name: list(held) for name, held in ((TOKENS, document.tokens), (SENTENCES, document.sentences)) if held is not None
    }


def _numbers(row: Mapping[str, Any], key: str, where: str) -> tuple[float, ...] | None:
    numbers = value(row, key, where, list, optional=True)
    if numbers is None:
        return None
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise broken(where, f"{key!r} should be a list of numbers, got {number!r} in it", "correct it")
    return tuple(_float(number, key, where) for number in numbers)


def _distribution(row: Mapping[str, Any], key: str, where: str, *, optional: bool = True) -> dict[str, float] | None:
    found = value(row, key, where, dict, optional=optional)
    if found is None:
        return None
    for label, number in found.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise broken(where, f"{key!r} should hold a number for each class, got {number!r} for {label!r}", "correct it")
    return {label: _float(number, key, where) for label, number in found.items()}


def _float(number: int | float, key: str, where: str) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise broken(where, f"{key!r} holds a number that is too large", "correct it") from error


def _thresholded(rows: list[Any], where: str) -> tuple[Ablated, ...]:
    if not all(isinstance(row, dict) for row in rows):
        raise broken(where, f"{AT!r} should be a list of objects, one per threshold, got {rows!r}", "correct it")
    found = []
    for row in rows:
        without, alone = (_distribution(row, key, where, optional=False) for key in (WITHOUT, ALONE))
        assert without is not None
        assert alone is not None
        found.append(Ablated(_float(value(row, "threshold", where, int, float), "threshold", where), without, alone))
    return tuple(sorted(found, key=lambda each: each.threshold))


def _check_distribution(name: str, given: Mapping[str, float], *, labels: set[str]) -> None:
    if set(given) != labels:
        raise ValueError(
            f"{name!r} should be of the classes {', '.join(sorted(labels))}, got {', '.join(sorted(given))}; correct it"
        )
    if not all(math.isfinite(number) and number >= 0 for number in given.values()):
        raise ValueError(f"{name!r} should hold probabilities, got {dict(given)}; apply the softmax before writing")
    if abs(sum(given.values()) - 1) > TOLERANCE:
        raise ValueError(f"{name!r} should sum to 1, got {sum(given.values()):.6g}; normalise them before writing")


def _check_alike(prediction: Prediction, first: Prediction, where: str) -> None:
    """Raise unless a prediction has the optional fields and thresholds of the first one."""
    for name in NAMES:
        if (prediction.held(name) is None) != (first.held(name) is None):
            has, lacks = (
                ("this one", first.where or "the first") if first.held(name) is None else (first.where or "the first", "this one")
            )
            raise broken(where, f"{has} has {name!r}, {lacks} has not", "give it for every example or for none")
    ours, theirs = ([each.threshold for each in each_of.thresholded or ()] for each_of in (prediction, first))
    if ours != theirs:
        raise broken(where, f"thresholds should be {theirs} as before, got {ours}", "give every example the same")
    if set(prediction.probabilities or ()) != set(first.probabilities or ()):
        classes = ", ".join(sorted(first.probabilities or ()))
        raise broken(
            where,
            f"the classes should be {classes} as before, got {', '.join(sorted(prediction.probabilities or ()))}",
            "correct it",
        )


def _check_against(prediction: Prediction, annotations: Annotations, where: str) -> None:
    """Raise unless a prediction fits the classes and the documents of the data set."""
    if prediction.probabilities is not None and set(prediction.probabilities) != set(annotations.labels):
        known, got = ", ".join(annotations.labels), ", ".join(prediction.probabilities)
        raise broken(where, f"the classes of {annotations.name} are {known}, got {got}", "give each of them a probability")
    for document in prediction.documents:
        if document.docid not in annotations.documents:
            problem = f"document {document.docid!r} is not in {annotations.documents.store}"
            raise broken(where, problem, f"is this a prediction for {annotations.name}? correct 'docid'")
        sentences = annotations.documents.lengths(document.docid, where)
        for start, end in document.spans or ():
            if end > sum(sentences):
                problem = f"span [{start}, {end}) should lie within the {sum(sentences)} tokens of {document.docid!r}"
                raise broken(where, problem, "count the tokens of the document as published, blank lines left out")
        for name, scores, count, unit in (
            (TOKENS, document.tokens, sum(sentences), "tokens"),
            (SENTENCES, document.sentences, len(sentences), "sentences"),
        ):
            if scores is not None and len(scores) != count:
                problem = f"{name!r} of {document.docid!r} should have a score for each of {count} {unit}, got {len(scores)}"
                raise broken(where, problem, "give every one a score, those that the model did not see the lowest")
