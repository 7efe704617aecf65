"""SSR: Boosting Rationalization with Shortcuts Discovery (Yue et al., 2024, https://arxiv.org/abs/2403.07955).

A few examples have human evidence. What an unsupervised rationalizer selects of them, and people did not, are their potential
shortcuts s (`rationalizers.discovery`). One model, FR, then learns in turn from labelled examples, whose whole text it reads,

    min  CE(q(E(x)), y) + evidence(g(E(x)), z) + w · shortcuts

and from all others like any rationalizer,

    min  CE(q(E(m ⊙ x)), y) + λ₁ · |share − s| + λ₂ · transitions,   m ~ g(E(x)).

The two strategies differ in what is added (p(·) = softmax(q(·)), U uniform over classes):

    SSR_unif   labelled: KL(p(E(x[s])) ‖ U)                         shortcuts alone shall say nothing
    SSR_virt   labelled: ‖V(x[s]) − V(x)‖² / D  and  CE(q(V(x[s])), y)   an imitator V learns to see shortcuts in any text
               others:   KL(p(V(x)) ‖ U), only q learns             what it sees there shall say nothing

x[s] are the shortcut units and the fixed ones in their original places. An example without shortcuts contributes zero; without
any the model is its parent. Every term is a mean over the examples of the batch, zero for those that it is not about.

Deviations from the released code, each for a reason: it sums divergences over a batch, and takes an example without shortcuts
for one that is nothing but shortcuts (both on request, ``legacy``); its imitator cannot run, so that the mean squared difference
of the paper's text stands here; scores are trained on selectable units alone, without padding and special tokens; and the frozen
imitator reads without dropout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rationalizers import losses
from rationalizers.base import Output, Phase
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.methods.fr import FR
from rationalizers.predictors import Reader
from rationalizers.segment import members, offsets, segment_sum
from rationalizers.task import Classification


class SSR(FR):
    """What both strategies share: labelled examples are read whole, and their shortcuts are known.

    Args:
        task: description of a `rationalizers.task.Classification`.
        encoder: description of the one `Encoder` of selector and predictor, and of the imitator's.
        selector: description of a `Selector`; the paper's is soft.
        weights: of the terms of `RNP` and of the strategy.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        share: target s of the selected share, in (0, 1].
        dropout: on the predictor's pooled state.
        pooling: of the predictor, and of the imitator.
        absence: ``mask_token`` or ``zero``.
        labelled_reads: as of `RNP`.
        legacy: defects of the released code to reproduce, of those in ``LEGACY``: ``summed_divergence`` (over the batch) and
            ``empty_shortcuts`` (an example without shortcuts counts as one of nothing else).

    Raises:
        ValueError: an argument outside these, or a task that is no classification.
    """

    LEGACY: ClassVar[tuple[str, ...]] = ("summed_divergence", "empty_shortcuts")

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        selector: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        share: float,
        dropout: float = 0.2,
        pooling: str = "max",
        absence: str = "mask_token",
        labelled_reads: str = "text",
        legacy: Sequence[str] = (),
    ) -> None:
        super().__init__(
            task=task,
            encoder=encoder,
            selector=selector,
            weights=weights,
            optimizer=optimizer,
            share=share,
            dropout=dropout,
            pooling=pooling,
            absence=absence,
            labelled_reads=labelled_reads,
        )
        if not isinstance(self.task, Classification):
            raise ValueError(f"'task' of SSR must be a Classification, whose uniform prediction says nothing; got {task}")
        if unknown := set(legacy) - set(self.LEGACY):
            raise ValueError(f"'legacy' must be of {', '.join(self.LEGACY)}; got {', '.join(sorted(unknown))}")
        self.legacy = frozenset(legacy)
        self.extend(encoder, pooling)

    def extend(self, encoder: Mapping[str, Any], pooling: str) -> None:
        """Add the strategy's own parts, if it has any."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Refuse to train on labelled examples of which nobody knows the shortcuts.

        Raises:
            ValueError: there is no ``fields["discovered"]``.
        """
        if bool(batch.labelled.any()) and "discovered" not in batch.fields:
            raise ValueError(
                "SSR needs the shortcuts of labelled examples, batch.fields['discovered']; name the run whose model discovered "
                "them (rationalize-discover run=…, then data.module.shortcuts=…), or take a corpus that comes with them"
            )
        super().on_train_batch_start(batch, batch_idx)

    def with_shortcuts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The labelled examples that have shortcuts ``[R]``, and the units of all examples that are such ``[N]`` bool."""
        if "discovered" not in batch.fields:
            return batch.ptr.new_zeros(0), torch.zeros_like(batch.fixed)
        shortcut = batch.fields["discovered"] > 0  # [N]
        found = segment_sum(shortcut.long(), batch.ptr) > 0  # [B]
        if "empty_shortcuts" in self.legacy:
            shortcut = shortcut | _of(~found, batch)
            found = torch.ones_like(found)
        return torch.nonzero(found & batch.labelled).flatten(), shortcut | batch.fixed

    def undecided(self, logits: Tensor, batch: Batch) -> Tensor:
        """KL(p ‖ U) of some examples, summed and divided by B."""
        return losses.decisiveness(logits).sum() / (1 if "summed_divergence" in self.legacy else batch.labelled.numel())


