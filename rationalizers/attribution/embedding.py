"""A prediction as a function of the embeddings it is made from, which is what gradients attribute to.

Masks act between an encoder's two verbs, ``embed`` and ``encode``. Whatever ``embed`` returns can be replaced there, in every
model that predicts through `rationalizers.base.Rationalizer.logits`: an all-ones mask under absence ``zero`` leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from rationalizers.attribution.base import everything
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.encoders import Encoder


class Embedded:
    """f(e): the explained logit of each example as a function of the embeddings of its units.

    Args:
        model: in evaluation mode.
        batch: with N units, at least one.
        target: the column of the logits that is explained, of each example ``[B]``.

    Raises:
        ValueError: the model does not embed the batch exactly once to predict from it.

    Attributes:
        inputs: the embeddings e of the batch ``[N, D]``, a leaf that gradients reach.
        baseline: the same with zeros in place of what can be selected; fixed units are never absent.
    """

    def __init__(self, model: Rationalizer, batch: Batch, target: Tensor) -> None:
        self.model, self.batch, self.target = model, batch, target
        self.encoder, e = embedded(model, batch)
        self.inputs = e.detach().requires_grad_()
        self.baseline = e.detach() * batch.fixed[:, None]

    def __call__(self, e: Tensor) -> Tensor:
        """Of embeddings ``[N, D]`` the explained logits ``[B]``."""
        return logits_from(e, self.model, self.encoder, self.batch).gather(1, self.target[:, None])[:, 0]


def logits_from(e: Tensor, model: Rationalizer, encoder: Encoder, batch: Batch) -> Tensor:
    """Logits ``[B, C]`` of the whole input, predicted from embeddings ``[N, D]`` in place of those that the encoder makes."""
    with replaced(encoder, lambda _: e):
        return model.logits(batch, everything(batch), absence="zero")


@torch.no_grad()
def embedded(model: Rationalizer, batch: Batch) -> tuple[Encoder, Tensor]:
    """The encoder that a model predicts through, and the embeddings it makes of a batch ``[N, D]``.

    Raises:
        ValueError: the model does not embed the batch exactly once to predict from it.
    """
    calls: list[tuple[Encoder, Tensor]] = []
    with ExitStack() as stack:
        inside = [0]
        for encoder in [module for module in model.modules() if isinstance(module, Encoder)]:
            stack.enter_context(replaced(encoder, _recording(encoder, calls, inside)))
        model.logits(batch, everything(batch), absence="zero")
    if len(calls) != 1:
        raise ValueError(
            f"{type(model).__name__}.logits must embed its input exactly once to be explained by its embeddings, got "
            f"{len(calls)} calls of 'embed'; explain it by perturbations, such as FeatureAblation"
        )
    return calls[0]


def _recording(encoder: Encoder, calls: list[tuple[Encoder, Tensor]], inside: list[int]) -> Callable[[Batch], Tensor]:
    """The encoder's ``embed``, which notes its calls; where it embeds through another encoder, that is no call of its own."""
    embed = encoder.embed

    def recorded(batch: Batch) -> Tensor:
        inside[0] += 1
        try:
            e = embed(batch)
        finally:
            inside[0] -= 1
        if inside[0] == 0:
            calls.append((encoder, e))
        return e

    return recorded


@contextmanager
def replaced(encoder: Encoder, embed: Callable[[Batch], Tensor]) -> Iterator[None]:
    """This one encoder embeds in another way for as long as the context lasts."""
    vars(encoder)["embed"] = embed
    try:
        yield
    finally:
        del vars(encoder)["embed"]
