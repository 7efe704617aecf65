"""Which examples meet in a batch, and in what order: pure functions of seed and epoch, so that a killed epoch can be replayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import Sampler

T = TypeVar("T")


def drawn(rows: Sequence[int], *, share: float, seed: int) -> set[int]:
    """A share of some rows, drawn by a seed; a larger share contains a smaller one."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows), generator=generator).tolist()
    return {rows[i] for i in order[: round(share * len(rows))]}


class Rows(torch.utils.data.Dataset[T]):
    """Examples of a split as batches of one."""

    def __init__(self, rows: Sequence[T]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> T:
        return self.rows[row]


class LengthBuckets(Sampler[list[int]]):
    """Shuffled batches of examples with similar length: less waiting for the longest.

    The examples are shuffled, cut into pools of ``pool`` batches, sorted by length within a pool, and the batches are shuffled
    again. The order is a pure function of seed and epoch, so that a killed epoch can be replayed.

    Args:
        length: of every example ``[R]``.
        batch_size: examples in a batch.
        seed: of the order.
        epoch: of the order.
        stream: which of several passes of an epoch this is; each has an order of its own.
        pool: batches that are sorted together; 1 shuffles without regard to length.
    """

    def __init__(self, length: Tensor, *, batch_size: int, seed: int, epoch: int, stream: int = 0, pool: int = 16) -> None:
        self.length, self.batch_size, self.pool = length, batch_size, pool
        # The generator knows a seed by its lower 32 bits.
        self.generator_seed = seed * 1_000_003 + stream * 100_003 + epoch

    def __len__(self) -> int:
        return -(-self.length.numel() // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.generator_seed)
        order = torch.randperm(self.length.numel(), generator=generator)
        batches = [
            batch
            for pool in torch.split(order, self.batch_size * self.pool)
            for batch in torch.split(pool[self.length[pool].argsort(stable=True)], self.batch_size)
        ]
        for place in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[place].tolist()


class LongestFirst(Sampler[list[int]]):
    """Batches in order of descending length, the same every time; running out of memory happens at once or never."""

    def __init__(self, length: Tensor, *, batch_size: int) -> None:
        self.length, self.batch_size = length, batch_size

    def __len__(self) -> int:
        return -(-self.length.numel() // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = self.length.argsort(descending=True, stable=True)
        yield from (batch.tolist() for batch in torch.split(order, self.batch_size))


class InTurn(Sampler[list[int]]):
    """Full passes over several streams, one after the other; every batch is of one stream.

    Rows are counted over the streams in their order, as if their examples stood in one list.

    Args:
        streams: the batches of each stream, in rows of its own.
        sizes: examples of each stream.

    Raises:
        ValueError: not one size for each stream.
    """

    def __init__(self, streams: Sequence[LengthBuckets], *, sizes: Sequence[int]) -> None:
        if len(streams) != len(sizes):
            raise ValueError(f"'sizes' must be one for each of the {len(streams)} streams, got {len(sizes)}")
        self.streams, self.first = streams, [0, *accumulate(sizes)]

    def __len__(self) -> int:
        return sum(len(stream) for stream in self.streams)

    def __iter__(self) -> Iterator[list[int]]:
        for stream, first in zip(self.streams, self.first, strict=False):
            for batch in stream:
                yield [first + row for row in batch]
