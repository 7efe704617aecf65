"""Tiny models of random weights with a tokenizer learnt from a few sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers

from rationalizers.data.language import learnt_tokenizer
from rationalizers.language import CausalModel, PairModel


def causal(texts: Sequence[str], *, pieces: int = 400) -> tuple[CausalModel, Any]:
    """A decoder."""
    tokenizer = learnt_tokenizer(texts, pieces, paired=False)
    torch.manual_seed(0)
    sizes = {"n_positions": 160, "n_embd": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.4}
    ids = {"bos_token_id": None, "eos_token_id": None}
    config = transformers.GPT2Config(vocab_size=len(tokenizer), **sizes, **ids)
    return CausalModel(transformers.GPT2LMHeadModel(config)), tokenizer


def pair(texts: Sequence[str], *, pieces: int = 400) -> tuple[PairModel, Any]:
    """An encoder-decoder."""
    tokenizer = learnt_tokenizer(texts, pieces, paired=True)
    torch.manual_seed(0)
    config = transformers.MarianConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        init_std=0.4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        forced_eos_token_id=None,
    )
    return PairModel(transformers.MarianMTModel(config)), tokenizer
