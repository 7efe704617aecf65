"""Rankings of the tokens of a source and of a translation, each from one look at everything; see `language.ranking`.

====================== ==========================================================================
gradient_norm          ‖∂f/∂e_i‖₂
gradient_x_input       ⟨∂f/∂e_i, e_i⟩
integrated_gradients   ⟨mean_α ∂f/∂(α·e_i), e_i⟩, α = 0, .02, …, 1, both sides together
last_attention         last row of the last layer, mean over heads: of the source, and of the translation
all_attentions         last row, mean over layers and heads
====================== ==========================================================================

f = log p(goal | source, translation so far), e what stands in the embedding table. Deviation: the authors' code multiplies
integrated gradients with scaled embeddings and their positions, which its path does not lead along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rationalizers.language.pair import PairModel, check_pair_texts
from rationalizers.language.ranking import along, eager
from rationalizers.language.sequence_rationale import TokenRationale

POINTS = 51


def rank_pair(model: PairModel, source: Tensor, tokens: Tensor, target: int, name: str) -> Tensor:
    """The score of every token of the source and before a target, larger is more important, ``[s + target]``.

    Args:
        model: the language model.
        source: token numbers ``[s]``.
        tokens: those of the translation, with the token that starts it ``[n]``.
        target: place of the token to explain.
        name: one of `PAIR_RANKINGS`.

    Raises:
        ValueError: another name, or see `rationalizers.language.pair.check_pair_texts`.
    """
    if name not in PAIR_RANKINGS:
        raise ValueError(f"expected one of the rankings {', '.join(PAIR_RANKINGS)}; got {name!r}")
    check_pair_texts(model, source, tokens, [target])
    tokens = tokens.to(model.device)
    return PAIR_RANKINGS[name](model, source.to(model.device), tokens[:target], int(tokens[target]))


def in_order_pair(
    model: PairModel, source: Tensor, tokens: Tensor, target: int, scores: Tensor, *, max_size: int | None = None
) -> TokenRationale:
    """The rationale that grows along a ranking: the last token before the target first, then by score, until it is enough.

    Args:
        model: the language model.
        source: token numbers ``[s]``.
        tokens: those of the translation ``[n]``.
        target: place of the token to explain.
        scores: of the source and of the tokens before the target ``[s + target]``.
        max_size: tokens at most; ``None`` is all.

    Raises:
        ValueError: not one score for each, one that is not a number, or see `rationalizers.language.pair.check_pair_texts`.
    """
    check_pair_texts(model, source, tokens, [target])
    source, tokens = source.to(model.device), tokens.to(model.device)
    s, goal = source.shape[0], int(tokens[target])
    if scores.shape != (s + target,) or bool(scores.isnan().any()):
        raise ValueError(f"'scores' must be numbers [{s + target}], of the source and what is before the target")

    def ask(order: Sequence[int], sizes: Sequence[int]) -> Tensor:
        kept = torch.zeros(len(sizes), s + target, dtype=torch.bool, device=source.device)
        for row, size in enumerate(sizes):
            kept[row, order[:size]] = True
        return model.masked(source, tokens[:target], kept)

    return TokenRationale(target, goal, *along(scores, goal, ask, max_size=max_size), source=s)


def _gradients(model: PairModel, source: Tensor, tokens: Tensor, goal: int, factors: Tensor) -> tuple[Tensor, Tensor]:
    """∂f/∂e at embeddings times each of some factors ``[F, s + n, D]``, and the embeddings ``[s + n, D]``."""
    scaled: list[Tensor] = []
    plain: list[Tensor] = []

    def scale(module: torch.nn.Module, given: object, e: Tensor) -> Tensor:
        plain.append(e.detach()[0])
        scaled.append((factors[:, None, None] * e.detach()).requires_grad_())
        return scaled[-1]

    rows = factors.shape[0]
    tables = {side.get_input_embeddings() for side in (model.model.get_encoder(), model.model.get_decoder())}
    hooks = [table.register_forward_hook(scale) for table in tables]
    try:
        with torch.enable_grad():
            encoded = model.model.get_encoder()(input_ids=source.expand(rows, -1), return_dict=True)
            logits = model.model(encoder_outputs=encoded, decoder_input_ids=tokens.expand(rows, -1), use_cache=False).logits
            gradients = torch.autograd.grad(logits[:, -1].log_softmax(-1)[:, goal].sum(), scaled)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(gradients, 1), torch.cat(plain)


def _gradient_norm(model: PairModel, source: Tensor, tokens: Tensor, goal: int) -> Tensor:
    gradient, _ = _gradients(model, source, tokens, goal, torch.ones(1, device=source.device, dtype=model.model.dtype))
    norm: Tensor = torch.linalg.vector_norm(gradient[0], dim=-1)
    return norm


def _gradient_x_input(model: PairModel, source: Tensor, tokens: Tensor, goal: int) -> Tensor:
    gradient, e = _gradients(model, source, tokens, goal, torch.ones(1, device=source.device, dtype=model.model.dtype))
    return (gradient[0] * e).sum(-1)


def _integrated_gradients(model: PairModel, source: Tensor, tokens: Tensor, goal: int) -> Tensor:
    points = torch.linspace(0, 1, POINTS, dtype=model.model.dtype, device=source.device)
    gradient, e = _gradients(model, source, tokens, goal, points)
    return (gradient.mean(0) * e).sum(-1)


@torch.inference_mode()
def _attentions(model: PairModel, source: Tensor, tokens: Tensor) -> Tensor:
    """Last row of every layer, mean over heads ``[L, s + n]``."""
    with eager(model.model):
        output = model.model(input_ids=source[None], decoder_input_ids=tokens[None], use_cache=False, output_attentions=True)
    layers = zip(output.cross_attentions, output.decoder_attentions, strict=True)
    return torch.stack([torch.cat([each[0, :, -1].mean(0) for each in layer]) for layer in layers])


def _last_attention(model: PairModel, source: Tensor, tokens: Tensor, goal: int) -> Tensor:
    return _attentions(model, source, tokens)[-1]


def _all_attentions(model: PairModel, source: Tensor, tokens: Tensor, goal: int) -> Tensor:
    return _attentions(model, source, tokens).mean(0)


PAIR_RANKINGS: dict[str, Callable[[PairModel, Tensor, Tensor, int], Tensor]] = {
    "gradient_norm": _gradient_norm,
    "gradient_x_input": _gradient_x_input,
    "integrated_gradients": _integrated_gradients,
    "last_attention": _last_attention,
    "all_attentions": _all_attentions,
}
