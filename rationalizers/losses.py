"""Loss terms: each reduces per example first and then over B, so none depends on batch size or company."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_sum


def sparsity(share: Tensor, *, target: float, weight: Tensor | None = None) -> Tensor:
    """Distance of the selected share to a target: mean_b w_b · | share_b − s |.

    The per-example form (Yu et al., 2021; Yue et al., 2023); several published codes compare the share of the whole batch
    instead, which depends on who is in it.

    Args:
        share: of the selectable units of each example, ``[B]``.
        target: s in [0, 1].
        weight: w of each example ``[B]``; ``None`` is one for all.
    """
    distance = (share - target).abs()
    return (distance if weight is None else distance * weight).mean()


def decisiveness(logits: Tensor) -> Tensor:
    """How far predictions are from undecided, in nats: KL(p_b ‖ uniform) = log C − H(p_b), ``[B]``; 0 where classes are equal.

    Source: Towards Faithful Explanations: Boosting Rationalization with Shortcuts Discovery (Yue et al., 2024,
    https://arxiv.org/abs/2403.07955), in the direction of the released code.

    Args:
        logits: ``[B, C]``.
    """
    log_p = logits.log_softmax(-1)
    return (log_p.exp() * log_p).sum(-1) + math.log(logits.shape[-1])


def evidence(rationale: Rationale, batch: Batch) -> Tensor:
    """Supervision by human evidence: mean_b l_b · (1/n_b) Σ_t BCE(σ(s_bt), z_bt), with l_b = 1 for labelled examples.

    The mean is over all B examples, labelled or not: an epoch's sum of gradients then does not depend on which examples met in
    a batch.

    Raises:
        ValueError: an example is labelled, but the batch carries no evidence.
    """
    if "evidence" not in batch.fields:
        if bool(batch.labelled.any()):
            raise ValueError("labelled examples need batch.fields['evidence']; this data set has none")
        return rationale.mask.new_zeros(())
    selectable = rationale.selectable
    scores = torch.where(selectable, rationale.scores, torch.zeros_like(rationale.scores))
    truth = batch.fields["evidence"].to(scores.dtype)
    loss = F.binary_cross_entropy_with_logits(scores, truth, reduction="none").masked_fill(~selectable, 0.0)  # [N]
    per_example = segment_sum(loss, rationale.ptr) / rationale.selectable_size().clamp(min=1)  # [B]
    return torch.where(batch.labelled, per_example, torch.zeros_like(per_example)).mean()


def agreement(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two predictions in nats: mean_b ½ (KL(P‖M) + KL(Q‖M)), M = (P + Q)/2.

    Args:
        first: logits of P, ``[B, C]``.
        second: logits of Q, ``[B, C]``.
    """
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return ((log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)) / 2).sum(-1).mean()
