"""A causal language model that is asked about parts of a text.

Letters: ``R`` rows, ``n`` tokens of a row, ``g`` tokens before them whose states are known, ``V`` vocabulary, ``H`` heads, ``d``
their width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rationalizers.encoders.architectures import check_causal
from rationalizers.extras import require
from rationalizers.language.masks import bias, seeing
from rationalizers.language.opening import opened
from rationalizers.language.states import States
from rationalizers.language.vocabulary import finite


class CausalModel:
    """A decoder of Hugging Face transformers, in evaluation mode, that sees no token but those it is given, each in its place.

    Attention is always told by an explicit mask: without one, transformers takes gaps between positions for the borders of packed
    sequences, and silently reads only the last of them (https://github.com/huggingface/transformers/pull/39194).

    Args:
        model: a causal language model.

    Raises:
        ValueError: one that is not exact with tokens removed (`rationalizers.encoders.architectures`).
    """

    def __init__(self, model: Any) -> None:
        check_causal(model.config)
        self.model = model.eval()

    @classmethod
    def load(cls, name: str, *, device: str = "cpu") -> CausalModel:
        """Open one by name, folder or package; see `rationalizers.language.opening.opened`."""
        return cls(opened(name, "AutoModelForCausalLM", check_causal, device=device))

    def halved(self, dtype: torch.dtype = torch.bfloat16) -> CausalModel:
        """A copy of it in half precision."""
        return CausalModel(copy.deepcopy(self.model).to(dtype))

    @property
    def device(self) -> torch.device:
        """Where it is."""
        device: torch.device = self.model.device
        return device

    @property
    def longest(self) -> int:
        """Positions that it knows."""
        return int(self.model.config.max_position_embeddings)

    @torch.inference_mode()
    def read(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Logits of what follows each row ``[R, V]``, from its tokens alone.

        Args:
            tokens: ``[R, n]``.
            positions: their original places ``[R, n]``, increasing.
        """
        output = self.model(
            input_ids=tokens, position_ids=positions, attention_mask=self.causal(tokens.shape[1]), use_cache=False
        )
        return finite(output.logits[:, -1])

    @torch.inference_mode()
    def go_on(self, tokens: Tensor, positions: Tensor, states: States) -> tuple[Tensor, States]:
        """The same from known states of what comes before: the last states ``[R, D]``, for `predict`, and those of all layers.

        Args:
            tokens: ``[R, n]``.
            positions: their original places ``[R, n]``.
            states: of the ``g`` tokens before them; an empty list where there are none.
        """
        cache = require("transformers", extra="text").DynamicCache(states or None)
        before = states[0][0].shape[2] if states else 0
        with _of_the_last_token(self.model.base_model):
            output = self.model.base_model(
                input_ids=tokens,
                position_ids=positions,
                attention_mask=self.causal(tokens.shape[1], before=before),
                past_key_values=cache,
                use_cache=True,
            )
        return output.last_hidden_state[:, -1], [(layer.keys, layer.values) for layer in cache.layers]

    @torch.inference_mode()
    def predict(self, last: Tensor) -> Tensor:
        """Logits ``[R, V]`` from last states ``[R, D]``."""
        return finite(self.model.get_output_embeddings()(last))

    def vocabulary(self) -> tuple[Tensor, Tensor | None]:
        """Weight ``[V, D]`` and bias ``[V]`` of the vocabulary, which logits are made with."""
        head = self.model.get_output_embeddings()
        return head.weight.detach(), None if head.bias is None else head.bias.detach()

    @torch.inference_mode()
    def masked(self, tokens: Tensor, kept: Tensor, last: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Logits of what follows a token ``[R, V]``, absent tokens still there but seen by themselves alone: the oracle.

        Args:
            tokens: the text ``[n]``.
            kept: which of them each row may see ``[R, n]`` bool.
            last: place of the token of each row that the next one is predicted from ``[R]``; ``None`` is the last one.
            positions: of the tokens ``[n]``; ``None`` is all from 0 on.

        Raises:
            ValueError: this token is absent.
        """
        rows = torch.arange(len(kept), device=kept.device)
        last = torch.full_like(rows, kept.shape[1] - 1) if last is None else last
        if not bool(kept[rows, last].all()):
            raise ValueError("'kept' must hold the last token, which the next one is predicted from")
        n = kept.shape[1]
        positions = torch.arange(n, device=tokens.device) if positions is None else positions
        output = self.model.base_model(
            input_ids=tokens.expand(len(kept), n),
            position_ids=positions.expand(len(kept), n),
            attention_mask=bias(seeing(kept).tril()[:, None], self.model.dtype),
            use_cache=False,
        )
        return self.predict(output.last_hidden_state[rows, last])

    def causal(self, n: int, *, before: int = 0) -> Tensor:
        """What is added to attention ``[1, 1, n, before + n]`` so that each token sees everything before and itself."""
        seen = torch.ones(1, 1, n, before + n, dtype=torch.bool, device=self.device).tril(before)
        return bias(seen, self.model.dtype)


def check_text(model: CausalModel, tokens: Tensor, targets: Sequence[int]) -> None:
    """Raise unless a text can be asked about.

    Raises:
        ValueError: it is no row of tokens, longer than the model knows positions, or a target is not one of its tokens but the
            first.
    """
    if tokens.dim() != 1 or tokens.is_floating_point():
        raise ValueError(f"a text must be token numbers [n], got {tokens.dtype} {list(tokens.shape)}")
    if tokens.shape[0] > model.longest:
        raise ValueError(f"a text of {tokens.shape[0]} tokens is longer than the {model.longest} positions of this model; cut it")
    if wrong := [target for target in targets if not 0 < target < tokens.shape[0]]:
        raise ValueError(f"targets must be places 1 to {tokens.shape[0] - 1} of the text, got {wrong[0]}")


@contextmanager
def _of_the_last_token(decoder: Any) -> Iterator[None]:
    """The feed-forward part of the last layer for the last token alone: no one asks for the others.

    It is added to what the layer has of every token, so that the others are wrong afterwards. OPT, which puts all tokens of all
    rows in a row, has no part of that name and computes them all.
    """
    layers = getattr(decoder, "layers", None) or getattr(decoder, "h", None)
    part = getattr(layers[-1], "mlp", None) if layers is not None else None
    if part is None:
        yield
        return
    hook = part.register_forward_pre_hook(lambda module, given: (given[0][:, -1:], *given[1:]))
    try:
        yield
    finally:
        hook.remove()
