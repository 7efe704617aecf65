"""Score a prediction file in ERASER's format: ``python -m experiments.evaluate --eraser-predictions preds.jsonl data=movies``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from rationalizers.data.eraser import Eraser

FLAG, KEY = "--eraser-predictions", "eraser_predictions"
# What the configuration of an evaluation holds for this alone.
KEYS = (KEY, "data", "parity", "json")
# Numbers of examples, told below the table; and whole numbers within it.
COUNTS = ("annotations", "predicted", "missing", "unknown")
WHOLE = ("keys", "keys_without_evidence", "keys_without_prediction", "documents", "documents_skipped", "support")


def as_overrides(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with the flag, which Hydra would refuse, as an override of the configuration.

    Raises:
        SystemExit: the flag has no file.
    """
    found, rest = [], list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, path = argument.partition("=")
        if name != FLAG:
            found.append(argument)
            continue
        if not equals and (not rest or rest[0].startswith("-")):
            raise SystemExit(f"{FLAG} needs a file: {FLAG} predictions.jsonl data=movies")
        # Quoted, for Hydra reads signs such as = and spaces in its own way.
        file = (path if equals else rest.pop(0)).replace("'", "\\'")
        found.append(f"{KEY}='{file}'")
    return found


def score_file(config: DictConfig) -> bool:
    """Score the file that the configuration names on the split of its data; false where it names none, and runs are meant.

    Prints a table, and writes JSON where asked to.

    Raises:
        SystemExit: the file, the data or their fit is not as it should be; says what.
    """
    if config[KEY] is None:
        if config.get("data") is not None or config.parity is not None:
            raise SystemExit(f"data and parity are read with {KEY} only: a run knows its data; leave them out, or name a file")
        return False
    from rationalizers.data.predictions import read_predictions
    from rationalizers.eraser import score_predictions

    path = Path(config[KEY])
    try:
        data = source(config)
        annotations = data.annotations(config.split)
        predictions = read_predictions(path, annotations=annotations)
        unknown = [each.id for each in predictions if each.id not in annotations.examples]
        note = whereabouts(unknown, data, config.split) if unknown else ""
        if len(unknown) == len(predictions):
            raise ValueError(f"{path}: {note}; name the split that they are of (split=…)")
        numbers = score_predictions(predictions, annotations, parity=config.parity)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error
    if config.json is not None:
        held = {"predictions": str(path), "dataset": annotations.name, "split": config.split, "parity": config.parity}
        # JSON has no infinity: KL is one where a class gets probability 0.
        scores = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        Path(config.json).write_text(json.dumps({**held, "scores": scores}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    show(numbers, title=f"{path.name}: {annotations.name}, {config.split}", parity=config.parity, note=note)
    return True


def whereabouts(names: Sequence[str], data: Eraser, split: str) -> str:
    """Where examples are that a split has not, in words."""
    left, found = list(names), []
    for other in data.stems:
        if other != split:
            try:
                there = set(data.names(other))
            except FileNotFoundError:
                continue  # nobody asked for this split, and the folder may well hold one only
            found += [f"{count} in {other}"] if (count := sum(name in there for name in left)) else []
            left = [name for name in left if name not in there]
    found += [f"{len(left)} nowhere ({', '.join(left[:3])}{', …' if len(left) > 3 else ''})"] if left else []
    return f"of {len(names)} predicted examples that are not in {split} of {data.name}, {', '.join(found)}"


def source(config: DictConfig) -> Eraser:
    """The data set that the configuration names.

    Raises:
        ValueError: none is named, or it is none of ERASER's.
    """
    from rationalizers.build import build, trusting
    from rationalizers.data.document import Source
    from rationalizers.data.eraser import LABELS, Eraser

    known = ", ".join(f"data={name}" for name in LABELS)
    if config.get("data") is None:
        raise ValueError(f"{KEY} needs the data set that the predictions are of: one of {known}")
    corpus: Any = OmegaConf.select(config, "data.module.corpus")
    found = None
    if corpus is not None:
        with trusting(list(config.trust)):
            found = build(OmegaConf.to_container(corpus, resolve=True), Source)  # type: ignore[arg-type]
    if not isinstance(found, Eraser):
        raise ValueError(f"data={config.data.name} is not in ERASER's format, so no predictions are of it; choose one of {known}")
    return found


def show(numbers: Mapping[str, float], *, title: str, parity: str | None, note: str) -> None:
    """Print the numbers as a table, and what they are of below it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, number in numbers.items():
        if name not in COUNTS:
            table.add_row(name, f"{number:.{0 if name.endswith(WHOLE) else 4}f}")
    counts = ", ".join(f"{name} {numbers[name]:.0f}" for name in COUNTS)
    console = Console()
    console.print(table)
    said = [
        f"{counts}; {f'as {parity} computes it' if parity else 'our definitions, see docs/eraser.md'}.",
        *([note] if note else []),
    ]
    console.print("\n".join(said), soft_wrap=True, markup=False, highlight=False)
