"""A small data set in ERASER's format on disk: three reviews, and claims on two documents each."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rationalizers.data.annotations import Annotations
from rationalizers.data.eraser import Eraser

# Nine tokens in three sentences, with a blank line and empty tokens; eight in two; four in one.
DOCS = {
    "r1": "a dull film\nbut  the ending\n\nis great !\n",
    "r2": "I loved it\nand so did you ?\n",
    "r3": "not for me .\n",
}


def evidence(docid: str, start: int, end: int, **sentences: int) -> dict[str, Any]:
    words = DOCS[docid].split()
    return {"docid": docid, "start_token": start, "end_token": end, "text": " ".join(words[start:end]), **sentences}


def annotation(name: str, label: str, groups: Sequence[Sequence[dict[str, Any]]], **more: Any) -> dict[str, Any]:
    return {"annotation_id": name, "classification": label, "evidences": groups, "query": "?", **more}


REVIEWS = [
    annotation("r1", "POS", [[evidence("r1", 7, 9, start_sentence=2, end_sentence=3)]]),
    annotation("r2", "POS", [[evidence("r2", 1, 2)], [evidence("r2", 1, 2), evidence("r2", 4, 6)]]),
    annotation("r3", "NEG", [[evidence("r3", 0, 1)]]),
]


def make(root: Path, *, name: str = "movies", lines: Sequence[dict[str, Any]] = REVIEWS, form: str = "docs") -> Path:
    """Its folder; all splits but test are empty."""
    folder = root / "eraser" / name
    folder.mkdir(parents=True)
    for split in ("train", "val"):
        (folder / f"{split}.jsonl").write_text("")
    (folder / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if form == "docs":
        (folder / "docs").mkdir()
        for docid, text in DOCS.items():
            (folder / "docs" / docid).write_text(text)
    else:
        rows = "".join(json.dumps({"docid": docid, "document": text}) + "\n" for docid, text in DOCS.items())
        (folder / "docs.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    return folder


def read(root: Path, *, name: str = "movies") -> Annotations:
    return Eraser(name=name, root=str(root), download=False).annotations("test")


def write(path: Path, rows: Sequence[Any]) -> Path:
    """A prediction file; rows are objects or raw text."""
    raw = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(raw.encode()))
    else:
        path.write_text(raw)
    return path


def scores(pos: float) -> dict[str, float]:
    return {"NEG": 1 - pos, "POS": pos}


def spans(*pairs: tuple[int, int]) -> list[dict[str, int]]:
    return [{"start_token": start, "end_token": end} for start, end in pairs]


def full(name: str, count: int, sentences: int, *, selected: Sequence[tuple[int, int]] = (), pos: float = 0.75) -> dict[str, Any]:
    """A line with every field."""
    return {
        "annotation_id": name,
        "rationales": [
            {
                "docid": name,
                "hard_rationale_predictions": spans(*selected),
                "soft_rationale_predictions": [round(0.9 - 0.1 * place, 2) for place in range(count)],
                "soft_sentence_predictions": [0.5 / (1 + place) for place in range(sentences)],
            }
        ],
        "classification": "POS" if pos >= 0.5 else "NEG",
        "classification_scores": scores(pos),
        "comprehensiveness_classification_scores": scores(0.5),
        "sufficiency_classification_scores": scores(0.625),
        "tokens_to_flip": 2,
        "thresholded_scores": [
            {
                "threshold": threshold,
                "comprehensiveness_classification_scores": scores(without),
                "sufficiency_classification_scores": scores(alone),
            }
            for threshold, without, alone in ((0.1, 0.7, 0.6), (0.5, 0.3, 0.7))
        ],
    }


FULL = [
    full("r1", 9, 3, selected=[(7, 9)]),
    full("r2", 8, 2, selected=[(0, 2), (4, 6)], pos=0.875),
    full("r3", 4, 1, pos=0.25),
]
