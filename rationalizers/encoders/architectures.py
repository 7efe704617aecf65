"""Which language models can be asked about a part of a text, and which cannot.

A model is asked for p(next token | y_S): tokens that are not in S are absent, the others stay at their original positions.
This is exact where positions are an argument of the model, where a state depends on the visible tokens and their positions
alone, and where every layer sees everything before it.
"""

from __future__ import annotations

from typing import Any

# Decoders whose forward pass takes positions, checked against full length with masked keys (tests/language/test_causal.py).
CAUSAL = ("gpt2", "gpt_neox", "llama", "mistral", "opt", "phi", "qwen2", "qwen3")
# Encoder-decoders that hand masks over to attention as they are given (tests/language/test_pair.py).
PAIR = ("bart", "marian", "mbart", "t5")
# Rotary frequencies of these depend on the length of the input.
STRETCHED = ("dynamic", "longrope")


def check_causal(config: Any) -> None:
    """Raise unless the model of a configuration is exact with tokens removed.

    Raises:
        ValueError: another architecture, layers that see a window only, or positions that depend on the length; says which.
    """
    kind = getattr(config, "model_type", None)
    if kind not in CAUSAL:
        raise ValueError(
            f"rationales of the architecture {kind!r} cannot be guaranteed to be exact; those of {', '.join(CAUSAL)} can"
        )
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window is not None or kinds - {"full_attention"}:
        raise ValueError(
            f"layers of this {kind} see a window of {window or 'some'} tokens, whose reach depends on tokens that are absent; "
            "expected a model all of whose layers see everything before (sliding_window: null in its config.json)"
        )
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in STRETCHED:
        raise ValueError(
            f"rotary positions of kind {rope!r} depend on the length of the input, and so on absent tokens; expected one of "
            "another kind (rope_parameters in config.json)"
        )


def check_pair(config: Any) -> None:
    """Raise unless the encoder-decoder of a configuration is exact with tokens masked.

    Raises:
        ValueError: another architecture; says which.
    """
    kind = getattr(config, "model_type", None)
    if kind not in PAIR:
        raise ValueError(
            f"rationales of the architecture {kind!r} cannot be guaranteed to be exact; of encoder-decoders, those of "
            f"{', '.join(PAIR)} can"
        )
