"""One tiny language model of random weights for every architecture that is supported, in double precision."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers

from rationalizers.language import CausalModel, PairModel

VOCABULARY, POSITIONS = 11, 32
_SHARED = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "vocab_size": VOCABULARY}
_WIDTHS = {
    **_SHARED,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.5,
}
_GROUPED = {**_WIDTHS, "num_key_value_heads": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "gpt2": {**_SHARED, "n_positions": POSITIONS, "n_embd": 16, "n_layer": 3, "n_head": 2, "initializer_range": 0.5},
    "gpt_neox": _WIDTHS,
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": None},
    "opt": {
        **_SHARED,
        "hidden_size": 16,
        "ffn_dim": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": POSITIONS,
        "word_embed_proj_dim": 8,
        "init_std": 0.5,
    },
    "phi": _WIDTHS,
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 8},
}


def config(kind: str, **changes: Any) -> Any:
    """The configuration of one of them."""
    return transformers.AutoConfig.for_model(kind, **{**SETTINGS[kind], **changes})


def plain(kind: str, *, seed: int = 0) -> Any:
    """The model as transformers has it."""
    torch.manual_seed(seed)
    return transformers.AutoModelForCausalLM.from_config(config(kind)).double()


@cache
def tiny(kind: str, *, seed: int = 0) -> CausalModel:
    """The model, ready to be asked."""
    return CausalModel(plain(kind, seed=seed))


def text(size: int, *, seed: int = 0) -> torch.Tensor:
    """Random tokens."""
    return torch.randint(0, VOCABULARY, (size,), generator=torch.Generator().manual_seed(seed))


_PAIR = {**_SHARED, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "forced_eos_token_id": None}
_STACKS = {
    **_PAIR,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": POSITIONS,
    "init_std": 0.5,
}
PAIR_SETTINGS: dict[str, dict[str, Any]] = {
    "bart": {**_STACKS, "bos_token_id": 1},
    "marian": _STACKS,
    "mbart": {**_STACKS, "bos_token_id": 1},
    "t5": {**_PAIR, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "initializer_factor": 1.0},
}


def plain_pair(kind: str, *, seed: int = 0) -> Any:
    """An encoder-decoder as transformers has it."""
    torch.manual_seed(seed)
    settings = transformers.AutoConfig.for_model(kind, **PAIR_SETTINGS[kind])
    return transformers.AutoModelForSeq2SeqLM.from_config(settings).double()


@cache
def tiny_pair(kind: str, *, seed: int = 0) -> PairModel:
    """The same, ready to be asked."""
    return PairModel(plain_pair(kind, seed=seed))


def saved(folder: Any, kind: str = "gpt2") -> str:
    """A folder with such a model and a tokenizer of single letters, of single precision."""
    from tokenizers import Tokenizer, decoders
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    tokenizer = Tokenizer(WordLevel({letter: i for i, letter in enumerate("abcdefgh <?")}, unk_token="?"))
    tokenizer.pre_tokenizer = Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    (plain_pair(kind) if kind in PAIR_SETTINGS else plain(kind)).float().save_pretrained(folder)
    return str(folder)
