"""Discovery of potential shortcuts: what a trained rationalizer selects of labelled examples, and people did not.

    s_t = 1  where  m_t = 1 and z_t = 0, in runs of at least ``min_run`` units

with the mask m of a model that never saw the evidence z. Source: Towards Faithful Explanations: Boosting Rationalization with
Shortcuts Discovery (Yue et al., 2024, https://arxiv.org/abs/2403.07955). Its code has no discovery; that runs have a least length
(3) is read off the released files, and whether the prediction must be right is an option, since the text does not say.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rationalizers.batch import Packed
from rationalizers.build import build, trusting
from rationalizers.data.module import RationaleData, TextData
from rationalizers.data.shortcuts import SUMMARY, Shortcuts
from rationalizers.load import Trained, load_rationalizer
from rationalizers.run import write_json
from rationalizers.segment import segment_runs

log = logging.getLogger(__name__)

# A class is said to own the shortcuts where another has so small a part of its share of documents with any.
TIED = 0.2
FORMAT = 1


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Args:
        shortcuts: spans by example.
        settings: what decides about them.
        coverage: by class, ``documents``, ``with_shortcuts`` (documents that have any) and ``word_share`` (of their words).
        planted: where the corpus says which words are shortcuts: ``precision``, ``recall`` and ``f1`` of the words found, and
            ``base_rate``, the precision of all words that are no evidence; else empty.
        warnings: what should be known before anything is trained on them.
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
    batch_size: int = 32,
    trust: Sequence[str] = (),
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Discovery:
    """Find the shortcuts of the labelled training examples of a run, and keep them in its folder; those there are read back.

    Args:
        folder: a finished run on text, trained without those examples (``data.module.part=unlabelled``).
        min_run: units in a row that a shortcut has at least.
        require_correct: only look at examples whose prediction is right.
        batch_size: examples at a time; the result does not depend on it.
        trust: packages whose classes the run may use beyond this project's own.
        device: where the model goes.
        progress: called with the number of examples that are done, and of all.

    Raises:
        ValueError: ``min_run`` below 1, or a run without labelled text.
        FileExistsError: the folder has shortcuts that were discovered with other settings.
    """
    folder = Path(folder)
    if min_run < 1:
        raise ValueError(f"'min_run' must be at least 1, got {min_run}")
    settings = {"min_run": min_run, "require_correct": require_correct}
    stored = _stored(folder, settings)
    if stored is not None:
        return stored
    trained = load_rationalizer(folder, trust=trust, device=device)
    data = _data(trained, trust)
    examples = sorted(data.labelled, key=lambda row: -row.units.shape[0])
    marks: dict[str, Tensor] = {}
    for start in range(0, len(examples), batch_size):
        rows = examples[start : start + batch_size]
        batch = Packed.collate(rows).to(device)
        found = _marks(trained, batch, min_run=min_run, require_correct=require_correct).cpu()
        ends = batch.ptr.tolist()
        for row, first, last in zip(rows, ends, ends[1:], strict=False):
            marks[row.ids[0]] = _words(found[first:last], row)
        if progress is not None:
            progress(min(start + batch_size, len(examples)), len(examples))
    labels = [trained.model.task.names[int(row.y)] for row in data.labelled if row.y is not None]
    return _keep(folder, settings, data, {row.ids[0]: marks[row.ids[0]] for row in data.labelled}, labels, trained)


@torch.no_grad()
def _marks(trained: Trained, batch: Packed, *, min_run: int, require_correct: bool) -> Tensor:
    """Units that are part of a shortcut ``[N]`` bool."""
    output = trained.model(batch)
    mask = output.rationale.selected & ~batch.fields["evidence"].bool() & ~batch.fixed
    if require_correct:
        right = output.logits.argmax(-1) == batch.y
        mask = mask & torch.repeat_interleave(right, batch.ptr.diff())
    runs = segment_runs(mask, batch.ptr)
    kept = torch.zeros_like(mask)
    for start, end in runs[runs[:, 1] - runs[:, 0] >= min_run].tolist():
        kept[start:end] = True
    return kept


def _words(marked: Tensor, row: Packed) -> Tensor:
    """Words of the document, as far as it was seen, of which any unit is marked ``[n]`` bool."""
    units = torch.nonzero(~row.fixed).flatten()
    word = row.fields["word"][units]
    word = word - word.min()
    found = torch.zeros(int(word.max()) + 1, dtype=torch.long)
    return found.scatter_reduce(0, word, marked[units].long(), "amax").bool()


def _data(trained: Trained, trust: Sequence[str]) -> TextData:
    """The data of the run, as it was trained on them."""
    with trusting(trust):
        data = build(trained.config["data"], RationaleData)
    if not isinstance(data, TextData):
        raise ValueError(f"shortcuts are discovered in text; {trained.config['name']} was trained on {type(data).__name__}")
    data.setup("fit")
    if not data.labelled:
        raise ValueError(
            f"{trained.config['name']} has no labelled examples to look at; train it with data.module.labelled_share=0.25 "
            "data.module.part=unlabelled"
        )
    return data


def _keep(
    folder: Path,
    settings: Mapping[str, Any],
    data: TextData,
    marks: Mapping[str, Tensor],
    labels: Sequence[str],
    trained: Trained,
) -> Discovery:
    """Count, warn and write."""
    shortcuts = Shortcuts(
        folder,
        words={name: each.numel() for name, each in marks.items()},
        spans={
            name: tuple((start, end) for start, end in segment_runs(each, torch.tensor([0, each.numel()])).tolist())
            for name, each in marks.items()
        },
    )
    coverage: dict[str, dict[str, float]] = {}
    for label in trained.model.task.names:
        own = [each for each, other in zip(marks.values(), labels, strict=True) if other == label]
        words = sum(each.numel() for each in own)
        coverage[label] = {
            "documents": len(own),
            "with_shortcuts": sum(bool(each.any()) for each in own),
            "word_share": sum(int(each.sum()) for each in own) / max(1, words),
        }
    planted = _planted(data.labelled, marks)
    warnings = _warnings(coverage, part=data.part)
    for warning in warnings:
        log.warning("%s: %s", folder, warning)
    found = Discovery(shortcuts, dict(settings), coverage, planted, warnings)
    shortcuts.write()
    write_json(
        folder / SUMMARY,
        {"format": FORMAT, "settings": settings, "coverage": coverage, "planted": planted, "warnings": warnings},
    )
    return found


def _planted(rows: Sequence[Packed], marks: Mapping[str, Tensor]) -> dict[str, float]:
    """How well the words found agree with those that a generated corpus says are shortcuts."""
    if not all("shortcut" in row.fields for row in rows):
        return {}
    truth = torch.cat([_words(row.fields["shortcut"] > 0, row) for row in rows])
    plain = torch.cat([~_words(row.fields["evidence"].bool(), row) for row in rows])
    found = torch.cat([marks[row.ids[0]] for row in rows])
    hits, selected, planted = (int(each.sum()) for each in (found & truth, found, truth))
    return {
        "precision": hits / max(1, selected),
        "recall": hits / max(1, planted),
        "f1": 2 * hits / max(1, selected + planted),
        "base_rate": planted / max(1, int(plain.sum())),
    }


def _warnings(coverage: Mapping[str, Mapping[str, float]], *, part: str) -> list[str]:
    found = []
    if part != "unlabelled":
        found.append(
            "the model was trained on the examples whose shortcuts these are; train it with data.module.part=unlabelled, so that "
            "what it selects is not what it remembers"
        )
    share = {label: each["with_shortcuts"] / each["documents"] for label, each in coverage.items() if each["documents"]}
    if not any(share.values()):
        found.append("no shortcut was found: the model selects nothing but evidence in runs of this length, or nothing at all")
    elif min(share.values()) < TIED * max(share.values()):
        told = ", ".join(
            f"{label}: {int(coverage[label]['with_shortcuts'])} of {int(coverage[label]['documents'])}" for label in share
        )
        found.append(
            f"shortcuts are tied to a class (documents that have any, {told}): a model can tell the class by whether it is shown "
            "shortcuts at all"
        )
    return found


def _stored(folder: Path, settings: Mapping[str, Any]) -> Discovery | None:
    """What was discovered before, ``None`` where nothing was."""
    file = folder / SUMMARY
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}:{error.lineno}: not JSON: {error.msg}; delete it and discover again") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{file}: expected format {FORMAT}; delete it and discover again")
    if found["settings"] != dict(settings):
        raise FileExistsError(
            f"{file} was made with {found['settings']}, now it is {dict(settings)}; runs may have been trained on it: copy "
            f"the folder and discover there, or delete {SUMMARY} and discover again"
        )
    return Discovery(Shortcuts.read(folder), found["settings"], found["coverage"], found["planted"], found["warnings"])
