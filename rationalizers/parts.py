"""What one of several processes takes of each batch, so that all of them together see what a single one would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler


class TrainingPart(Sampler[list[int]]):
    """Every ``of``-th example of each batch, from the ``rank``-th on.

    A batch that is too small to leave everybody ``least`` examples is read whole by all, and counts for the first process
    alone: nobody may be missing where gradients are exchanged, and batch normalization cannot do with one row.

    Args:
        batches: of all processes together, in the same order in each of them.
        rank: of this process, from 0.
        of: processes.
        least: examples that a process needs.

    Attributes:
        sizes: of each batch that was drawn so far, the examples that count here and those of all processes.
    """

    def __init__(self, batches: Sampler[list[int]], *, rank: int, of: int, least: int = 1) -> None:
        self.batches, self.rank, self.of, self.least = batches, rank, of, least
        self.sizes: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[int]]:
        self.sizes = []
        for batch in self.batches:
            if len(batch) >= self.of * self.least:
                own = batch[self.rank :: self.of]
                self.sizes.append((len(own), len(batch)))
                yield own
            else:
                self.sizes.append((0 if self.rank else len(batch), len(batch)))
                yield batch

    def weight(self, place: int) -> float:
        """What the mean over this part of the batch at ``place`` weighs.

        The mean over processes of the weighted means is the mean over the whole batch, however unequal its parts are.
        """
        own, whole = self.sizes[place]
        return own * self.of / whole


class EvaluationPart(Sampler[list[int]]):
    """Every ``of``-th example of each batch, from the ``rank``-th on; nothing is repeated to make parts equal.

    Args:
        batches: of all processes together, in the same order in each of them.
        rank: of this process, from 0.
        of: processes.
    """

    def __init__(self, batches: Sampler[list[int]], *, rank: int, of: int) -> None:
        self.batches, self.rank, self.of = batches, rank, of

    def __len__(self) -> int:
        return sum(len(batch) > self.rank for batch in self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        yield from (batch[self.rank :: self.of] for batch in self.batches if len(batch) > self.rank)


def part_of(loader: DataLoader[Any], batches: Sampler[list[int]]) -> DataLoader[Any]:
    """A loader of the same examples in other batches."""
    return DataLoader(
        loader.dataset,
        batch_sampler=batches,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
    )
