"""What an encoder is: ``embed`` turns units into vectors, ``encode`` lets them see each other.

Letters: ``B`` examples, ``N`` packed units, ``D`` width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from torch import Tensor, nn

from rationalizers.batch import Batch


class Encoder(nn.Module, ABC):
    """Turns a batch into one state per unit; a mask may act between the verbs, after them, or before (compaction).

    Attributes:
        width: size D of a state.
        embedding_width: size of an embedding.
        prepared: what `prepare` did: ``documents``, ``encoded``, ``seconds`` and ``bytes``; empty where it did nothing.
    """

    width: int
    embedding_width: int
    prepared: Mapping[str, float] = MappingProxyType({})

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """Unit embeddings ``[N, embedding_width]``, each from its own unit alone."""

    @abstractmethod
    def encode(self, e: Tensor, batch: Batch) -> Tensor:
        """States ``[N, D]`` in context, from embeddings ``[N, embedding_width]`` and the batch's offsets and positions."""

    def encode_weighted(self, e: Tensor, batch: Batch, mask: Tensor) -> Tensor:
        """States ``[N, D]`` where what passes along an edge u → v is weighted by m_u · m_v, ``mask [N]``.

        Raises:
            ValueError: the encoder has no edges.
        """
        raise ValueError(f"absence 'message' needs an encoder of graphs; {type(self).__name__} has no edges")

    @abstractmethod
    def mask_embedding(self) -> Tensor:
        """The embedding ``[embedding_width]`` that stands for an absent unit."""

    def states(self, batch: Batch) -> Tensor:
        """States ``[N, D]`` of whole examples, nothing hidden; a frozen encoder may know them already."""
        return self.encode(self.embed(batch), batch)

    def initialize(self, vocabulary: Sequence[str]) -> None:
        """Hook for pretrained starting values; called once before training, never when a trained model is loaded.

        Args:
            vocabulary: the word of each row of the embedding table.
        """

    def prepare(self, loaders: Iterable[Iterable[Batch]]) -> None:
        """Hook for work that is done once for all examples; called before training, also when it is resumed.

        Args:
            loaders: every batch that training, choosing an epoch and testing will see.
        """
