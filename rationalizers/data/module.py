"""Data modules: splits as packed batches, in an order that is a pure function of seed and epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Sampler

from rationalizers import processes
from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.data.augmentation import Augmentation, Material
from rationalizers.data.document import Corpus, Document, Source
from rationalizers.data.sampling import InTurn, LengthBuckets, LongestFirst, Rows, drawn
from rationalizers.data.shortcuts import Shortcuts
from rationalizers.data.statistics import WordStatistics
from rationalizers.data.text import SEPARATOR, TextFeaturizer
from rationalizers.featurizer import Featurizer
from rationalizers.parts import EvaluationPart, TrainingPart, part_of
from rationalizers.rewriting import Replacements

Part = Literal["all", "labelled", "unlabelled"]
Order = Literal["shuffled", "labelled_first"]


class RationaleData(pl.LightningDataModule, ABC):
    """A data set that a rationalizer can be trained on.

    After `setup`: ``task`` describes the target, ``featurizer`` the units, ``report`` counts what was met while reading.

    Where several processes train together, `batches` are those of all of them, and the loaders that Lightning asks for have the
    part of this process (see `rationalizers.parts`).

    Attributes:
        least: examples that a process needs of a batch to train on.
    """

    least: ClassVar[int] = 1
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
        loader = self.batches("train", epoch=0 if self.trainer is None else self.trainer.current_epoch)
        rank, of = processes.rank(), processes.count()
        return loader if of == 1 else part_of(loader, TrainingPart(_batches(loader), rank=rank, of=of, least=self.least))

    def val_dataloader(self) -> DataLoader[Any]:
        """In a fixed order."""
        return self._evaluated("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """In a fixed order."""
        return self._evaluated("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """The test split."""
        return self._evaluated("test")

    def check_shared(self, of: int) -> None:
        """Refuse more processes than there are examples for.

        Args:
            of: processes that are to train together.

        Raises:
            ValueError: no batch of a split has enough examples for all of them.
        """
        for split, least in (("train", self.least), ("val", 1), ("test", 1)):
            largest = max((len(batch) for batch in _batches(self.batches(split))), default=0)
            if largest < of * least:
                raise ValueError(
                    f"{of} processes need batches of at least {of * least} examples to share, those of {split!r} have at most "
                    f"{largest}; lower trainer.devices, or raise data.module.batch_size if there are more examples"
                )

    def _evaluated(self, split: str) -> DataLoader[Any]:
        loader, rank, of = self.batches(split), processes.rank(), processes.count()
        return loader if of == 1 else part_of(loader, EvaluationPart(_batches(loader), rank=rank, of=of))


class TextData(RationaleData):
    """A corpus as batches of words or word pieces.

    Documents of the training split carry the field ``replaceable``: q of each unit's word at rate 1 (see `WordStatistics`), 0 on
    fixed units. Where shortcuts are known, from ``shortcuts`` or from the corpus itself, they also carry ``discovered``.

    An epoch is one pass over the training examples in a shuffled order; or, with ``labelled_first``, a pass over the labelled
    ones, one over each of their augmented copies, and one over the rest, so that no batch mixes them.

    Args:
        corpus: description of a `Source`.
        featurizer: description of a `TextFeaturizer`.
        batch_size: examples in a batch.
        labelled_share: share of the annotated training examples whose evidence may be trained on, in [0, 1].
        seed: of the order of training batches, of the labelled examples and of their copies.
        statistics: arguments of `WordStatistics`; ``None`` is ``{per: document}``.
        part: training examples that are trained on: ``all``, ``labelled`` or ``unlabelled`` ones. Vocabulary and statistics are
            those of all.
        order: ``shuffled`` or ``labelled_first``.
        shortcuts: run folder with shortcuts that were discovered by its model (`rationalizers.discovery`), or ``None``.
        augmentation: by name, description of an `Augmentation` of the labelled examples; needs ``labelled_first``.

    Raises:
        ValueError: a share, size, part or order outside these, a split without documents, a part without examples.
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
        part: str = "all",
        order: str = "shuffled",
        shortcuts: str | None = None,
        augmentation: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        if not 0 <= labelled_share <= 1:
            raise ValueError(f"'labelled_share' must be in [0, 1], got {labelled_share}")
        for argument, value, known in (("part", part, get_args(Part)), ("order", order, get_args(Order))):
            if value not in known:
                raise ValueError(f"{argument!r} must be one of {', '.join(known)}; got {value!r}")
        if augmentation and (order != "labelled_first" or part == "unlabelled"):
            raise ValueError(
                f"'augmentation' adds passes over copies of labelled examples, which needs order='labelled_first' and a 'part' "
                f"that has them; got order={order!r}, part={part!r}"
            )
        self.source, self.text = build(corpus, Source), build(featurizer, TextFeaturizer)
        self.statistics = WordStatistics(**({"per": "document"} if statistics is None else statistics))
        self.batch_size, self.labelled_share, self.seed = batch_size, labelled_share, seed
        self.part, self.order = part, order
        self.shortcuts = None if shortcuts is None else Path(shortcuts)
        self.augmentation = {name: build(each, Augmentation) for name, each in (augmentation or {}).items()}
        self.splits: dict[str, list[Packed]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read the corpus, fit featurizer and statistics on its training split, and pack every document; once.

        Args:
            stage: ``test`` leaves shortcuts aside, which only training needs.
        """
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
        # A finished run can be evaluated where the run that it took shortcuts from is not.
        marked = None if self.shortcuts is None or stage == "test" else Shortcuts.read(self.shortcuts)
        splits = {
            split: [
                self.text.encode(
                    self._trained_on(document, marked) if split == "train" else document,
                    index=row,
                    target=self._target(document, corpus),
                    labelled=split == "train" and row in labelled,
                )
                for row, document in enumerate(documents)
            ]
            for split, documents in corpus.splits.items()
        }
        if not self._in_part(splits["train"]):
            raise ValueError(
                f"no training example is in part={self.part!r}: {len(labelled)} of {len(train)} are labelled "
                f"(labelled_share={self.labelled_share})"
            )
        self.splits = splits

    def facts(self) -> dict[str, Any]:
        """As every data module; of the vocabulary, ``separator_id`` and the rows of the labels, ``answers``, if all are words."""
        rows = {word: row for row, word in enumerate(self.text.vocabulary)}
        known = {**super().facts(), **({"separator_id": rows[SEPARATOR]} if SEPARATOR in rows else {})}
        labels = self.task["labels"]
        return known if set(labels) - rows.keys() else {**known, "answers": [rows[label] for label in labels]}

    @property
    def labelled(self) -> list[Packed]:
        """The training examples whose evidence may be trained on, in the order of the corpus."""
        return [row for row in self.splits["train"] if bool(row.labelled)]

    @cached_property
    def augmented(self) -> dict[str, list[Packed]]:
        """The copies of the labelled examples by the name of their augmentation; made when first asked for."""
        material = Material(
            labelled=self.labelled,
            others=[row for row in self.splits["train"] if not bool(row.labelled)],
            further={name: rows for name, rows in self.splits.items() if name not in ("train", "val", "test")},
            run=self.shortcuts,
            seed=self.seed,
            vocabulary=self.text.vocabulary,
        )
        return {name: each.copies(material) for name, each in self.augmentation.items()}

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
        """Batches of similar length: in the order of the epoch for ``train``, longest first otherwise."""
        if split != "train":
            rows = self.splits[split]
            return self._loader(rows, LongestFirst(_sizes(rows), batch_size=self.batch_size))
        streams = [stream for stream in self._streams() if stream]
        order = [
            LengthBuckets(_sizes(stream), batch_size=self.batch_size, seed=self.seed, epoch=epoch, stream=number)
            for number, stream in enumerate(streams)
        ]
        rows = [row for stream in streams for row in stream]
        return self._loader(rows, order[0] if len(order) == 1 else InTurn(order, sizes=[len(stream) for stream in streams]))

    def _streams(self) -> list[list[Packed]]:
        """The training examples of every pass of an epoch."""
        rows = self._in_part(self.splits["train"])
        if self.order == "shuffled":
            return [rows]
        own, rest = ([row for row in rows if bool(row.labelled) == labelled] for labelled in (True, False))
        return [own, *self.augmented.values(), rest]

    def _in_part(self, rows: Sequence[Packed]) -> list[Packed]:
        """The training examples that are trained on."""
        return [row for row in rows if self.part == "all" or bool(row.labelled) == (self.part == "labelled")]

    @staticmethod
    def _loader(rows: list[Packed], sampler: Sampler[list[int]]) -> DataLoader[Any]:
        return DataLoader(Rows(rows), batch_sampler=sampler, collate_fn=Packed.collate)

    def _labelled(self, documents: Sequence[Document]) -> set[int]:
        annotated = [row for row, document in enumerate(documents) if document.annotated]
        return drawn(annotated, share=self.labelled_share, seed=self.seed)

    def _trained_on(self, document: Document, marked: Shortcuts | None) -> Document:
        """A training document with what methods may want to know of its words."""
        fields: dict[str, Sequence[float]] = {**document.fields, "replaceable": self.statistics.replacement(document)}
        if marked is not None:
            fields["discovered"] = marked.marks(document)
        return replace(document, fields=fields)

    @staticmethod
    def _target(document: Document, corpus: Corpus) -> int:
        if document.label is None:
            raise ValueError(f"document {document.id!r} has no label; training and evaluation need one")
        return corpus.labels.index(document.label)


def _batches(loader: DataLoader[Any]) -> Sampler[list[int]]:
    """Rows of each batch."""
    assert loader.batch_sampler is not None  # every loader has batches
    return loader.batch_sampler  # type: ignore[return-value]


def _sizes(rows: Sequence[Packed]) -> torch.Tensor:
    """Units of each example ``[R]``."""
    return torch.tensor([row.units.shape[0] for row in rows])
