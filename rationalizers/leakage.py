"""Leakage: how much a prediction under a forced mask depends on units that the mask leaves out.

A rationale that a prediction was made from can only be believed if what was left out could not have changed the prediction. Some
architectures let it: their states have seen everything before a mask is applied. They declare that (`Rationalizer.leaks`), and
this measures it: the units that were not selected are replaced by units of other examples, and the mask stays.

    leakage = mean_b ½ Σ_c | p_c(x_b, m_b) − p_c(x′_b, m_b) |,   x′ = x where m = 1, drawn from the data elsewhere

with m the selection (mask above one half). Yes-or-no answers and numbers: the mean absolute change over targets.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.task import Classification


@torch.no_grad()
def leakage(model: Rationalizer, batches: Iterable[Batch], *, seed: int = 0) -> float:
    """The mean over examples of what replacing their unselected units changes.

    Args:
        model: in evaluation mode.
        batches: the examples; replacements come from the units of the same batch.
        seed: of the replacements.

    Returns:
        a share of the probability in [0, 1], or a change in the data's units, averaged over targets; NaN without examples.

    Raises:
        ValueError: the model is in training mode.
    """
    if model.training:
        raise ValueError("leakage is measured in evaluation mode; call model.eval() first")
    generator = torch.Generator().manual_seed(seed)
    total, count = 0.0, 0
    for batch in batches:
        mask = model(batch).rationale.selected
        n = mask.shape[0]
        others = torch.randint(n, (n,), generator=generator).to(mask.device)
        hidden = ~mask & ~batch.fixed
        source = torch.where(hidden, others, torch.arange(n, device=mask.device))
        changed = batch.with_units(batch.units[source])
        forced = mask.to(torch.get_default_dtype())
        before, after = (model.task.predict(model.logits(seen, forced)) for seen in (batch, changed))
        moved = (before - after).abs()
        # Classes share one probability, of which half the change is counted twice.
        each = moved.sum(1) / 2 if isinstance(model.task, Classification) else moved.mean(1)
        total += float(each.sum())
        count += each.shape[0]
    return total / count if count else float("nan")
