"""Score finished runs again: the trained model of a run folder on a split of the data that the run describes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rationalizers.attribution import Attribution
from rationalizers.base import Output
from rationalizers.batch import Batch
from rationalizers.build import build, trusting
from rationalizers.data.export import annotations_of, export_predictions
from rationalizers.data.module import RationaleData
from rationalizers.data.predictions import Ablated, write_predictions
from rationalizers.evaluation.columns import Columns, columns, mean
from rationalizers.evaluation.examine import TESTS, Examined, examine
from rationalizers.evaluation.store import Evaluation, Store, tensor_rows
from rationalizers.fidelity import FRACTIONS
from rationalizers.load import Trained, load_rationalizer
from rationalizers.metrics.scores import Scores
from rationalizers.metrics.signal import answers, mask_looks, mask_signal, probeable
from rationalizers.statistics import RESAMPLES, estimate
from rationalizers.task import Classification

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
OWN = "own"
# Numbers at single sizes and of other forms are many; they are kept per example, and their intervals are not computed.
WITHOUT_INTERVAL = ("@", "_entropy", "_kl")


def evaluate(
    folder: str | Path,
    *,
    split: str = "test",
    attribution: Mapping[str, Any] | None = None,
    explained_by: str = OWN,
    absence: str = "compact",
    fractions: Sequence[float] = FRACTIONS,
    tests: Sequence[str] = TESTS,
    seed: int = 0,
    resamples: int = RESAMPLES,
    name: str | None = None,
    trust: Sequence[str] = (),
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Everything that can be asked of a trained model and its rationales on a split, with intervals and floors.

    Finished batches are kept: a killed evaluation, started again, goes on; a finished one is read back. The numbers are added to
    ``metrics.json`` of the run.

    Args:
        folder: a finished run, on text or on graphs.
        split: ``train``, ``val`` or ``test``.
        attribution: description of an `Attribution` that takes the place of the model's own rationale.
        explained_by: what to call it; ``own`` is the model's own rationale.
        absence: what absent means to faithfulness (`rationalizers.fidelity`), and is named in the result.
        fractions: sizes of faithfulness.
        tests: which of ``leakage``, ``shift``, ``stability`` and ``signal`` to make (see ``docs/leakage.md``).
        seed: of replacements, folds and resamples.
        resamples: how often examples are drawn for an interval.
        name: of the evaluation; ``None`` is ``<split>-<explained_by>-<absence>``.
        trust: packages whose classes the run may use beyond this project's own.
        device: where the model goes.
        progress: called with the number of batches that are done, and of all.

    Raises:
        ValueError: another split or test, a folder that `load_rationalizer` refuses, or a model that has no such explanation.
        FileExistsError: the run has an evaluation of this name with other settings.
    """
    if split not in SPLITS:
        raise ValueError(f"'split' must be one of {', '.join(SPLITS)}; got {split!r}")
    if unknown := set(tests) - set(TESTS):
        raise ValueError(f"'tests' must be of {', '.join(TESTS)}; got {', '.join(sorted(unknown))}")
    if (attribution is None) != (explained_by == OWN):
        raise ValueError(
            f"'explained_by' names an attribution, and is {OWN!r} without one; got {explained_by!r} and attribution={attribution}"
        )
    store = Store(Path(folder), name or f"{split}-{explained_by}-{absence}")
    trained = load_rationalizer(folder, trust=trust, device=device)
    settings = {
        "split": split,
        "explained_by": explained_by,
        "attribution": None if attribution is None else dict(attribution),
        "absence": absence,
        "fractions": list(fractions),
        "tests": sorted(tests),
        "seed": seed,
        "resamples": resamples,
    }
    finished = store.open(settings)
    if finished is not None:
        log.info("%s is evaluated already: %s", folder, store.file)
        return finished
    data = _data(json.dumps(trained.config["data"]), trust=tuple(trust))
    with trusting(trust):
        explain = None if attribution is None else build(attribution, Attribution)
    batches = list(data.batches(split))
    examined = []
    for number, batch in enumerate(batches):
        part = store.read(number)
        if part is None:
            part = examine(
                trained.model,
                data.featurizer,
                batch.to(device),
                explain=explain,
                absence=absence,
                fractions=fractions,
                tests=tests,
                seed=seed,
            )
            store.write(number, part)
        examined.append(part)
        log.debug("%s: batch %d of %d of %s", folder, number + 1, len(batches), split)
        if progress is not None:
            progress(number + 1, len(batches))
    trained.model.to("cpu")
    pairs = list(zip(batches, examined, strict=True))
    found, notes = _columns(trained, pairs, fractions=tuple(fractions), signal="signal" in tests, seed=seed)
    numbers = _scores(trained, pairs, soft=explain is None) | {key: _value(*each) for key, each in found.items()}
    intervals = {}
    for key, (a, b) in found.items():
        if not any(part in key for part in WITHOUT_INTERVAL):
            each = estimate(a.numpy(), b.numpy(), resamples=resamples, seed=seed)
            intervals[key] = (each.low, each.high)
    evaluation = Evaluation(store.name, settings, numbers, intervals, _curve(numbers, fractions), tuple(notes))
    records = _records(trained, data, pairs)
    rows = tensor_rows(found, [record["id"] for record in records])
    # In the order of the split, as the run has its own.
    order = torch.cat([batch.index for batch in batches]).argsort(stable=True).tolist()
    records, rows = ([each[place] for place in order] for each in (records, rows))
    if isinstance(trained.model.task, Classification) and "edges" not in records[0]:
        parts = [part for _, examined in pairs for part in _parts(examined, trained.model.task.names, fractions)]
        exported = export_predictions(records, annotations_of(trained.config, split))
        write_predictions(store.predictions, [replace(each, **parts[place]) for each, place in zip(exported, order, strict=True)])
    store.close(evaluation, rows=rows, records=records)
    store.publish(evaluation)
    return evaluation


