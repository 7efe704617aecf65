"""Why a language model said a token: the smallest part of the text that was found to be enough."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rationalizers.rationale import Rationale


@dataclass(frozen=True)
class TokenRationale:
    """The rationale of one token.

    Args:
        target: place of the token in the text; with an encoder-decoder, in the translation.
        goal: the token itself.
        order: places of the rationale in the order in which they were added; the last token before the target comes first.
        predicted: what the model says after each addition; of an exhaustive search, after the last alone.
        probability: p(goal) likewise.
        certified: whether a pass over the full length, with all other tokens masked, says the goal too; ``None`` where nobody
            looked.
        source: tokens of the source of an encoder-decoder, whose places come before those of the translation in ``order``.
    """

    target: int
    goal: int
    order: tuple[int, ...]
    predicted: tuple[int, ...]
    probability: tuple[float, ...]
    certified: bool | None = None
    source: int = 0

    @property
    def before(self) -> int:
        """Tokens that it could be made of."""
        return self.source + self.target

    @property
    def reached_argmax(self) -> bool:
        """Whether the rationale is enough: the model says the goal."""
        return self.predicted[-1] == self.goal

    def kept(self) -> Tensor:
        """Which tokens before the target are part of it ``[before]`` bool."""
        kept = torch.zeros(self.before, dtype=torch.bool)
        kept[list(self.order)] = True
        return kept

    def rationale(self) -> Rationale:
        """As every method has it: tokens before the target are the units, and those that were added first score highest."""
        scores = torch.full((self.before,), -float(self.before))
        scores[list(self.order)] = -torch.arange(len(self.order), dtype=scores.dtype)
        return Rationale(scores=scores, mask=self.kept().float(), ptr=torch.tensor([0, self.before]))
