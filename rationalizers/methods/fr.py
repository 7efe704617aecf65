"""FR: Folded Rationalization with a Unified Encoder (Liu et al., 2022, https://arxiv.org/abs/2209.08285).

RNP whose generator and predictor are two heads on one encoder, so that the predictor cannot fall behind a generator that has
degenerated: both learn from the same states of the whole input,

    min  CE(q(E(m ⊙ x)), y) + λ₁ · mean_b |share_b − s| + λ₂ · mean_b transitions_b,   m ~ g(E(x))

Deviations from the paper and its code: the share is compared per example instead of over the batch, and nothing is drawn in
evaluation. The paper's encoder, a recurrent network with layer normalization, is ``encoder=gru`` with
``encoder.model.norm=true``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rationalizers.encoders import Encoder
from rationalizers.methods.rnp import RNP


class FR(RNP):
    """RNP with one encoder.

    Args:
        arguments: of `RNP`.
    """

    def reader(self, encoder: Mapping[str, Any]) -> Encoder:
        """The generator's encoder."""
        return self.generator
