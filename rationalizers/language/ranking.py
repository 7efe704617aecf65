"""Rationales from rankings: score every token once from the full context, then add in that order until it is enough.

What greedy search is compared with in Rationales for Sequential Predictions (Vafa et al., 2021,
https://arxiv.org/abs/2109.06387). With f = log p(goal | context) and e_i the embedding of token i,

====================== ==========================================================================
gradient_norm          ‖∂f/∂e_i‖₂
gradient_x_input       ⟨∂f/∂e_i, e_i⟩
integrated_gradients   ⟨mean_α ∂f/∂(α·e_i), e_i⟩, α = 0, .01, …, 1
attention_rollout      last row of Â_L ⋯ Â_1, Â_l = ½ mean_heads(A_l) + ½ I
last_attention         last row of the last layer, mean over heads
all_attentions         last row, mean over layers and heads
====================== ==========================================================================

Deviation: e is what stands in the embedding table; the authors' code adds GPT-2's embedding of the position, which other
architectures do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rationalizers.language.causal import CausalModel, check_text
from rationalizers.language.sequence_rationale import TokenRationale

POINTS = 101
TOGETHER = 16  # sizes that are asked about in one pass


def rank(model: CausalModel, tokens: Tensor, target: int, name: str) -> Tensor:
    """The score of every token before a target, larger is more important, ``[target]``.

    Args:
        model: the language model.
        tokens: the text ``[n]``.
        target: place of the token to explain.
        name: one of `RANKINGS`.

    Raises:
        ValueError: another name, or see `check_text`.
    """
    if name not in RANKINGS:
        raise ValueError(f"expected one of the rankings {', '.join(RANKINGS)}; got {name!r}")
    check_text(model, tokens, [target])
    tokens = tokens.to(model.device)
    return RANKINGS[name](model, tokens[:target], int(tokens[target]))


def in_order(model: CausalModel, tokens: Tensor, target: int, scores: Tensor, *, max_size: int | None = None) -> TokenRationale:
    """The rationale that grows along a ranking, whoever made it: the last token first, then by score, until it is enough.

    Args:
        model: the language model.
        tokens: the text ``[n]``.
        target: place of the token to explain.
        scores: of the tokens before it ``[target]``; of equals the first comes first.
        max_size: tokens at most; ``None`` is all.

    Raises:
        ValueError: there is not one score for each token before the target, one is not a number, or see `check_text`.
    """
    check_text(model, tokens, [target])
    if scores.shape != (target,) or bool(scores.isnan().any()):
        raise ValueError(f"'scores' must be numbers [{target}], one for each token before the target, got {scores.tolist()}")
    tokens = tokens.to(model.device)

    def ask(order: Sequence[int], sizes: Sequence[int]) -> Tensor:
        places = torch.tensor(order, device=tokens.device).sort()
        # Those that are added later are there, but not seen.
        kept = places.indices < torch.tensor(sizes, device=tokens.device)[:, None]
        return model.masked(tokens[places.values], kept, positions=places.values)

    goal = int(tokens[target])
    return TokenRationale(target, goal, *along(scores, goal, ask, max_size=max_size))


def along(
    scores: Tensor, goal: int, ask: Callable[[Sequence[int], Sequence[int]], Tensor], *, max_size: int | None
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]:
    """Add places in the order of their scores, the last place first, until the goal is said.

    Args:
        scores: of all places ``[n]``; of equals the first comes first.
        goal: what shall be said.
        ask: logits ``[R, V]`` from the first of some places, so many in each row.
        max_size: places at most; ``None`` is all.

    Returns:
        places in order of addition; what is said after each; p(goal) likewise.
    """
    last = scores.shape[0] - 1
    ranked = scores.detach().cpu().argsort(descending=True, stable=True).tolist()
    order = [last, *(place for place in ranked if place != last)][:max_size]
    predicted: list[int] = []
    probability: list[float] = []
    while goal not in predicted and len(predicted) < len(order):
        # As many as were asked about before: at most half of the answers are not needed.
        sizes = range(len(predicted) + 1, min(2 * len(predicted) + 1, len(predicted) + TOGETHER, len(order)) + 1)
        p = ask(order[: sizes[-1]], sizes).softmax(-1)
        predicted += p.argmax(-1).tolist()
        probability += p[:, goal].tolist()
    size = predicted.index(goal) + 1 if goal in predicted else len(predicted)
    return tuple(order[:size]), tuple(predicted[:size]), tuple(probability[:size])


def steepness(model: CausalModel, tokens: Tensor, targets: Sequence[int], *, max_tokens: int) -> Tensor:
    """The ranking ``gradient_norm`` of many targets at a time ``[targets, n]``, −∞ at a target and beyond.

    Args:
        model: the language model.
        tokens: the text ``[n]``.
        targets: places of the tokens to explain.
        max_tokens: that are read in one pass.
    """
    tokens, n = tokens.to(model.device), tokens.shape[0]
    e = model.model.get_input_embeddings()(tokens).detach()
    positions = torch.arange(n, device=tokens.device)
    found = []
    for some in torch.split(torch.tensor(targets, device=tokens.device), max(1, max_tokens // n)):
        with torch.enable_grad():
            rows = e.expand(len(some), -1, -1).clone().requires_grad_()
            states = model.model.base_model(
                inputs_embeds=rows,
                position_ids=positions.expand(len(some), -1),
                attention_mask=model.causal(n),
                use_cache=False,
            ).last_hidden_state
            last = states[torch.arange(len(some), device=tokens.device), some - 1]
            log_p = model.model.get_output_embeddings()(last).log_softmax(-1)
            (gradient,) = torch.autograd.grad(log_p.gather(1, tokens[some, None]).sum(), rows)
        norm = torch.linalg.vector_norm(gradient, dim=-1)
        found.append(norm.masked_fill(positions >= some[:, None], -torch.inf))
    return torch.cat(found)


def _gradients(model: CausalModel, context: Tensor, goal: int, factors: Tensor) -> tuple[Tensor, Tensor]:
    """∂f/∂e at embeddings times each of some factors ``[F, n, D]``, and the embeddings ``[n, D]``."""
    with torch.enable_grad():
        e = model.model.get_input_embeddings()(context).detach()
        # OPT and others whose embeddings are projected first do so with these, too.
        scaled = (factors[:, None, None] * e).requires_grad_()
        positions = torch.arange(context.shape[0], device=context.device)[None]
        logits = model.model(
            inputs_embeds=scaled, position_ids=positions, attention_mask=model.causal(context.shape[0]), use_cache=False
        ).logits[:, -1]
        (gradient,) = torch.autograd.grad(logits.log_softmax(-1)[:, goal].sum(), scaled)
    return gradient, e


def _gradient_norm(model: CausalModel, context: Tensor, goal: int) -> Tensor:
    gradient, _ = _gradients(model, context, goal, torch.ones(1, dtype=model.model.dtype, device=context.device))
    norm: Tensor = torch.linalg.vector_norm(gradient[0], dim=-1)
    return norm


def _gradient_x_input(model: CausalModel, context: Tensor, goal: int) -> Tensor:
    gradient, e = _gradients(model, context, goal, torch.ones(1, dtype=model.model.dtype, device=context.device))
    return (gradient[0] * e).sum(-1)


def _integrated_gradients(model: CausalModel, context: Tensor, goal: int) -> Tensor:
    points = torch.linspace(0, 1, POINTS, dtype=model.model.dtype, device=context.device)
    # A few at a time: each is a text of its own.
    parts = [_gradients(model, context, goal, points[start : start + 16]) for start in range(0, POINTS, 16)]
    mean = torch.stack([gradient.sum(0) for gradient, _ in parts]).sum(0) / POINTS
    return (mean * parts[0][1]).sum(-1)


@torch.inference_mode()
def _attentions(model: CausalModel, context: Tensor) -> Tensor:
    """Attention of every layer, mean over heads, ``[L, n, n]``."""
    with eager(model.model):
        output = model.model(
            input_ids=context[None],
            position_ids=torch.arange(context.shape[0], device=context.device)[None],
            attention_mask=model.causal(context.shape[0]),
            use_cache=False,
            output_attentions=True,
        )
    return torch.stack([layer[0].mean(0) for layer in output.attentions])


def _attention_rollout(model: CausalModel, context: Tensor, goal: int) -> Tensor:
    layers = _attentions(model, context)
    row = torch.eye(layers.shape[1], dtype=layers.dtype, device=layers.device)[-1]
    for layer in reversed(layers):
        row = (row @ layer + row) / 2
    return row


def _last_attention(model: CausalModel, context: Tensor, goal: int) -> Tensor:
    return _attentions(model, context)[-1, -1]


def _all_attentions(model: CausalModel, context: Tensor, goal: int) -> Tensor:
    return _attentions(model, context)[:, -1].mean(0)


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """With the implementation of attention that tells its weights, of a model of transformers."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


RANKINGS: dict[str, Callable[[CausalModel, Tensor, int], Tensor]] = {
    "gradient_norm": _gradient_norm,
    "gradient_x_input": _gradient_x_input,
    "integrated_gradients": _integrated_gradients,
    "attention_rollout": _attention_rollout,
    "last_attention": _last_attention,
    "all_attentions": _all_attentions,
}
