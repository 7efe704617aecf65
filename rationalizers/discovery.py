"""Discovery of potential shortcuts: what a trained rationalizer selects of labelled examples, and people did not mark.

    s_t = 1  where  m_t = 1 and z_t = 0, in runs of at least ``min_run`` units

with the mask m of a model that has not seen the evidence z. From "Towards Faithful Explanations: Boosting Rationalization with
Shortcuts Discovery" (Yue et al., 2024), https://arxiv.org/abs/2403.07955. Of the authors' discovery only the result is released:
that a run has at least three units is read off it, and since nobody says whether the prediction must be right, that is an option.
What deviates: fixed units (``[CLS]``, a query) are never marked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Packed
from rationalizers.build import build, trusting
from rationalizers.data.module import RationaleData, TextData
from rationalizers.data.shortcuts import LINES, REMEDY, SUMMARY, Shortcuts
from rationalizers.load import Trained, load_rationalizer
from rationalizers.parsing import read_json
from rationalizers.run import write_json
from rationalizers.segment import owners, segment_runs

log = logging.getLogger(__name__)

# 1: the first.
FORMAT = 1
# Shortcuts are tied to a class where its share of documents with any is more than so many times that of another class. In the
# released files of Movies, 196 of 196 negative and 1 of 204 positive reviews have any.
TIED = 5


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Args:
        shortcuts: the spans of each labelled example.
        settings: what decides about them.
        coverage: of each class, ``documents``, ``with_shortcuts`` (documents that have any) and ``word_share`` (part of its
            words, as far as the model sees them).
        planted: where the corpus knows the shortcuts that it was made with, ``precision``, ``recall`` and ``f1`` of the words
            found (0 where there are none) and ``base_rate``, the precision of marking all that is no evidence; else empty.
        warnings: what should be known before a model is trained on them.
    """

    shortcuts: Shortcuts
    settings: Mapping[str, Any]
    coverage: Mapping[str, Mapping[str, float]]
    planted: Mapping[str, float]
    warnings: Sequence[str]