class SSRUnif(SSR):
    """SSR_unif: predictions from shortcuts alone shall be uniform.

    Weights also name the term ``shortcut``.
    """

    def forward(self, batch: Batch) -> Output:
        """As `RNP`, with the term ``shortcut``."""
        output = super().forward(batch)
        if not output.terms:
            return output
        rows, shown = self.with_shortcuts(batch)
        term = output.logits.new_zeros(())
        if rows.numel():
            alone = _part(batch, rows, shown)
            term = self.undecided(self.logits(alone, _ones(alone)), batch)
        return replace(output, terms={**output.terms, "shortcut": term})


class SSRVirt(SSR):
    """SSR_virt: an imitator learns the shortcuts of labelled examples; predictions from what it sees elsewhere shall be uniform.

    Weights also name the terms ``imitation``, ``shortcut_task`` and ``virtual``. Every batch is of labelled examples or of
    others. The imitator learns from the former and is frozen, without gradient, with the latter.
    """

    phase_unit: ClassVar[str] = "batch"

    def extend(self, encoder: Mapping[str, Any], pooling: str) -> None:
        """Add the imitator."""
        self.imitator = Reader(build(encoder, Encoder), pooling=pooling)

    def parameter_groups(self) -> dict[str, Iterable[torch.nn.Parameter]]:
        """The imitator, and everything else."""
        own = {id(parameter) for parameter in self.imitator.parameters()}
        return {
            "model": [parameter for parameter in self.parameters() if id(parameter) not in own],
            "imitator": self.imitator.parameters(),
        }

    def phases(self) -> Sequence[Phase]:
        """That of labelled examples, and that of others."""
        return Phase(("model", "imitator"), self.weights), Phase(("model",), self.weights)

    def phase_of(self, batch: Batch) -> Phase:
        """The phase of the examples in a batch.

        Raises:
            ValueError: some are labelled and some are not.
        """
        labelled, other = self.phases()
        if bool(batch.labelled.all()):
            return labelled
        if bool(batch.labelled.any()):
            raise ValueError(
                "a batch of SSR_virt holds labelled or other examples, not both, since its imitator learns from the former only; "
                "set data.module.order=labelled_first"
            )
        return other

    def forward(self, batch: Batch) -> Output:
        """As `RNP`, with the terms ``imitation``, ``shortcut_task`` and ``virtual``."""
        output = super().forward(batch)
        if not output.terms:
            return output
        count = batch.labelled.numel()
        rows, shown = self.with_shortcuts(batch)
        zero = output.logits.new_zeros(())
        terms = {"imitation": zero, "shortcut_task": zero, "virtual": zero}
        if rows.numel():
            alone, whole = _part(batch, rows, shown), _part(batch, rows, torch.ones_like(batch.fixed))
            seen, imitated = self.imitate(alone), self.imitate(whole)  # [R, D]
            terms["imitation"] = F.mse_loss(seen, imitated, reduction="none").mean(1).sum() / count
            each, _ = self.task.entries(self.predictor.decide(seen), alone.y)
            terms["shortcut_task"] = each.sum() / count
        others = torch.nonzero(~batch.labelled).flatten()
        if others.numel():
            with _frozen(self.imitator):
                virtual = self.imitate(_part(batch, others, torch.ones_like(batch.fixed)))
            terms["virtual"] = self.undecided(self.predictor.decide(virtual), batch)
        return replace(output, terms={**output.terms, **terms})

    def imitate(self, batch: Batch) -> Tensor:
        """What the imitator sees in each example, ``[B, D]``."""
        return self.imitator.pooled(batch, _ones(batch), absence=self.absence)


def _part(batch: Batch, rows: Tensor, shown: Tensor) -> Batch:
    """Some examples, ``rows [R]``, each with only its units where ``shown [N]`` is true, in their original places."""
    place, unit = members(rows, batch.ptr)
    kept = shown[unit]
    size = torch.bincount(place[kept], minlength=rows.numel())
    return batch.gather(unit[kept], offsets(size), positions="kept", rows=rows)


def _of(rows: Tensor, batch: Batch) -> Tensor:
    """All units of the examples where ``rows [B]`` is true, ``[N]`` bool."""
    _, unit = members(torch.nonzero(rows).flatten(), batch.ptr)
    return torch.zeros_like(batch.fixed).index_fill(0, unit, True)


def _ones(batch: Batch) -> Tensor:
    """Everything visible, ``[N]``."""
    return torch.ones(batch.position.shape[0], device=batch.ptr.device)


@contextmanager
def _frozen(module: torch.nn.Module) -> Iterator[None]:
    """Without gradient and without dropout."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)
