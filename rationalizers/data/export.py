"""Predictions of our runs as ERASER files, so that other tools can score them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from rationalizers.build import build
from rationalizers.data.annotations import Annotations
from rationalizers.data.eraser import Eraser
from rationalizers.data.predictions import Marked, Prediction, write_predictions
from rationalizers.data.records import broken, records
from rationalizers.run import read_config

ERASER = f"{Eraser.__module__}.{Eraser.__name__}"


def export_run(folder: str | Path, *, split: str = "test") -> Path | None:
    """Write ``predictions.jsonl`` next to the ``rationales.jsonl`` of a run, finished or not; ``None`` for graphs.

    Runs on ERASER sets give their documents the names of the set, which must be at hand; nothing is downloaded. In any other run
    on text an example is one document of the example's name.

    Args:
        folder: of the run.
        split: that its examples are of.

    Raises:
        FileNotFoundError: the folder lacks a file, or the data set is absent.
        ValueError: as `export_predictions`; or there are no examples.
    """
    folder = Path(folder)
    config, path = read_config(folder), folder / "rationales.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no rationales.jsonl; finish the run, then export it")
    examples = [record for _, record in records(path, Counter())]
    if not examples:
        raise broken(str(path), "expected one explained example per line, got none", "train the run again")
    if "edges" in examples[0]:
        return None
    return write_predictions(folder / "predictions.jsonl", export_predictions(examples, annotations_of(config, split)))


def annotations_of(config: Mapping[str, Any], split: str) -> Annotations | None:
    """The annotations that a run's examples are of; ``None`` where its corpus is no ERASER set. Nothing is downloaded.

    Args:
        config: of the run.
        split: that the examples are of.
    """
    corpus = config["data"].get("corpus", {})
    # Whatever else is named there is not looked at: a stranger's class would be run.
    return build({**corpus, "download": False}, Eraser).annotations(split) if corpus.get("_target_") == ERASER else None


def export_predictions(examples: Sequence[Mapping[str, Any]], annotations: Annotations | None = None) -> list[Prediction]:
    """Explained examples as predictions.

    Selected runs that cross documents are cut there. Words without a score, those that the model did not see among them, get one
    below the lowest of their example.

    Args:
        examples: lines of ``rationales.jsonl`` (`rationalizers.explanation.TextExplanation.record`).
        annotations: of their split; ``None`` takes each example for one document of its name.

    Raises:
        ValueError: an example is unknown to the annotations, or its words are not those of its documents.
    """
    return [_prediction(example, annotations) for example in examples]


def _prediction(example: Mapping[str, Any], annotations: Annotations | None) -> Prediction:
    name, words = example["id"], tuple(example["words"])
    where = f"example {name!r}"
    docids: tuple[str, ...] = (name,)
    sizes = [len(words)]
    if annotations is not None:
        if name not in annotations.examples:
            problem = f"it is not in the split {annotations.split!r} of {annotations.name}"
            raise broken(where, problem, "export the run with the data that it was trained on, and name its split")
        docids = annotations.examples[name].documents
        if annotations.documents.join(docids, where).words[: len(words)] != words:
            problem = f"its words are not those of {', '.join(docids)} in {annotations.documents.store}"
            raise broken(where, problem, "export the run with the data that it was trained on")
        sizes = [sum(annotations.documents.lengths(docid, where)) for docid in docids]
    known = [score for score in example["scores"] if score is not None]
    lowest = round(min(known, default=0.0) - 1.0, 4)
    scores = [lowest if score is None else float(score) for score in example["scores"]]
    scores += [lowest] * (sum(sizes) - len(scores))
    documents = tuple(
        Marked(
            docid,
            spans=tuple((max(start, a) - a, min(end, b) - a) for start, end in example["selected"] if start < b and end > a),
            tokens=tuple(scores[a:b]),
        )
        for docid, (a, b) in zip(docids, pairwise([0, *accumulate(sizes)]), strict=True)
    )
    return Prediction(name, documents, label=example["prediction"], probabilities=dict(example["probabilities"]))
