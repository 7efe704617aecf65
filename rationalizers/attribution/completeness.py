"""How far attributions are from adding up to what they explain."""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.attribution.base import Attribution, everything, explained
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.segment import segment_sum


def completeness_gap(attribution: Attribution, model: Rationalizer, batch: Batch, *, absence: str) -> Tensor:
    """What is missing or too much, Σ_v a_v − (f(x) − f(x⁰)), of each example ``[B]``.

    x⁰ is the input without all that can be selected. Attributions that are complete (an axiom of Sundararajan, Taly, Yan, 2017,
    https://arxiv.org/abs/1703.01365) owe zero: integrated gradients, DeepLift, Shapley values. Of others it says how far f is
    from linear.

    Args:
        attribution: any; its scores are computed here.
        model: in evaluation mode.
        batch: with B examples.
        absence: what absent means to the attribution's baseline, ``zero`` for embeddings.
    """
    scores = attribution(model, batch).scores
    added = segment_sum(scores.masked_fill(batch.fixed, 0.0), batch.ptr)
    column = explained(model, batch)[:, None]
    ones = everything(batch)
    with torch.no_grad():
        change = model.logits(batch, ones, absence=absence) - model.logits(batch, torch.zeros_like(ones), absence=absence)
    return added - change.gather(1, column)[:, 0]
