"""What W&B keeps on this machine: for each run a folder ``offline-run-*`` or ``run-*``, with the run folder among its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rationalizers.report.result import folders_of, keeps_run, read_result
from rationalizers.tracking.offline import SUBFOLDER, Recorded, read_recorded


def kept_runs(root: Path) -> list[Path]:
    """The folders of W&B runs at or below ``root``, the latest last."""
    found = [file.parent for file in root.rglob("run-*.wandb") if keeps_run(file.parent)]
    # latest-run is a link to one of them.
    return sorted({folder.resolve() for folder in found}, key=lambda folder: (folder.name.removeprefix("offline-"), folder))


def differences(recorded: Recorded, folder: Path) -> Iterator[str]:
    """In what a W&B run does not say what the run folder says that it mirrors; nothing where it does.

    Args:
        recorded: the W&B run.
        folder: a finished run.
    """
    result = read_result(folder)
    if recorded.config != result.config:
        yield "configuration"
    if not _same(recorded.epochs, result.epochs):
        yield "epochs"
    for split in ("val", "test"):
        # In a summary W&B says nothing of what is not a number.
        numbers = {name: None if value != value else value for name, value in result.metrics[split].items()}
        if numbers != {name: recorded.summary.get(f"{split}/{name}") for name in numbers}:
            yield f"{split} numbers"


def _same(one: Any, other: Any) -> bool:
    """Whether they are equal, where what is not a number equals itself."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (one != one and other != other)


def notes_on(roots: str | Path | Iterable[str | Path]) -> list[str]:
    """What a reader of the runs below some folders should know of what W&B kept there: unfinished runs, and differences.

    Args:
        roots: as `rationalizers.report.result.find_runs` takes them.

    """
    recorded, notes = [], []
    for folder in (folder for root in folders_of(roots) for folder in kept_runs(root)):
        try:
            recorded.append(read_recorded(folder))
        except (OSError, ValueError) as error:
            notes.append(f"{folder.name}: what W&B kept of it cannot be read: {error}")
    finished = {each.facts.get("id") for each in recorded if _run_folder(each).is_dir()}
    for each in recorded:
        place = each.file.parent.name
        notes += each.notes
        if _run_folder(each).is_dir():
            different = [*differences(each, _run_folder(each))]
            if different:
                notes.append(f"{place}: W&B was told other {', '.join(different)} than the run folder that is compared here.")
        elif each.facts.get("id") not in finished:
            name = each.facts.get("name") or "a run without a name"
            last = each.epochs[-1] if each.epochs else {}
            loss = f", the last with val/loss {last['val/loss']:.3f}" if "val/loss" in last else ""
            notes.append(f"{place}: {name} was left out, which was not finished: {len(each.epochs)} epochs{loss}.")
    return notes


def _run_folder(recorded: Recorded) -> Path:
    return recorded.file.parent / "files" / SUBFOLDER