def discover(
    folder: str | Path,
    *,
    min_run: int = 3,
    require_correct: bool = False,
    trust: Sequence[str] = (),
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Discovery:
    """Mark the potential shortcuts of the labelled training examples of a run, and keep them in its folder.

    Shortcuts that were discovered with the same settings are read back.

    Args:
        folder: a finished run on text, trained on the other examples (``data.module.part=unlabelled``).
        min_run: units in a row that make a shortcut, at least.
        require_correct: only look at examples whose class is predicted right.
        trust: packages whose classes the run may use beyond this project's own.
        device: where the model goes.
        progress: called with the number of examples that are done, and of all.

    Raises:
        ValueError: ``min_run`` below 1, a folder that `load_rationalizer` refuses, or a run without labelled text.
        FileExistsError: the run has shortcuts that were discovered with other settings.
    """
    folder = Path(folder)
    if min_run < 1:
        raise ValueError(f"'min_run' must be at least 1, got {min_run}")
    settings = {"min_run": min_run, "require_correct": require_correct}
    found = _stored(folder, settings)
    if found is None:
        trained = load_rationalizer(folder, trust=trust, device=device)
        data, words = _data(trained, folder, trust)
        marked: dict[str, Tensor] = {}
        examples = sorted(data.labelled, key=lambda row: -row.units.shape[0])
        for first in range(0, len(examples), data.batch_size):
            rows = examples[first : first + data.batch_size]
            batch = Packed.collate(rows).to(device)
            marks = _marks(trained.model, batch, min_run=min_run, require_correct=require_correct).cpu()
            for row, (start, end) in zip(rows, pairwise(batch.ptr.tolist()), strict=True):
                marked[row.ids[0]] = _words(marks[start:end], row)
            if progress is not None:
                progress(len(marked), len(examples))
        found = _described(folder, settings, data, words, [marked[row.ids[0]] for row in data.labelled])
        found.shortcuts.write()
        told = {name: value for name, value in vars(found).items() if name != "shortcuts"}
        write_json(folder / SUMMARY, {"format": FORMAT, **told})
    else:
        log.info("shortcuts of %s are discovered already", folder)
    for warning in found.warnings:
        log.warning("%s: %s", folder, warning)
    return found


def _stored(folder: Path, settings: Mapping[str, Any]) -> Discovery | None:
    """What was discovered with these settings before; ``None`` where nothing was."""
    file = folder / SUMMARY
    if not file.is_file():
        return None
    found = read_json(file, remedy=REMEDY)
    expected = ("format", "settings", "coverage", "planted", "warnings")
    if not isinstance(found, dict) or set(expected) - found.keys():
        raise ValueError(f"{file}: expected {', '.join(expected)}; {REMEDY}")
    kinds = {"settings": dict, "coverage": dict, "planted": dict, "warnings": list}
    if wrong := [name for name, kind in kinds.items() if not isinstance(found[name], kind)]:
        raise ValueError(f"{file}: expected {wrong[0]!r} to be a {kinds[wrong[0]].__name__}, got {found[wrong[0]]!r}; {REMEDY}")
    if found["format"] != FORMAT:
        raise ValueError(f"{file}: expected format {FORMAT}, got {found['format']!r}; {REMEDY}")
    for name in {**settings, **found["settings"]}:
        if found["settings"].get(name) != settings.get(name):
            raise FileExistsError(
                f"{file} was made with {name} = {found['settings'].get(name)!r}, now it is {settings.get(name)!r}; models may "
                f"have been trained with these shortcuts: copy the run folder and discover there, or {REMEDY}"
            )
    if not (folder / LINES).is_file():
        return None
    return Discovery(Shortcuts.read(folder), *(found[name] for name in expected[1:]))


def _data(trained: Trained, folder: Path, trust: Sequence[str]) -> tuple[TextData, dict[str, int]]:
    """The data that the run was trained on, and the number of words of each training document, cut nowhere."""
    with trusting(trust):
        data = build(trained.config["data"], RationaleData)
        if not isinstance(data, TextData):
            raise ValueError(f"shortcuts are discovered in text; {folder} was trained on {type(data).__name__}")
        data.setup("fit")
    if not data.labelled:
        raise ValueError(
            f"{folder} has no labelled examples, in which shortcuts are discovered; train it with "
            "data.module.labelled_share=0.25 data.module.part=unlabelled"
        )
    if tuple(data.text.vocabulary) != tuple(trained.featurizer.vocabulary):
        raise ValueError(
            f"{folder / 'assets'}: expected the vocabulary of {len(data.text.vocabulary)} units that its data give, got another "
            f"of {len(trained.featurizer.vocabulary)}; the data have changed since: train it again"
        )
    return data, {document.id: len(document.words) for document in data.source.load().splits["train"]}


@torch.no_grad()
def _marks(model: Rationalizer, batch: Packed, *, min_run: int, require_correct: bool) -> Tensor:
    """Units that are part of a shortcut, ``[N]`` bool."""
    output: Output = model(batch)
    marked: Tensor = output.rationale.selected & ~batch.fields["evidence"].bool() & ~batch.fixed  # [N]
    if require_correct:
        assert batch.y is not None  # every training example has a class
        right = output.logits.argmax(-1) == batch.y  # [B]
        marked = marked & right[owners(batch.ptr, marked.shape[0])]
    runs = segment_runs(marked, batch.ptr)  # [R, 2]
    size = runs[:, 1] - runs[:, 0]
    marked[marked.clone()] = torch.repeat_interleave(size >= min_run, size)
    return marked


def _words(units: Tensor, row: Packed) -> Tensor:
    """Words of the document, as far as a model sees them, of which any of the units ``[N]`` is true, ``[n]`` bool."""
    word = row.fields["word"][~row.fixed]
    word = word - word[0]  # after those of the query
    found = torch.zeros(int(word[-1]) + 1, dtype=torch.bool)
    found[word[units[~row.fixed]]] = True
    return found


def _described(
    folder: Path, settings: Mapping[str, Any], data: TextData, words: Mapping[str, int], marks: Sequence[Tensor]
) -> Discovery:
    """The marked words of all labelled examples as spans, with what is to be told of them."""
    by_id = {
        row.ids[0]: tuple((start, end) for start, end in segment_runs(each, torch.tensor([0, each.shape[0]])).tolist())
        for row, each in zip(data.labelled, marks, strict=True)
    }
    shortcuts = Shortcuts(folder, {name: words[name] for name in by_id}, by_id)
    classes = torch.cat([row.y for row in data.labelled if row.y is not None]).tolist()
    coverage = {}
    for number, label in enumerate(data.task["labels"]):
        own = [each for each, y in zip(marks, classes, strict=True) if y == number]
        coverage[label] = {
            "documents": len(own),
            "with_shortcuts": sum(bool(each.any()) for each in own),
            "word_share": sum(int(each.sum()) for each in own) / max(1, sum(each.shape[0] for each in own)),
        }
    return Discovery(shortcuts, settings, coverage, _planted(data.labelled, marks), _warnings(coverage, part=data.part))


def _planted(rows: Sequence[Packed], marks: Sequence[Tensor]) -> dict[str, float]:
    """How well the words found agree with those that the corpus says are shortcuts, where it says so."""
    if not all("shortcut" in row.fields for row in rows):
        return {}
    truth = torch.cat([_words(row.fields["shortcut"] > 0, row) for row in rows])
    evidence = torch.cat([_words(row.fields["evidence"].bool(), row) for row in rows])
    found = torch.cat(list(marks))
    hits, marked, planted = (int(each.sum()) for each in (found & truth, found, truth))
    return {
        "precision": hits / max(1, marked),
        "recall": hits / max(1, planted),
        "f1": 2 * hits / max(1, marked + planted),
        "base_rate": int((truth & ~evidence).sum()) / max(1, int((~evidence).sum())),
    }


def _warnings(coverage: Mapping[str, Mapping[str, float]], *, part: str) -> list[str]:
    """What a reader of the result should know."""
    found = []
    if part != "unlabelled":
        found.append(
            f"the model was trained on the examples that it looked at (part={part}), so that some of what it selects is what it "
            "remembers; train it with data.module.part=unlabelled"
        )
    share = {label: each["with_shortcuts"] / each["documents"] for label, each in coverage.items() if each["documents"]}
    if not any(share.values()):
        found.append(
            "no shortcut was found: the model selects evidence, nothing, or shorter runs than these; look at its rationales, or "
            "allow shorter ones (min_run=1)"
        )
    elif max(share.values()) > TIED * min(share.values()):
        counts = ", ".join(f"{label} {coverage[label]['with_shortcuts']} of {coverage[label]['documents']}" for label in share)
        found.append(
            f"shortcuts are tied to a class (documents that have any: {counts}): that there is one tells the class, and the "
            "model may select for one class only"
        )
    return found
