"""Faithfulness: how a prediction changes without its rationale and with nothing else, from the probabilities of each.

    comprehensiveness = mean_b [p_b(ŷ_b | x) − p_b(ŷ_b | x − r)]    high: the prediction needs the rationale
    sufficiency       = mean_b [p_b(ŷ_b | x) − p_b(ŷ_b | r)]        low: the rationale is enough

and the same with the fall of the entropy, the divergence from the whole input, or the mean over several sizes of the rationale in
place of the difference, as ERASER's script computes them (DeYoung et al., 2020, https://arxiv.org/abs/1911.03429).
`rationalizers.fidelity` gets such numbers from a model; here the probabilities are given, whoever computed them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

# What is told of each of the two sides.
SIDES = ("comprehensiveness", "sufficiency")


def fall(whole: Tensor, changed: Tensor, predicted: Tensor) -> Tensor:
    """How far the probability of what was predicted falls: p(ŷ | x) − p(ŷ | changed), in [−1, 1].

    Args:
        whole: probabilities on the whole input ``[B, C]``.
        changed: on a part of it ``[..., B, C]``.
        predicted: ŷ ``[B]`` int64.

    Returns:
        ``[..., B]`` in double precision.
    """
    index = predicted[:, None].expand(*changed.shape[:-1], 1)
    return (whole.double() - changed.double()).gather(-1, index)[..., 0]


def entropy_fall(whole: Tensor, changed: Tensor) -> Tensor:
    """H(p(x)) − H(p(changed)), in nats: ``[B, C], [..., B, C] → [..., B]``; rows are brought to a sum of one."""
    return _entropy(whole) - _entropy(changed)


def divergence(whole: Tensor, changed: Tensor) -> Tensor:
    """KL(p(changed) ‖ p(x)) = Σ_c p_c(changed) log (p_c(changed) / p_c(x)), in nats: ``[B, C], [..., B, C] → [..., B]``.

    Rows are brought to a sum of one. +∞ where a class that the whole input excludes has become possible.
    """
    p, q = _distribution(changed), _distribution(whole)
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def aopc(points: Tensor) -> Tensor:
    """Area over the perturbation curve: the mean over sizes, ``[F, B] → [B]``.

    As ERASER's script has it. The formula in the paper counts the empty rationale as one size more, with a fall of zero, and is
    F / (F + 1) of this.
    """
    return points.double().mean(0)


def flip_fraction(flips: Tensor, lengths: Tensor) -> Tensor:
    """Share of the tokens of each document that had to go until the prediction changed: ``[B], [B] → [B]``, in [0, 1].

    Args:
        flips: how many tokens, from 0 to all of them.
        lengths: tokens of the document, or of all documents of the example.

    Raises:
        ValueError: an empty document, or a count outside of it.
    """
    if not bool(((lengths > 0) & (flips >= 0) & (flips <= lengths)).all()):
        raise ValueError(
            "'flips' must be counts from 0 to the length of the document, which has at least one token; got "
            f"{flips.tolist()} of {lengths.tolist()}"
        )
    return flips.double() / lengths.double()


class Faithfulness(Metric):
    """Means over examples of comprehensiveness and sufficiency in all their forms, from probabilities.

    Args:
        thresholds: the sizes of rationales that ``without_at`` and ``alone_at`` come in, as shares of the units; ``None`` where
            they do not come.
    """

    full_state_update = False
    higher_is_better = None
    totals: Tensor
    points: Tensor
    examples: Tensor

    def __init__(self, thresholds: Sequence[float] | None = None) -> None:
        super().__init__()
        self.thresholds = tuple(thresholds or ())
        self.add_state("totals", torch.zeros(2, 3, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("points", torch.zeros(2, len(self.thresholds), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("examples", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self,
        whole: Tensor,
        without: Tensor,
        alone: Tensor,
        *,
        without_at: Tensor | None = None,
        alone_at: Tensor | None = None,
        predicted: Tensor | None = None,
    ) -> None:
        """Add examples.

        Args:
            whole: probabilities on the whole input ``[B, C]``.
            without: on what is left without the rationale ``[B, C]``.
            alone: on the rationale alone ``[B, C]``.
            without_at: like ``without``, for rationales of each of the sizes ``[F, B, C]``.
            alone_at: like ``alone``, likewise.
            predicted: ŷ ``[B]`` int64; ``None`` is the most probable class on the whole input.

        Raises:
            ValueError: shapes that do not fit each other or the thresholds.
        """
        for name, given in (("without", without), ("alone", alone)):
            if whole.dim() != 2 or given.shape != whole.shape:
                raise ValueError(f"'whole' and {name!r} must both be [B, C], got {tuple(whole.shape)} and {tuple(given.shape)}")
        sizes = (len(self.thresholds), *whole.shape)
        for name, several in (("without_at", without_at), ("alone_at", alone_at)):
            shape = None if several is None else tuple(several.shape)
            if shape != (sizes if self.thresholds else None):
                expected = f"[F, B, C] = {list(sizes)}" if self.thresholds else "None without 'thresholds'"
                raise ValueError(f"{name!r} must be {expected}, got {shape}")
        likely = whole.argmax(-1) if predicted is None else predicted
        if likely.shape != whole.shape[:1] or not bool(((likely >= 0) & (likely < whole.shape[1])).all()):
            raise ValueError(f"'predicted' must be [B={whole.shape[0]}] classes below {whole.shape[1]}, got {likely.tolist()}")
        both = torch.stack([without, alone])  # [2, B, C]
        forms = torch.stack([fall(whole, both, likely), entropy_fall(whole, both), divergence(whole, both)], dim=-1)  # [2, B, 3]
        self.totals = self.totals + forms.sum(1)
        self.examples = self.examples + whole.shape[0]
        if without_at is not None and alone_at is not None:
            self.points = self.points + fall(whole, torch.stack([without_at, alone_at]), likely).sum(2)

    def compute(self) -> dict[str, Tensor]:
        """``comprehensiveness`` and ``sufficiency``, each also with ``_entropy``, ``_kl``, and by thresholds ``_aopc``, ``@<f>``.

        NaN without examples.
        """
        found: dict[str, Tensor] = {}
        for side, totals, points in zip(SIDES, self.totals / self.examples, self.points / self.examples, strict=True):
            found |= dict(zip((side, f"{side}_entropy", f"{side}_kl"), totals, strict=True))
            if self.thresholds:
                found[f"{side}_aopc"] = aopc(points[:, None])[0]
                found |= {f"{side}@{threshold:g}": point for threshold, point in zip(self.thresholds, points, strict=True)}
        return found


def _distribution(p: Tensor) -> Tensor:
    """Probabilities with a sum of one, in double precision."""
    return p.double() / p.double().sum(-1, keepdim=True)


def _entropy(p: Tensor) -> Tensor:
    q = _distribution(p)
    return -torch.xlogy(q, q).sum(-1)
