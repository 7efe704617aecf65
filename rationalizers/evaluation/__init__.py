"""Score finished runs again: the trained model of a run folder on a split of the data that the run describes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rationalizers.attribution import Attribution
from rationalizers.batch import Batch
from rationalizers.build import build, trusting
from rationalizers.data.module import RationaleData
from rationalizers.fidelity import aopc, fidelity
from rationalizers.leakage import leakage
from rationalizers.load import load_rationalizer
from rationalizers.metrics.scores import Scores
from rationalizers.rationale import Rationale

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")


@torch.no_grad()
def evaluate(
    folder: str | Path,
    *,
    split: str = "test",
    attribution: Mapping[str, Any] | None = None,
    fidelity_by: str | None = None,
    trust: Sequence[str] = (),
    device: str = "cpu",
) -> dict[str, float]:
    """Every number of a split by name, floors included, and the leakage of methods that leak.

    Args:
        folder: a finished run, on text or on graphs.
        split: ``train``, ``val`` or ``test``.
        attribution: description of an `Attribution` that takes the place of the model's own rationale; leakage is then not told.
        fidelity_by: what absent means to fidelity, of the selection and over sizes (`rationalizers.fidelity`); ``None`` leaves
            both out.
        trust: packages whose classes the run may use beyond this project's own.
        device: where the model goes.

    Raises:
        ValueError: another split, or a folder that `load_rationalizer` refuses.
    """
    if split not in SPLITS:
        raise ValueError(f"'split' must be one of {', '.join(SPLITS)}; got {split!r}")
    trained = load_rationalizer(folder, trust=trust, device=device)
    with trusting(trust):
        data = build(trained.config["data"], RationaleData)
        data.setup("test")
        explain = None if attribution is None else build(attribution, Attribution)
    model = trained.model
    scores = Scores(model.task, floors=True, unit=model.unit, soft=explain is None and model.soft is not None).to(device)
    explained: list[tuple[Batch, Rationale]] = []
    for number, batch in enumerate(data.batches(split)):
        moved = batch.to(device)
        output = model(moved)
        rationale = output.rationale if explain is None else explain(model, moved)
        scores.update(output.logits, rationale, moved)
        explained.append((moved, rationale))
        log.debug("%s: batch %d of %s", folder, number + 1, split)
    numbers = scores.compute()
    if model.leaks is not None and explain is None:
        numbers["leakage"] = leakage(model, (batch for batch, _ in explained))
    if fidelity_by is not None:
        numbers |= fidelity(model, explained, absence=fidelity_by) | aopc(model, explained, absence=fidelity_by)
    return numbers
