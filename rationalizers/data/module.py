"""Data modules: splits as packed batches, in an order that is a pure function of seed and epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.data.document import Corpus, Document, Source
from rationalizers.data.statistics import WordStatistics
from rationalizers.data.text import TextFeaturizer
from rationalizers.featurizer import Featurizer
from rationalizers.rewriting import Replacements

T = TypeVar("T")


class RationaleData(pl.LightningDataModule, ABC):
    """A data set that a rationalizer can be trained on.

    After `setup`: ``task`` describes the target, ``featurizer`` the units, ``report`` counts what was met while reading.
    """

    task: dict[str, Any]
    featurizer: Featurizer
    report: Mapping[str, int | float]

    @abstractmethod
    def batches(self, split: str, *, epoch: int = 0) -> DataLoader[Any]:
        """The batches of ``train`` (in the order of that epoch), ``val`` or ``test``."""

    def facts(self) -> dict[str, Any]:
        """What a model configuration leaves to the data (``???``): the task and the featurizer's facts."""
        return {"task": self.task, **self.featurizer.facts()}

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled by seed and epoch; Lightning asks anew for every epoch (``reload_dataloaders_every_n_epochs=1``)."""
        return self.batches("train", epoch=0 if self.trainer is None else self.trainer.current_epoch)

    def val_dataloader(self) -> DataLoader[Any]:
        """In a fixed order."""
        return self.batches("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """In a fixed order."""
        return self.batches("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """The test split."""
        return self.batches("test")


class TextData(RationaleData):
    """A corpus as batches of words or word pieces.

    Documents of the training split carry the field ``replaceable``: q of each unit's word at rate 1 (see `WordStatistics`), 0 on
    fixed units.

    Args:
        corpus: description of a `Source`.
        featurizer: description of a `TextFeaturizer`.
        batch_size: examples in a batch.
        labelled_share: share of the annotated training examples whose evidence may be trained on, in [0, 1].
        seed: of the order of training batches and of the labelled examples.
        statistics: arguments of `WordStatistics`; ``None`` is ``{per: document}``.

    Raises:
        ValueError: a share or size outside these, or a split without documents.
    """

    def __init__(
        self,
        *,
        corpus: Mapping[str, Any],
        featurizer: Mapping[str, Any],
        batch_size: int,
        labelled_share: float = 0.0,
        seed: int = 0,
        statistics: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        if not 0 <= labelled_share <= 1:
            raise ValueError(f"'labelled_share' must be in [0, 1], got {labelled_share}")
        self.source, self.text = build(corpus, Source), build(featurizer, TextFeaturizer)
        self.statistics = WordStatistics(**({"per": "document"} if statistics is None else statistics))
        self.batch_size, self.labelled_share, self.seed = batch_size, labelled_share, seed
        self.splits: dict[str, list[Packed]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read the corpus, fit featurizer and statistics on its training split, and pack every document; once."""
        if self.splits:
            return
        corpus: Corpus = self.source.load()
        for split in ("train", "val", "test"):
            if not corpus.splits.get(split):
                raise ValueError(f"the corpus has no documents in its split {split!r}; it has {sorted(corpus.splits)}")
        train = corpus.splits["train"]
        self.text.fit(train)
        self.statistics.fit(train)
        self.featurizer, self.report = self.text, corpus.report
        self.task = {"_target_": "rationalizers.task.Classification", "labels": list(corpus.labels)}
        labelled = self._labelled(train)
        for split, documents in corpus.splits.items():
            self.splits[split] = [
                self.text.encode(
                    self._replaceable(document) if split == "train" else document,
                    index=row,
                    target=self._target(document, corpus),
                    labelled=split == "train" and row in labelled,
                )
                for row, document in enumerate(documents)
            ]

    def replacements(self) -> Replacements:
        """The words of the training split as replacements: how likely each is drawn, and its units.

        Raises:
            ValueError: before `setup`.
        """
        if not self.splits:
            raise ValueError("replacements are the words of the training split; call 'setup' first")
        units, ptr = self.text.units_of(self.statistics.words)
        return Replacements(probability=self.statistics.probability, units=units, ptr=ptr)

    def batches(self, split: str, *, epoch: int = 0) -> DataLoader[Any]:
        """Batches of similar length: shuffled for ``train``, longest first otherwise."""
        rows = self.splits[split]
        size = torch.tensor([row.units.shape[0] for row in rows])
        if split == "train":
            sampler: Sampler[list[int]] = LengthBuckets(size, batch_size=self.batch_size, seed=self.seed, epoch=epoch)
        else:
            sampler = LongestFirst(size, batch_size=self.batch_size)
        return DataLoader(Rows(rows), batch_sampler=sampler, collate_fn=Packed.collate)

    def _labelled(self, documents: Sequence[Document]) -> set[int]:
        annotated = [row for row, document in enumerate(documents) if document.annotated and document.spans]
        return drawn(annotated, share=self.labelled_share, seed=self.seed)

    def _replaceable(self, document: Document) -> Document:
        return replace(document, fields={**document.fields, "replaceable": self.statistics.replacement(document)})

    @staticmethod
    def _target(document: Document, corpus: Corpus) -> int:
        if document.label is None:
            raise ValueError(f"document {document.id!r} has no label; training and evaluation need one")
        return corpus.labels.index(document.label)


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
        pool: batches that are sorted together; 1 shuffles without regard to length.
    """

    def __init__(self, length: Tensor, *, batch_size: int, seed: int, epoch: int, pool: int = 16) -> None:
        self.length, self.batch_size, self.seed, self.epoch, self.pool = length, batch_size, seed, epoch, pool

    def __len__(self) -> int:
        return -(-self.length.numel() // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
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
