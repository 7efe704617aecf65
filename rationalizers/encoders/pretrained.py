"""Pretrained Transformer encoders from Hugging Face, to be tuned or frozen.

Letters: ``B`` examples, ``N`` packed units, ``R`` windows, ``L`` longest window, ``D`` width, ``V`` vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from rationalizers.batch import Batch, Packed
from rationalizers.encoders.encoder import Encoder
from rationalizers.encoders.sources import check_weights, pretrained_folder
from rationalizers.encoders.states import StateCache, content_keys, in_batches, separate
from rationalizers.encoders.transformer import check_architecture, pretrained_model, random_model, showing_weights
from rationalizers.encoders.windows import Windows, windows
from rationalizers.segment import lengths, offsets

log = logging.getLogger(__name__)

# Places, padding included, that go through the model at once; a long batch goes in several parts.
PLACES = 8192
# Attention weights that are held at once, of all layers and heads; a quarter of a gigabyte.
WEIGHTS = 2**26
SECONDS_BETWEEN_REPORTS = 20.0
# Raised when states change for the same encoder and example.
FORMAT = 1


@dataclass(frozen=True)
class Attended:
    """What attends to what in some windows, which hold L places at most.

    Args:
        weights: of each layer, mean over its heads, ``[A, R, L, L]``; a place attends to those of its window, with weights that
            sum to one.
        unit: the unit that is read at each place, ``[R, L]``.
        here: whether one is, ``[R, L]`` bool; windows differ in length.
        source: whether this is where the unit's state is taken from, ``[R, L]`` bool.
    """

    weights: Tensor
    unit: Tensor
    here: Tensor
    source: Tensor


class PretrainedEncoder(Encoder):
    """A pretrained Transformer that reads embeddings, so that a mask can act on them.

    Building one needs neither disk nor network: the weights are random until `initialize` or a trained model's file fills them
    in. Examples longer than ``max_length`` are read in windows (`rationalizers.encoders.windows`). Positions are those of the
    batch, so that removed units leave gaps where they are to be seen.

    A frozen encoder does not learn and has no dropout of its own, but gradients pass through `encode` to the embeddings. Its
    `states` are rounded to 16 bits, which is what its cache keeps: they are the same up to that rounding wherever they come from.

    Args:
        pretrained: name of the weights, see `rationalizers.encoders.sources.pretrained_folder`.
        architecture: the model's configuration (``config.json``) as plain primitives.
        vocabulary: number of units that a featurizer knows, V; the model may have further rows.
        mask_id: row of the mask piece.
        frozen: nothing is learnt here, and states of whole examples are computed once.
        max_length: places of a window, fixed units included.
        dropout: on states.
        gradient_checkpointing: compute inner states twice instead of keeping them for the backward pass.

    Attributes:
        prepared: after `prepare` of a frozen encoder: ``documents`` (different ones met), ``encoded`` (of these, how many were
            not in the cache), ``seconds`` and ``bytes`` (written).

    Raises:
        ValueError: a family of models that cannot be run this way, or arguments that do not fit the architecture.
        ImportError: the extra ``text`` is not installed.
    """

    def __init__(
        self,
        *,
        pretrained: str,
        architecture: Mapping[str, Any],
        vocabulary: int,
        mask_id: int,
        frozen: bool = False,
        max_length: int = 512,
        dropout: float = 0.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.architecture = check_architecture(architecture)
        self.transformer = random_model(self.architecture)
        positions = self.transformer.embeddings.position_embeddings
        # RoBERTa counts from behind the padding row.
        self.first_position = 0 if positions.padding_idx is None else positions.padding_idx + 1
        table, limit = self.table, positions.num_embeddings - self.first_position
        if not 0 < vocabulary <= table.num_embeddings:
            raise ValueError(f"'vocabulary' must be at most the architecture's {table.num_embeddings} rows, got {vocabulary}")
        if not 0 <= mask_id < vocabulary:
            raise ValueError(f"'mask_id' must be one of the {vocabulary} rows of the vocabulary, got {mask_id}")
        if not 0 < max_length <= limit:
            raise ValueError(f"'max_length' must be at most the architecture's {limit} positions, got {max_length}")
        if frozen and gradient_checkpointing:
            raise ValueError("'gradient_checkpointing' acts in training, which a 'frozen' encoder has none of; set one of them")
        self.pretrained, self.mask_id, self.frozen, self.max_length = pretrained, mask_id, frozen, max_length
        self.embedding_width, self.width = table.embedding_dim, int(self.transformer.config.hidden_size)
        self.dropout = nn.Dropout(dropout)
        self._cache: StateCache | None = None
        if gradient_checkpointing:
            self.transformer.activation_checkpointing_enable({"use_reentrant": False})
        if frozen:
            self.transformer.requires_grad_(False)
        self.train(self.training)

    @property
    def table(self) -> nn.Embedding:
        """The word embeddings, V rows or more."""
        found: nn.Embedding = self.transformer.get_input_embeddings()
        return found

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; a frozen transformer stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.transformer.eval()
        return self

    def embed(self, batch: Batch) -> Tensor:
        """Rows of the table of word embeddings ``[N, embedding_width]``, without positions."""
        e: Tensor = self.table(batch.units)
        return e

    def mask_embedding(self) -> Tensor:
        """The embedding of the mask piece."""
        return self.table.weight[self.mask_id]

    def encode(self, e: Tensor, batch: Batch) -> Tensor:
        """States ``[N, D]`` of the last layer.

        Raises:
            ValueError: the fixed units of an example leave no room in ``max_length``.
        """
        h: Tensor = self.dropout(self._read(e, batch))
        return h

    def states(self, batch: Batch) -> Tensor:
        """States ``[N, D]`` of whole examples; those of a frozen encoder are rounded to 16 bits and carry no gradient.

        After `prepare` they come from the cache, and what is not there is computed and kept: every example that is asked for
        stays on disk, so ask for whole examples, not for selections of them.
        """
        if not self.frozen:
            return super().states(batch)
        h = self._rounded(batch) if self._cache is None else self._cached(batch, self._cache)
        return self.dropout(h.to(self.table.weight.dtype))  # type: ignore[no-any-return]

    @torch.no_grad()
    def attention(self, batch: Batch) -> Iterator[Attended]:
        """Attention in every layer when nothing is hidden, some windows at a time, computed in the slower way that shows it."""
        if batch.position.shape[0] == 0:
            return
        e, read = self.embed(batch), windows(batch, max_length=self.max_length)
        source = torch.zeros_like(read.unit, dtype=torch.bool).index_fill(0, read.source, True)  # [M]
        config = self.transformer.config
        for at, here in _parts(read, lambda size: WEIGHTS // (config.num_hidden_layers * config.num_attention_heads * size**2)):
            with showing_weights(self.transformer):
                found = self._run(e, read, at, here, output_attentions=True).attentions
            weights = torch.stack([layer.mean(1) for layer in found])  # [A, r, L, L]
            yield Attended(weights=weights, unit=read.unit[at], here=here, source=source[at] & here)

    def initialize(self, vocabulary: Sequence[str]) -> None:
        """Load the pretrained weights.

        Raises:
            FileNotFoundError: they are not where ``pretrained`` says, or not as safetensors.
            ValueError: they do not fit the architecture.
        """
        folder = pretrained_folder(self.pretrained)
        check_weights(folder)
        self.transformer.load_state_dict(pretrained_model(folder, self.transformer).state_dict())
        log.info("%s: weights from %s", self.pretrained, folder)

    def prepare(self, loaders: Iterable[Iterable[Batch]]) -> None:
        """Compute and keep the states of every example that is not in the cache, if the encoder is frozen.

        Raises:
            OSError: the cache cannot be written to.
        """
        if not self.frozen:
            return
        began = time.monotonic()
        self._cache = cache = StateCache(self._key(), width=self.width)
        missing: dict[str, Packed] = {}
        met: set[str] = set()
        for loader in loaders:
            for batch in loader:
                examples = separate(batch)
                fresh = {key: one for key, one in examples.items() if key not in met and not cache.has(key)}
                met |= set(examples)
                missing |= fresh
        encoded, written, reported = 0, 0, began
        for keys, batch in in_batches(missing, places=PLACES):
            h = self._rounded(batch.to(self.table.weight.device))
            written += cache.write_all(keys, torch.split(h, lengths(batch.ptr).tolist()))
            encoded += len(keys)
            if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
                reported = time.monotonic()
                log.info("encoded %d of %d documents, %.0f s", encoded, len(missing), reported - began)
        seconds = time.monotonic() - began
        self.prepared = {"documents": len(met), "encoded": encoded, "seconds": seconds, "bytes": written}
        speed = f" ({seconds / encoded:.3f} s per document, {written / 1e6:.1f} MB)" if encoded else ""
        log.info(
            "states of %d documents are in %s; encoded %d of them, %.1f s%s", len(met), cache.folder, encoded, seconds, speed
        )

    def _read(self, e: Tensor, batch: Batch) -> Tensor:
        """States ``[N, D]`` before dropout."""
        if e.shape[0] == 0:
            return e.new_zeros(0, self.width)
        read = windows(batch, max_length=self.max_length)
        found = []
        for at, here in _parts(read, lambda size: PLACES // size):
            out = self._run(e, read, at, here).last_hidden_state  # [r, L, D]
            found.append((at[here], out[here]))
        places, states = (torch.cat(parts) for parts in zip(*found, strict=True))
        h = states.new_empty(states.shape).index_copy(0, places, states)  # [M, D]
        return h[read.source]

    def _run(self, e: Tensor, read: Windows, at: Tensor, here: Tensor, **options: bool) -> Any:
        """What the transformer makes of the places ``at [r, L]``, where there are any."""
        padded = torch.where(here[..., None], e[read.unit[at]], 0)  # [r, L, ·]
        position = torch.where(here, read.place[at], 0) + self.first_position
        return self.transformer(
            inputs_embeds=padded, attention_mask=here.long(), position_ids=position, return_dict=True, **options
        )

    @torch.no_grad()
    def _rounded(self, batch: Batch) -> Tensor:
        """States ``[N, D]`` in 16 bits; computed in full precision whatever surrounds them, since a cache may keep them."""
        with torch.autocast(batch.units.device.type, enabled=False):
            return self._read(self.embed(batch), batch).to(torch.float16)

    def _cached(self, batch: Batch, cache: StateCache) -> Tensor:
        """States ``[N, D]`` in 16 bits from the cache, after whatever is missing there was computed and kept."""
        length = lengths(batch.ptr).tolist()
        keys = content_keys(batch)
        found = [
            cache.read(key, size) if size else torch.zeros(0, self.width, dtype=torch.float16)
            for key, size in zip(keys, length, strict=True)
        ]
        absent = [place for place, states in enumerate(found) if states is None]
        if absent:
            examples = separate(batch)
            chosen = list(dict.fromkeys(keys[place] for place in absent))
            some = Packed.collate([examples[key] for key in chosen]).to(batch.units.device)
            parts = torch.split(self._rounded(some).cpu(), lengths(some.ptr).tolist())
            cache.write_all(chosen, parts)
            computed = dict(zip(chosen, parts, strict=True))
            found = [computed[key] if states is None else states for key, states in zip(keys, found, strict=True)]
        whole = [states for states in found if states is not None]
        return torch.cat([torch.zeros(0, self.width, dtype=torch.float16), *whole]).to(batch.units.device)

    def _key(self) -> str:
        """SHA-256 of everything that a state depends on beside the example."""
        described = {"format": FORMAT, "architecture": self.architecture, "max_length": self.max_length}
        key = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
        for name, tensor in sorted(self.transformer.state_dict().items()):
            key.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            key.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
        return key.hexdigest()


def _parts(read: Windows, count: Callable[[int], int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows of similar length together, ``count(length)`` of them or one; a window's states do not depend on its company.

    Yields:
        the place read at each column ``[r, L]``, and whether there is one ``[r, L]``.
    """
    order = torch.argsort(read.size, descending=True, stable=True)  # [R]
    sizes, first, start = read.size[order].tolist(), offsets(read.size), 0
    while start < len(sizes):
        rows = order[start : start + max(1, count(sizes[start]))]
        column = torch.arange(sizes[start], device=order.device)
        start += rows.numel()
        here = column < read.size[rows][:, None]  # [r, L]
        yield (first[rows][:, None] + column).clamp(max=read.unit.numel() - 1), here
