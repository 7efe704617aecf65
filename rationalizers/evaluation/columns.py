"""What each example contributes to each number: a numerator and a denominator, so that every number can be resampled.

A number is Σ_i a_i / Σ_i b_i over examples. Means have b = 1, and 0 for examples that do not count; pooled precision has
a = hits and b = selected, pooled recall b = evidence, pooled F1 a = 2 · hits and b = selected + evidence. Faithfulness is about
the class that the deployed model predicts; how probable it is comes from the forced mask, on the whole input and on parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.evaluation.examine import Examined
from rationalizers.fidelity import fallen
from rationalizers.levels import group
from rationalizers.metrics.areas import average_precision
from rationalizers.metrics.faithfulness import divergence, entropy_fall
from rationalizers.metrics.floors import floors
from rationalizers.metrics.leakage import correctness
from rationalizers.metrics.plausibility import counted, with_evidence
from rationalizers.metrics.ranking import roc_auc
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_sum
from rationalizers.task import Classification, Regression

Columns = dict[str, tuple[Tensor, Tensor]]


def columns(model: Rationalizer, batch: Batch, examined: Examined, *, fractions: tuple[float, ...]) -> Columns:
    """Numerators and denominators ``[B]`` in float64 of every number, by name; floors are ``floor/<which>/<number>``."""
    rationale = examined.rationale(batch)
    found = _prediction(model, batch, model.task.predict(examined.tensors["logits"]))
    for view, shown in (("whole_input", "whole"), ("rationale_input", "rationale")):
        if shown in examined.tensors:
            predicted = _prediction(model, batch, examined.tensors[shown])
            found |= {f"{view}/{name}": pair for name, pair in predicted.items()}
    found["selected_share"] = mean(segment_sum(rationale.selected.double(), rationale.ptr) / _selectable(rationale))
    if "evidence" in batch.fields:
        words = None if rationale.level == "unit" else group(batch, "word")
        for name, selection in {"": rationale, **floors(rationale, batch)}.items():
            of_words = (selection, batch) if words is None else (words.gather(selection), words.batch)
            prefix = f"floor/{name}/" if name else ""
            found |= {f"{prefix}{key}": pair for key, pair in agreement(*of_words, unit=model.unit).items()}
    for prefix in ("", "floor/random/"):
        found |= _faithfulness(model, examined.tensors, prefix, fractions=fractions)
    for name, values in sorted(examined.tensors.items()):  # as they come back from a file
        if name.startswith("test/"):
            found[name.removeprefix("test/")] = mean(values)
    return found


def mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """The column of a mean over examples; NaN does not count."""
    values = values.double()
    known = ~values.isnan()  # an infinite divergence is known
    return values.masked_fill(~known, 0.0), known.double()


def agreement(rationale: Rationale, batch: Batch, *, unit: str) -> Columns:
    """Of examples whose evidence is known: precision, recall and F1 of units, F1 per example, and ranking by scores."""
    truth, known = with_evidence(rationale, batch)
    hits, selected, gold = (each * known for each in counted(rationale, truth))
    each = 2 * hits / (selected + gold).clamp(min=1)
    found = {
        f"{unit}_precision": (hits, selected),
        f"{unit}_recall": (hits, gold),
        f"{unit}_f1": (2 * hits, selected + gold),
        f"{unit}_f1_macro": mean(each.masked_fill(~known, torch.nan)),
    }
    both = known & (segment_sum((rationale.selectable & ~truth).long(), rationale.ptr) > 0)
    area = average_precision(rationale.scores, truth, rationale.ptr).double()
    found["auprc"] = mean(area.masked_fill(~both, torch.nan))
    if unit == "node":
        sets = batch.fields["alternatives"].bool() if "alternatives" in batch.fields else truth[:, None]
        # Of equally valid sets of evidence the one that the scores agree with best (`rationalizers.metrics.ranking`).
        best = roc_auc(rationale.scores, sets, rationale.ptr).nan_to_num(nan=-1.0).amax(1)
        found["node_roc_auc"] = mean(best.masked_fill(~batch.annotated | (best < 0), torch.nan))
    return found


def _prediction(model: Rationalizer, batch: Batch, predicted: Tensor) -> Columns:
    """How right predictions are, as `Task.predict` has them."""
    if batch.y is None:
        return {}
    right = correctness(predicted, batch.y, task=model.task)
    return {"mae": mean(-right)} if isinstance(model.task, Regression) else {"accuracy": mean(right)}


def _faithfulness(model: Rationalizer, tensors: Mapping[str, Tensor], prefix: str, *, fractions: tuple[float, ...]) -> Columns:
    whole, said = tensors["whole"], model.task.predict(tensors["logits"])
    found: Columns = {}
    for name, side in (("comprehensiveness", "without"), ("sufficiency", "alone")):
        changed, at = tensors[f"{prefix}{side}"], tensors[f"{prefix}{side}_at"]
        found[f"{prefix}{name}"] = mean(fallen(model.task, whole, changed, said=said))
        points = fallen(model.task, whole, at, said=said)  # [F, B]
        if fractions:
            found[f"{prefix}{name}_aopc"] = mean(points.double().mean(0))
        for fraction, each in zip(fractions, points, strict=True):
            found[f"{prefix}{name}@{fraction:g}"] = mean(each)
        if isinstance(model.task, Classification):
            found[f"{prefix}{name}_entropy"] = mean(entropy_fall(whole, changed))
            found[f"{prefix}{name}_kl"] = mean(divergence(whole, changed))
    return found


def _selectable(rationale: Rationale) -> Tensor:
    return rationale.selectable_size().double().clamp(min=1)
