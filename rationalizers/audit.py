"""What a rationalizer can hide: tests that ask a model about masks and inputs that it has not chosen.

    leak        does the prediction depend on what was left out?
    shift       is the predictor only right under masks of its own selector?
    stability   does the rationale depend on the wording?

Each gives a number for every example of a batch, so that means, intervals and paired comparisons can be made of them
(`rationalizers.metrics.leakage` has what they count). Whether the places of a mask give the label away needs no model:
`rationalizers.metrics.signal`. What each test shows, and what it cannot, is told in ``docs/leakage.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.featurizer import Featurizer
from rationalizers.levels import group
from rationalizers.metrics.floors import floors, uniform_hash
from rationalizers.metrics.leakage import correctness, expected_overlap, overlap, prediction_change, prediction_flip
from rationalizers.metrics.plausibility import with_evidence
from rationalizers.rationale import Rationale
from rationalizers.segment import owners, segment_sum

# Keeps the draws of neighbouring seeds, and those of the random floor, apart.
_STRIDE = 0x2C1B3C6D


@torch.no_grad()
def leak(model: Rationalizer, batch: Batch, rationale: Rationale, *, seed: int) -> Tensor:
    """How far each prediction moves when what was not selected is replaced by units of other examples, and the mask stays.

        ½ Σ_c | p_c(x, m) − p_c(x′, m) |,   x′ = x where m = 1, drawn from the batch elsewhere

    with m the selection (mask above one half); of yes-or-no answers and numbers, the mean absolute change over targets. A model
    whose mask hides what it leaves out has 0.

    What replaces a unit is drawn by a hash of seed, row of the example, and position, from all selectable units of the batch:
    the batch is the pool, but neither order nor place in it matters to which draws are made.

    Args:
        model: in evaluation mode.
        batch: the examples, more than one, for there is nothing else to replace with.
        rationale: of the model, or another.
        seed: of the replacements.

    Returns:
        ``[B]``.

    Raises:
        ValueError: the model is in training mode.
    """
    _check_mode(model, "leakage")
    hidden = torch.nonzero(~rationale.selected & ~batch.fixed).flatten()
    pool = torch.nonzero(~batch.fixed).flatten()
    row = batch.index[owners(batch.ptr, batch.fixed.shape[0])[hidden]]
    drawn = uniform_hash(row + (seed + 1) * _STRIDE, batch.position[hidden])
    units = batch.units.clone()
    units[hidden] = batch.units[pool[(drawn * pool.shape[0]).long()]]
    forced = rationale.selected.to(torch.get_default_dtype())
    before, after = (model.task.predict(model.logits(seen, forced)) for seen in (batch, batch.with_units(units)))
    return prediction_change(before, after, task=model.task)


def leakage(model: Rationalizer, batches: Iterable[Batch], *, seed: int = 0) -> float:
    """The mean of `leak` over all examples, under the model's own masks; NaN without examples.

    Raises:
        ValueError: the model is in training mode.
    """
    _check_mode(model, "leakage")
    total, count = 0.0, 0
    for batch in batches:
        with torch.no_grad():
            rationale = model(batch).rationale
        each = leak(model, batch, rationale, seed=seed)
        total += float(each.sum())
        count += each.shape[0]
    return total / count if count else float("nan")


@torch.no_grad()
def shift(model: Rationalizer, batch: Batch, rationale: Rationale) -> dict[str, Tensor]:
    """How right predictions are under masks that the predictor was not trained on.

    ========== ==================================================================================
    own        the rationale's mask, soft where it is
    random     as many units drawn at random (`rationalizers.metrics.floors`)
    oracle     as many, evidence first; NaN where none is known
    human      the evidence, however much there is; NaN where none is known
    all        everything; ``all − own`` is the full-text gap
    ========== ==================================================================================

    All but ``own`` are 0 or 1, of whole words or sentences where the rationale is; fixed units are visible in any case.

    Args:
        model: in evaluation mode.
        batch: with targets.
        rationale: of the model, or another.

    Returns:
        `rationalizers.metrics.leakage.correctness` ``[B]`` for each: 1 or 0 for classes, the share of right yes-or-no answers,
        −|ŷ − y| for numbers; larger is better.

    Raises:
        ValueError: the model is in training mode, or the batch has no targets.
    """
    _check_mode(model, "shift")
    if batch.y is None:
        raise ValueError("'batch' has no targets 'y', and without them no prediction is right or wrong; give a split of the data")
    floor = floors(rationale, batch)
    masks = {"own": rationale.mask, "random": floor["random"].mask, "all": torch.ones_like(rationale.mask)}
    known = torch.zeros_like(batch.annotated)
    if "oracle" in floor:
        truth, known = with_evidence(rationale, batch)
        masks |= {"oracle": floor["oracle"].mask, "human": truth}
    found = {
        name: correctness(model.task.predict(model.logits(batch, mask.to(rationale.mask.dtype))), batch.y, task=model.task)
        for name, mask in masks.items()
    }
    for name in ("oracle", "human"):
        found[name] = found.get(name, torch.zeros_like(found["own"])).masked_fill(~known, torch.nan)
    return found


@torch.no_grad()
def stability(
    model: Rationalizer,
    featurizer: Featurizer,
    batch: Batch,
    *,
    explain: Callable[[Rationalizer, Batch], Rationale] | None = None,
) -> dict[str, Tensor]:
    """What a rationale and a prediction keep when the same is said otherwise (`Featurizer.reworded`).

    Compared are words (nodes of graphs) that both versions have; a word is selected if any of its units is.

    Args:
        model: in evaluation mode.
        featurizer: that the batch comes from.
        batch: the examples.
        explain: gives the rationale, such as an `rationalizers.attribution.Attribution`; ``None`` is the model's own.

    Returns:
        for each example ``[B]``, NaN where nothing was reworded:

        ``edit_overlap``               Jaccard index of the two selections; NaN where neither selects anything
        ``floor/random/edit_overlap``  what two random selections of these sizes have (`expected_overlap`)
        ``edit_flip``                  1 where the answer became another one, else 0; NaN for numbers
        ``edit_change``                how far the prediction moved (`prediction_change`)
        ``edits``                      words substituted, or nodes that changed place; 0 where nothing was

    Raises:
        ValueError: the model is in training mode.
    """
    _check_mode(model, "stability")
    reworded = featurizer.reworded(batch)
    other = reworded.batch.to(batch.ptr.device)
    source, edits = reworded.source.to(batch.ptr.device), reworded.edits.to(batch.ptr.device)

    predictions, rationales = [], []
    for seen in (batch, other):
        output = model(seen)
        predictions.append(model.task.predict(output.logits))
        rationales.append(output.rationale if explain is None else explain(model, seen))
    before, after = (group(seen, "word") for seen in (batch, other))
    first, second = (words.gather(rationale).selected for words, rationale in zip((before, after), rationales, strict=True))

    shared, ptr = source >= 0, before.batch.ptr
    there, again = torch.zeros_like(first), torch.zeros_like(first)
    there[source[shared]] = True
    again[source[shared]] = second[shared]
    first = first & there
    sizes = (segment_sum(each.long(), ptr) for each in (first, again, there & ~before.batch.fixed))
    found = {
        "edit_overlap": overlap(first, again, ptr),
        "floor/random/edit_overlap": expected_overlap(*sizes),
        "edit_flip": prediction_flip(*predictions, task=model.task).double(),
        "edit_change": prediction_change(*predictions, task=model.task).double(),
    }
    return {name: each.masked_fill(edits == 0, torch.nan) for name, each in found.items()} | {"edits": edits.double()}


def _check_mode(model: Rationalizer, what: str) -> None:
    if model.training:
        raise ValueError(f"{what} is measured in evaluation mode; call model.eval() first")