@lru_cache(maxsize=1)
def _data(described: str, *, trust: tuple[str, ...]) -> RationaleData:
    """The data that a run describes; kept, since one run is often evaluated several times in a row."""
    with trusting(trust):
        data = build(json.loads(described), RationaleData)
        data.setup("test")
    return data


def _records(trained: Trained, data: RationaleData, pairs: Sequence[tuple[Batch, Examined]]) -> list[dict[str, Any]]:
    """Every example explained."""
    outputs = [(batch, Output(part.tensors["logits"], part.rationale(batch))) for batch, part in pairs]
    return [each.record() for batch, output in outputs for each in data.featurizer.explain(batch, output, trained.model.task)]


def _parts(examined: Examined, labels: Sequence[str], fractions: Sequence[float]) -> list[dict[str, Any]]:
    """Of each example, the probabilities on its parts as an ERASER file has them."""

    def named(name: str) -> list[dict[str, float]]:
        return [dict(zip(labels, row, strict=True)) for row in examined.tensors[name].double().flatten(0, -2).tolist()]

    whole, without, alone, without_at, alone_at = (
        named(name) for name in ("whole", "without", "alone", "without_at", "alone_at")
    )
    count = len(whole)
    found: list[dict[str, Any]] = []
    for place in range(count):
        at = [
            Ablated(fraction, without_at[row * count + place], alone_at[row * count + place])
            for row, fraction in sorted(enumerate(fractions), key=lambda each: each[1])
        ]
        # ERASER takes the probability of the predicted class from these, and a rationalizer's own are of its rationale alone.
        parts = {"probabilities": whole[place], "without": without[place], "alone": alone[place]}
        found.append({**parts, "thresholded": tuple(at) or None})
    return found


def _columns(
    trained: Trained, pairs: Sequence[tuple[Batch, Examined]], *, fractions: tuple[float, ...], signal: bool, seed: int
) -> tuple[Columns, list[str]]:
    """The columns of all examples, and notes on what is missing."""
    model = trained.model
    with torch.no_grad():
        parts = [columns(model, batch, part, fractions=fractions) for batch, part in pairs]
    count = [batch.ptr.numel() - 1 for batch, _ in pairs]
    found: Columns = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        missing = [(torch.zeros(size, dtype=torch.float64),) * 2 for size in count]
        each = [part.get(name, nothing) for part, nothing in zip(parts, missing, strict=True)]
        found[name] = (torch.cat([a for a, _ in each]), torch.cat([b for _, b in each]))
    notes: list[str] = []
    if signal:
        signals, notes = _signal(trained, pairs, seed=seed)
        found |= {name: mean(values) for name, values in signals.items()}
    return found, notes


def _signal(trained: Trained, pairs: Sequence[tuple[Batch, Examined]], *, seed: int) -> tuple[dict[str, Tensor], list[str]]:
    """Whether what the model said, and what is true, can be read from masks alone."""
    task = trained.model.task
    each = [mask_looks(part.rationale(batch), batch) for batch, part in pairs]
    common = set.intersection(*(set(looks) for looks in each))
    looks = {name: torch.cat([one[name] for one in each]) for name in each[0] if name in common}
    said = torch.cat([task.predict(part.tensors["logits"]) for _, part in pairs])
    asked = {"mask_signal": answers(said, task=task)}
    if all(batch.y is not None for batch, _ in pairs):
        asked["label_signal"] = answers(torch.cat([batch.y for batch, _ in pairs]), task=task)
    found: dict[str, Tensor] = {}
    notes = []
    for name, label in asked.items():
        if probeable(label[label >= 0]):
            found |= mask_signal(looks, label, seed=seed, name=name)
        else:
            notes.append(f"{name} is unknown: a probe needs two answers with five examples each; here one answer stands for all.")
    return found, notes


def _scores(trained: Trained, pairs: Sequence[tuple[Batch, Examined]], *, soft: bool) -> dict[str, float]:
    """The numbers that a run tells of its test split, floors and predictions on other inputs included."""
    model = trained.model
    soft, alone = soft and model.soft is not None, model.sees_rest is not None
    scores = Scores(model.task, floors=True, unit=model.unit, soft=soft, whole=True, alone=alone)
    for batch, part in pairs:
        views = {"whole": part.tensors["whole"], "alone": part.tensors.get("rationale")}
        scores.update(part.tensors["logits"], part.rationale(batch), batch, **views)
    return scores.compute()


def _value(a: Tensor, b: Tensor) -> float:
    whole = float(b.sum())
    return float(a.sum()) / whole if whole else float("nan")


def _curve(numbers: Mapping[str, float], fractions: Sequence[float]) -> dict[str, list[float]]:
    """Faithfulness over sizes, and that of random units."""
    names = [f"{floor}{name}" for floor in ("", "floor/random/") for name in ("comprehensiveness", "sufficiency")]
    return {"fractions": list(fractions)} | {name: [numbers[f"{name}@{fraction:g}"] for fraction in fractions] for name in names}
