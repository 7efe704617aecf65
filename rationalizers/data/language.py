"""Texts as batches of token numbers for a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Sampler

from rationalizers.build import build
from rationalizers.data.sampling import LengthBuckets, LongestFirst, Rows
from rationalizers.data.texts import SPLITS, Text, TextCorpus
from rationalizers.encoders.sources import pretrained_folder
from rationalizers.extras import require

PAD, END = "<pad>", "<end>"
Example = dict[str, Tensor]


class LanguageData(pl.LightningDataModule):
    """Texts cut into stretches that a model can read; or pairs of source and target.

    After `setup`: ``tokenizer`` as transformers has it, ``report`` counts of tokens, and what was cut.

    Args:
        corpus: description of a `TextCorpus`.
        tokenizer: ``{pretrained: name, folder or package}``, or ``{pieces: number}`` to learn byte pairs from the training split.
        longest: tokens of a stretch; what is left of a text makes further ones, what is left of a pair is cut off.
        batch_size: stretches or pairs at a time.
        seed: of the order of training batches.

    Raises:
        ValueError: a size below 1, a tokenizer described otherwise or, in `setup`, without a token for the end of a text; a split
            without texts.
    """

    def __init__(
        self, *, corpus: Mapping[str, Any], tokenizer: Mapping[str, Any], longest: int, batch_size: int, seed: int = 0
    ) -> None:
        super().__init__()
        if longest < 2 or batch_size < 1:
            raise ValueError(f"'longest' must be at least 2 and 'batch_size' at least 1, got {longest} and {batch_size}")
        self.described = {name: value for name, value in tokenizer.items() if value is not None}
        if len(self.described) != 1 or not set(tokenizer) <= {"pretrained", "pieces"}:
            raise ValueError(f"'tokenizer' must have either 'pretrained' or 'pieces', got {dict(tokenizer)}")
        self.corpus = build(corpus, TextCorpus)
        self.longest, self.batch_size, self.seed = longest, batch_size, seed
        self.report: dict[str, int] = {}
        self.start: int | None = None
        self._rows: dict[str, list[Example]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read, learn the pieces, cut; only once."""
        if self._rows:
            return
        texts = self.corpus.texts()
        if empty := [split for split in SPLITS if not texts[split]]:
            raise ValueError(f"the corpus has no texts in {', '.join(empty)}; every split needs some")
        paired = len(texts["train"][0]) == 2
        if "pieces" in self.described:
            learnt = [part for text in texts["train"] for part in text]
            self.tokenizer = learnt_tokenizer(learnt, self.described["pieces"], paired)
            self.start = self.tokenizer.pad_token_id
        else:
            transformers = require("transformers", extra="text")
            folder = pretrained_folder(self.described["pretrained"])
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
            self.start = getattr(config, "decoder_start_token_id", None)
        if self.tokenizer.eos_token_id is None:
            raise ValueError(f"the tokenizer of {self.described['pretrained']} has no token for the end of a text (eos_token)")
        for split in SPLITS:
            self._rows[split] = self._pairs(split, texts[split]) if paired else self._stretches(texts[split])
            self.report[f"{split}/examples"] = len(self._rows[split])
            self.report[f"{split}/tokens"] = sum(row["tokens"].shape[0] for row in self._rows[split])

    def facts(self) -> dict[str, Any]:
        """What a model configuration leaves to the data (``???``): ``special``, its vocabulary and its special tokens."""
        ids = {"eos_token_id": self.tokenizer.eos_token_id, "pad_token_id": self.tokenizer.pad_token_id}
        return {"special": {"vocab_size": len(self.tokenizer), "bos_token_id": None, **ids, "decoder_start_token_id": self.start}}

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled by seed and epoch; Lightning asks anew for every epoch (``reload_dataloaders_every_n_epochs=1``)."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        return self._loader(
            "train", LengthBuckets(self._length("train"), batch_size=self.batch_size, seed=self.seed, epoch=epoch)
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """In a fixed order."""
        return self._loader("val", LongestFirst(self._length("val"), batch_size=self.batch_size))

    def test_dataloader(self) -> DataLoader[Any]:
        """In a fixed order."""
        return self._loader("test", LongestFirst(self._length("test"), batch_size=self.batch_size))

    def _loader(self, split: str, sampler: Sampler[list[int]]) -> DataLoader[Any]:
        return DataLoader(Rows(self._rows[split]), batch_sampler=sampler, collate_fn=_collate)

    def _length(self, split: str) -> Tensor:
        return torch.tensor([row["tokens"].shape[0] for row in self._rows[split]])

    def _stretches(self, texts: Sequence[Text]) -> list[Example]:
        """Each text and its end in stretches of ``longest``; of a single token, nothing is learnt."""
        found = []
        for (text,) in texts:
            ids = [*self._ids(text=text), self.tokenizer.eos_token_id]
            stretches = [ids[start : start + self.longest] for start in range(0, len(ids), self.longest)]
            found += [{"tokens": torch.tensor(each)} for each in stretches if len(each) > 1]
        return found

    def _pairs(self, split: str, texts: Sequence[Text]) -> list[Example]:
        found, cut = [], 0
        for source, target in texts:
            ours, theirs = self._ids(text=source), [self.start, *self._ids(text_target=target)]
            cut += max(len(ours), len(theirs)) > self.longest
            found.append({"tokens": torch.tensor(theirs[: self.longest]), "source": torch.tensor(ours[: self.longest])})
        self.report[f"{split}/cut"] = cut
        return found

    def _ids(self, **text: str) -> list[int]:
        # A whole file is longer than any model: it is cut below.
        ids: list[int] = self.tokenizer(**text, verbose=False)["input_ids"]
        return ids


def learnt_tokenizer(texts: Sequence[str], pieces: int, paired: bool) -> Any:
    """Byte pairs, a space before every word; a source and a target end in ``<end>`` (Sennrich et al., 2016).

    Args:
        texts: to learn from.
        pieces: size of the vocabulary.
        paired: whether texts are sources and targets.
    """
    tokenizers, transformers = require("tokenizers", extra="text"), require("transformers", extra="text")
    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    learner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    learner.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=pieces, special_tokens=[PAD, END], initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    if paired:
        learner.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"$A {END}", special_tokens=[(END, learner.token_to_id(END))]
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=learner, eos_token=END, pad_token=PAD)


def _collate(rows: Sequence[Example]) -> dict[str, Tensor]:
    """Rows filled up to the longest, and their lengths."""
    batch = {}
    for name, length in (("tokens", "length"), ("source", "source_length")):
        if name in rows[0]:
            batch[name] = pad_sequence([row[name] for row in rows], batch_first=True)
            batch[length] = torch.tensor([row[name].shape[0] for row in rows])
    return batch
