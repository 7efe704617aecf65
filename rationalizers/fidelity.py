"""Fidelity: what a prediction loses without its rationale, and what it keeps with nothing else, by forced masks.

    fidelity₊ = mean_b d_b(x, x − r)        high: the prediction needs the rationale
    fidelity₋ = mean_b d_b(x, r)            low: the rationale is enough

with d the fall of the probability of what was predicted on the whole input (Yuan et al., 2022, Explainability in Graph Neural
Networks, https://arxiv.org/abs/2012.15445), and for numbers the absolute change, in the unit of the data. PyG's ``fidelity``
multiplies node features by the mask, which no categorical atom survives, and knows neither numbers nor single logits; here what
is absent is absent as the model has it (`rationalizers.absence`).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from rationalizers.absence import check_absence
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.rationale import Rationale
from rationalizers.task import Classification, Regression


@torch.no_grad()
def fidelity(model: Rationalizer, explained: Iterable[tuple[Batch, Rationale]], *, absence: str = "compact") -> dict[str, float]:
    """``fidelity_plus`` and ``fidelity_minus`` of rationales, their own or another's; units with mask above one half count.

    Args:
        model: in evaluation mode.
        explained: batches with their rationales.
        absence: what absent means.

    Returns:
        means over examples; NaN without any. With several targets, each counts and an example has their mean.

    Raises:
        ValueError: the model is in training mode, or ``absence`` is unknown.
    """
    check_absence(absence)
    if model.training:
        raise ValueError("fidelity is measured in evaluation mode; call model.eval() first")
    plus = minus = 0.0
    count = 0
    for batch, rationale in explained:
        kept = rationale.selected.float()
        whole, without, alone = (
            model.task.predict(model.logits(batch, mask, absence=absence)) for mask in (torch.ones_like(kept), 1 - kept, kept)
        )
        plus += float(_fall(model, whole, without).sum())
        minus += float(_fall(model, whole, alone).sum())
        count += whole.shape[0]
    examples = count or float("nan")
    return {"fidelity_plus": plus / examples, "fidelity_minus": minus / examples}


def _fall(model: Rationalizer, whole: Tensor, changed: Tensor) -> Tensor:
    """How far the prediction on the whole input falls, per example ``[B]``."""
    if isinstance(model.task, Classification):
        predicted = whole.argmax(-1, keepdim=True)
        return (whole - changed).gather(1, predicted)[:, 0]
    if isinstance(model.task, Regression):
        return (whole - changed).abs().mean(1)
    # The probability of the answer that was given, yes or no.
    return torch.where(whole > 0.5, whole - changed, changed - whole).mean(1)
