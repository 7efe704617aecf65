"""An encoder-decoder language model that is asked about parts of a source and of a translation.

Positions are no argument of these architectures, so that nothing can be removed: everything stands at its full length, and absent
tokens are masked as keys. This is exact, and as slow as it sounds. Without any source token, attention to the source adds
nothing but the bias of its output.

Letters: ``R`` rows, ``s`` tokens of the source, ``n`` of the target, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rationalizers.encoders.architectures import check_pair
from rationalizers.language.masks import bias, seeing
from rationalizers.language.opening import opened
from rationalizers.language.reference import check_size, grow
from rationalizers.language.sequence_rationale import TokenRationale
from rationalizers.language.vocabulary import finite


class PairModel:
    """An encoder-decoder of Hugging Face transformers, in evaluation mode.

    Args:
        model: a sequence-to-sequence language model.

    Raises:
        ValueError: of an architecture that is not known to be exact under masks (see `rationalizers.encoders.architectures`),
            or whose attention is not torch's ``sdpa``, which alone gives nothing where nothing is seen.
    """

    def __init__(self, model: Any) -> None:
        check_pair(model.config)
        if (kind := model.config._attn_implementation) != "sdpa":
            raise ValueError(f"expected a model that is loaded with attn_implementation='sdpa', got {kind!r}")
        self.model = model.eval()

    @classmethod
    def load(cls, name: str, *, device: str = "cpu") -> PairModel:
        """Open one by name, folder or package; see `rationalizers.language.opening.opened`."""
        return cls(opened(name, "AutoModelForSeq2SeqLM", check_pair, device=device, attn_implementation="sdpa"))

    @property
    def device(self) -> torch.device:
        """Where it is."""
        device: torch.device = self.model.device
        return device

    @property
    def longest(self) -> int | None:
        """Positions that it knows on each side; ``None`` where they are relative."""
        return getattr(self.model.config, "max_position_embeddings", None)

    @torch.inference_mode()
    def write(self, source: Tensor, *, most: int) -> Tensor:
        """A translation, always the most probable token, with the one that starts it and, where it gets there, its end ``[n]``.

        Args:
            source: ``[s]``.
            most: tokens beyond the first, as far as the model knows positions.
        """
        if self.longest is not None:
            most = min(most, self.longest - 1)
        config, source = self.model.config, source.to(self.device)
        tokens = torch.tensor([config.decoder_start_token_id], device=self.device)
        for _ in range(most):
            kept = torch.ones(1, source.shape[0] + tokens.shape[0], dtype=torch.bool, device=self.device)
            following = self.masked(source, tokens, kept)[0].argmax()
            tokens = torch.cat([tokens, following[None]])
            if int(following) == config.eos_token_id:
                break
        return tokens

    @torch.inference_mode()
    def masked(self, source: Tensor, tokens: Tensor, kept: Tensor) -> Tensor:
        """Logits of what follows the last token ``[R, V]``, from what each row may see.

        Args:
            source: ``[s]``.
            tokens: the target so far, with the token that starts it ``[n]``.
            kept: which of both, one after the other, each row may see ``[R, s + n]`` bool, the last one always.

        Raises:
            ValueError: the last token is absent, or predictions are not finite.
        """
        if not bool(kept[:, -1].all()):
            raise ValueError("'kept' must hold the last token, which the next one is predicted from")
        s, n = source.shape[0], tokens.shape[0]
        ours, theirs = kept[:, :s], kept[:, s:]
        # Rows that differ in the target alone share what the encoder says.
        different, which = torch.unique(ours, dim=0, return_inverse=True)
        dtype = self.model.dtype
        encoded = self.model.get_encoder()(
            input_ids=source.expand(len(different), s), attention_mask=bias(seeing(different)[:, None], dtype), return_dict=True
        )
        encoded.last_hidden_state = encoded.last_hidden_state[which]
        output = self.model(
            encoder_outputs=encoded,
            attention_mask=bias(ours[:, None, None].expand(-1, 1, n, -1), dtype, empty=True),
            decoder_input_ids=tokens.expand(len(kept), n),
            decoder_attention_mask=bias(seeing(theirs).tril()[:, None], dtype),
            use_cache=False,
        )
        return finite(output.logits[:, -1])


def check_pair_texts(model: PairModel, source: Tensor, tokens: Tensor, targets: Sequence[int]) -> None:
    """Raise unless a source and a target can be asked about.

    Raises:
        ValueError: a text that is no row of tokens or too long, or a target outside.
    """
    for name, each in (("source", source), ("target", tokens)):
        if each.dim() != 1 or each.is_floating_point() or not each.shape[0]:
            raise ValueError(f"the {name} must be token numbers [n], got {each.dtype} {list(each.shape)}")
        if model.longest is not None and each.shape[0] > model.longest:
            raise ValueError(f"a {name} of {each.shape[0]} tokens is longer than the {model.longest} positions of this model")
    if wrong := [target for target in targets if not 0 < target < tokens.shape[0]]:
        raise ValueError(f"targets must be places 1 to {tokens.shape[0] - 1} of the translation, got {wrong[0]}")


def greedy_pair(
    model: PairModel,
    source: Tensor,
    tokens: Tensor,
    targets: Sequence[int] | None = None,
    *,
    max_size: int | None = None,
    sources: int = 0,
    max_tokens: int = 4096,
    progress: Callable[[int, int], None] | None = None,
) -> list[TokenRationale]:
    """The greedy rationales of tokens of a translation, in its source and in what was translated before.

    It begins with the last target token before each, and no source. Of equal candidates the first is added, source before target.

    Args:
        model: whose predictions they are.
        source: token numbers ``[s]``.
        tokens: those of the target, with the token that starts it ``[n]``.
        targets: places in the target, 1 or more; ``None`` is all of them.
        max_size: tokens of a rationale at most; ``None`` is all.
        sources: source tokens at least; where the target is said before, the search goes on.
        max_tokens: that are read in one pass.
        progress: called with the number of targets that are done, and of all.

    Raises:
        ValueError: a text that is no row of tokens or too long, a target outside, or a size below 1.
    """
    check_size(max_size)
    targets = range(1, tokens.shape[0]) if targets is None else targets
    check_pair_texts(model, source, tokens, targets)
    source, tokens = source.to(model.device), tokens.to(model.device)
    s, found = source.shape[0], []
    for target in targets:
        goal, length = int(tokens[target]), s + target
        together = max(1, max_tokens // length)

        def ask(sets: Sequence[Sequence[int]], target: int = target, goal: int = goal) -> tuple[Tensor, Tensor]:
            kept = torch.zeros(len(sets), s + target, dtype=torch.bool, device=model.device)
            kept.scatter_(1, torch.tensor(sets, device=model.device), True)
            logits = model.masked(source, tokens[:target], kept)
            return logits.argmax(-1), logits.log_softmax(-1)[:, goal]

        path = grow(
            ask,
            length - 1,
            length,
            goal,
            max_size=max_size,
            rows=lambda size, rows=together: rows,  # type: ignore[misc]
            enough=lambda order: sum(place < s for place in order) >= min(sources, s),
        )
        each = TokenRationale(target, goal, *path, source=s)
        again = model.masked(source, tokens[:target], each.kept()[None].to(model.device))
        found.append(replace(each, certified=int(again.argmax()) == goal))
        if progress is not None:
            progress(len(found), len(targets))
    return found
