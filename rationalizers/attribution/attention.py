"""Attention as attribution: the weights by which a model pools its states, or those by which a Transformer makes them.

Both are cheap, and neither is an explanation by itself. Attention weights can be exchanged without the prediction changing
(Attention is not Explanation, Jain, Wallace, 2019, https://arxiv.org/abs/1902.10186); whether that speaks against them depends on
what an explanation is asked for (Attention is not not Explanation, Wiegreffe, Pinter, 2019, https://arxiv.org/abs/1908.04626).
They belong in a comparison, beside something that looks at what a unit does to the prediction.

Letters: ``N`` units, ``A`` layers, ``R`` windows, ``L`` places of the longest, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rationalizers.attribution.base import Attribution
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.encoders import PretrainedEncoder
from rationalizers.methods.a2r import A2R
from rationalizers.predictors import ATTENTION, Predictor

# Kinds of attention, and what has them.
NEEDS = {
    "predictor": f"a predictor that pools by {ATTENTION}, as that of method full trained with method.model.pooling={ATTENTION}",
    "generator": "the generator of methods a2r and noise",
    "last_layer": "a predictor over a Transformer, a PretrainedEncoder (encoder=pretrained, minilm)",
}


class Attention(Attribution):
    """Attention weights, of three kinds.

    ============== ==================================================================================== =======================
    of             a_v                                                                                  exists in
    ============== ==================================================================================== =======================
    ``predictor``  α_v of the pooled state Σ_v α_v h_v that the whole input is predicted from           pooling ``attention``
    ``generator``  α_v by which the generator of A2R and Noise pools, and selects                       `a2r`, `noise`
    ``last_layer`` Σ_t π_t A_tv, what the predictor's Transformer attends to in its last layer, mean    `PretrainedEncoder`
                   over heads, from where the states are taken that are pooled (`AttentionRollout`)
    ============== ==================================================================================== =======================

    No weight says for or against what; they are those of every class. Jain, Wallace (2019, https://arxiv.org/abs/1902.10186) and
    Wiegreffe, Pinter (2019, https://arxiv.org/abs/1908.04626) tell what they explain.

    Args:
        share: as in `Attribution`.
        of: one of the three.

    Raises:
        ValueError: ``share`` or ``of`` outside these; at a call, a model that has no such attention.
    """

    def __init__(self, *, share: float, of: str = "predictor") -> None:
        super().__init__(share=share)
        if of not in NEEDS:
            raise ValueError(f"'of' must be one of {', '.join(NEEDS)}; got {of!r}")
        self.of = of

    @torch.no_grad()
    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """The weights; ``target`` plays no part."""
        _check(model, self.of)
        if self.of == "last_layer":
            return _followed(model, batch, lambda weights, row: _step(weights[-1], row))
        if self.of == "generator":
            assert isinstance(model, A2R)
            return model.attend(model.generator.states(batch), batch)
        assert isinstance(model.predictor, Predictor)
        return model.predictor.attention(batch)


class AttentionRollout(Attribution):
    """Quantifying Attention Flow in Transformers (Abnar, Zuidema, 2020, https://arxiv.org/abs/2005.00928), by its rollout.

        a = π Â_A ⋯ Â_2 Â_1,   Â_l = ½ (A_l + I)

    A_l is the attention of layer l, mean over its heads, and I the residual connection; rows of A_l sum to one, hence those of
    Â_l, which the paper normalises. The product is read as the predictor pools: from the first unit (π = 1 there), as in the
    paper, where it predicts from the ``first`` state; elsewhere from every unit t by its part π_t in the pooled state, which is
    1/n of a mean, its attention, or, of a maximum, the share of the entries that are t's
    (`rationalizers.predictors.Predictor.pooling_weights`). Attributions of an example add up to one, fixed units included.

    Long documents are read in windows (`rationalizers.encoders.windows`), and attention does not leave a window: the state of
    every unit is followed within the window that it is taken from. What reads the ``first`` state alone therefore gives weight to
    the first window only, as its prediction does; a unit that is read in several windows has what it gets in all of them.

    It needs a predictor over a `rationalizers.encoders.PretrainedEncoder`, whose attention is computed once more, in the slower
    way that shows its weights.
    """

    @torch.no_grad()
    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """From the last layer down to the first; ``target`` plays no part."""
        _check(model, "last_layer")
        return _followed(model, batch, rollout)


def rollout(weights: Tensor, row: Tensor) -> Tensor:
    """The product π Â_A ⋯ Â_1 of weights π over places ``[R, L]`` and attention ``[A, R, L, L]``: ``[R, L]``."""
    for layer in reversed(weights.unbind(0)):
        row = (_step(layer, row) + row) / 2
    return row


def _step(layer: Tensor, row: Tensor) -> Tensor:
    """What weights ``row [R, L]`` over places become over those that they attend to, by one layer ``[R, L, L]``."""
    return (row[:, None] @ layer)[:, 0]


def _followed(model: Rationalizer, batch: Batch, follow: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The weights of pooling ``[N]``, followed through the layers ``[A, R, L, L]`` of the Transformer that states come from."""
    predictor = model.predictor
    assert isinstance(predictor, Predictor)
    assert isinstance(predictor.encoder, PretrainedEncoder)
    start = predictor.pooling_weights(batch)  # [N]
    found = torch.zeros_like(start)
    for part in predictor.encoder.attention(batch):
        row = torch.where(part.source, start[part.unit], 0).to(part.weights.dtype)  # [R, L]
        found.index_add_(0, part.unit[part.here], follow(part.weights, row)[part.here].to(found.dtype))
    return found


def _check(model: Rationalizer, of: str) -> None:
    """Raise unless the model has this kind of attention."""
    predictor = getattr(model, "predictor", None)
    has = {
        "predictor": isinstance(predictor, Predictor) and predictor.pooling == ATTENTION,
        "generator": isinstance(model, A2R),
        "last_layer": isinstance(predictor, Predictor) and isinstance(predictor.encoder, PretrainedEncoder),
    }
    if not has[of]:
        others = " or ".join(name for name in has if has[name])
        raise ValueError(
            f"{type(model).__name__} has no attention of the kind {of!r}, which takes {NEEDS[of]}; this model has "
            + (f"that of Attention(of={others})" if others else "no attention of any kind, so ask for another attribution")
        )
