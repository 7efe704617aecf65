"""A causal language model of Hugging Face as an encoder: a state knows what stands before it, and tells the next word.

Letters: ``B`` examples, ``N`` packed units, ``L`` longest example, ``D`` width, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.encoders.architectures import check_causal
from rationalizers.encoders.encoder import Encoder
from rationalizers.extras import require
from rationalizers.segment import lengths, owners


class CausalEncoder(Encoder):
    """A decoder with random weights.

    Args:
        architecture: of the model, as ``config.json`` of transformers has it: ``model_type`` and its sizes.
        vocabulary: number of words V; row ``mask_id`` stands for absent words.
        mask_id: row of the mask word.

    Raises:
        ValueError: an architecture that is not exact with tokens removed (`rationalizers.encoders.architectures`).
        ImportError: the extra ``text`` is not installed.
    """

    def __init__(self, *, architecture: Mapping[str, Any], vocabulary: int, mask_id: int) -> None:
        super().__init__()
        transformers = require("transformers", extra="text")
        special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
        config = transformers.AutoConfig.for_model(**{**special, **architecture, "vocab_size": vocabulary})
        check_causal(config)
        self.model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
        self.mask_id = mask_id
        self.width = self.model.get_output_embeddings().in_features
        self.embedding_width = self.model.get_input_embeddings().embedding_dim
        self.longest = int(config.max_position_embeddings)

    def embed(self, batch: Batch) -> Tensor:
        """Rows of the embedding table ``[N, embedding_width]``."""
        e: Tensor = self.model.get_input_embeddings()(batch.units)
        return e

    def encode(self, e: Tensor, batch: Batch) -> Tensor:
        """States ``[N, D]``, each of its unit and of all before it."""
        return self.encode_seeing(e, batch, None)

    def encode_seeing(self, e: Tensor, batch: Batch, keys: Tensor | None) -> Tensor:
        """States ``[N, D]``, each of its own unit and of those before it that are ``keys [N]`` bool; ``None`` is all.

        Raises:
            ValueError: a position that the architecture does not know.
        """
        n = e.shape[0]
        if n == 0:
            return e.new_zeros(0, self.width)
        if int(batch.position.max()) >= self.longest:
            raise ValueError(
                f"position {int(batch.position.max())} is beyond the {self.longest} that the architecture knows; cut the text "
                "(encoder.featurizer.max_words) or enlarge it"
            )
        owner, length = owners(batch.ptr, n), lengths(batch.ptr)
        place = torch.arange(n, device=e.device) - batch.ptr[:-1][owner]
        shape = (length.numel(), int(length.max()))
        at = (owner, place)
        padded = e.new_zeros(*shape, e.shape[1]).index_put(at, e)
        positions = torch.zeros(shape, dtype=torch.long, device=e.device).index_put(at, batch.position)
        shown = torch.ones_like(owner, dtype=torch.bool) if keys is None else keys
        seen = torch.zeros(shape, dtype=torch.bool, device=e.device).index_put(at, shown)[:, None, :]  # [B, 1, L]
        seen = (seen | torch.eye(shape[1], dtype=torch.bool, device=e.device)).tril()[:, None]  # [B, 1, L, L]
        bias = e.new_zeros(seen.shape).masked_fill(~seen, torch.finfo(e.dtype).min)
        states: Tensor = self.model.base_model(
            inputs_embeds=padded, position_ids=positions, attention_mask=bias, use_cache=False
        ).last_hidden_state
        return states[owner, place]

    def words(self, h: Tensor) -> Tensor:
        """Logits of the next word ``[R, V]`` from states ``[R, D]``."""
        logits: Tensor = self.model.get_output_embeddings()(h)
        return logits

    def mask_embedding(self) -> Tensor:
        """The embedding of the mask word."""
        row: Tensor = self.model.get_input_embeddings().weight[self.mask_id]
        return row
