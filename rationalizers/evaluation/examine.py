"""What is asked of a model about one batch: all of it goes through `forward` and the forced mask, none of it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rationalizers.audit import leak, shift, stability
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.featurizer import Featurizer
from rationalizers.fidelity import removal
from rationalizers.metrics.floors import floors
from rationalizers.rationale import Rationale

# Tests that can be left out.
TESTS = ("leakage", "shift", "stability", "signal")
Explainer = Callable[[Rationalizer, Batch], Rationale]


@dataclass(frozen=True)
class Examined:
    """Answers about one batch.

    Args:
        tensors: ``logits``, ``scores`` and ``mask``; predictions ``whole``, ``without``, ``alone``, ``without_at`` and
            ``alone_at`` (see `rationalizers.fidelity.Removal`), the last four also as ``floor/random/…``; ``rationale``,
            predictions from the model's own rationale under its own absence, where the deployed ones are made from more; and
            ``test/<number>`` ``[B]`` of each test.
        level: of the rationale.
    """

    tensors: Mapping[str, Tensor]
    level: str

    def rationale(self, batch: Batch) -> Rationale:
        """The rationale of the batch that this is about."""
        return Rationale(self.tensors["scores"], self.tensors["mask"], batch.ptr, level=self.level)


@torch.no_grad()
def examine(
    model: Rationalizer,
    featurizer: Featurizer,
    batch: Batch,
    *,
    explain: Explainer | None,
    absence: str,
    fractions: Sequence[float],
    tests: Sequence[str],
    seed: int,
) -> Examined:
    """Ask everything about a batch.

    Args:
        model: in evaluation mode.
        featurizer: that the batch comes from.
        batch: the examples.
        explain: gives the rationale; ``None`` is the model's own.
        absence: what absent means to faithfulness.
        fractions: sizes of faithfulness.
        tests: which of `TESTS`.
        seed: of replacements.

    Raises:
        ValueError: the model is in training mode, or cannot answer under this absence.
    """
    output = model(batch)
    rationale = (output.rationale if explain is None else explain(model, batch)).detach()
    found = removal(model, batch, rationale, fractions=fractions, absence=absence)
    tensors = {"logits": output.logits, "scores": rationale.scores, "mask": rationale.mask, **vars(found)}
    random = removal(model, batch, floors(rationale, batch)["random"], fractions=fractions, absence=absence)
    tensors |= {f"floor/random/{name}": value for name, value in vars(random).items() if name != "whole"}
    if model.sees_rest is not None:
        tensors["rationale"] = model.task.predict(model.logits(batch, output.rationale.mask))
    if "leakage" in tests and batch.ptr.numel() > 2:
        tensors["test/leakage"] = leak(model, batch, rationale, seed=seed)
    if "shift" in tests and batch.y is not None:
        right = shift(model, batch, rationale)
        tensors |= {f"test/right_on_{name}": value for name, value in right.items()}
        tensors["test/full_text_gap"] = right["all"] - right["own"]
    if "stability" in tests:
        tensors |= {f"test/{name}": value for name, value in stability(model, featurizer, batch, explain=explain).items()}
    return Examined({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, rationale.level)
