"""Word pieces as units, with the tokenizer of a pretrained encoder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rationalizers.data.document import Document
from rationalizers.data.text import SEPARATOR, Layout, TextFeaturizer
from rationalizers.encoders.sources import pretrained_folder
from rationalizers.extras import require
from rationalizers.parsing import read_json
from rationalizers.segment import offsets

TOKENIZER, ARCHITECTURE = "tokenizer", "architecture.json"
# Where an encoder came from, what it was stored in and what it once predicted say nothing about how to build it.
_LEFT_OUT = frozenset({"auto_map", "dtype", "id2label", "label2id", "torch_dtype", "transformers_version"})


class PieceFeaturizer(TextFeaturizer):
    """One unit per word piece of a Hugging Face tokenizer.

    An example is ``[CLS] document [SEP]``, or ``[CLS] query [SEP] document [SEP]``, with whatever signs the tokenizer uses for
    these. They and the query are fixed. Every word is cut into pieces on its own, as the tokenizer does with text that is split
    into words already; one that yields no piece is the unknown token. Text never becomes a special token: a document's word
    ``[MASK]`` is spelled out like any other (``split_special_tokens`` of the tokenizer), so that nobody can write one. A document
    that comes already cut (`Document.pieces`) keeps its pieces.

    Making one reads nothing: the tokenizer comes with `fit` or `load`.

    Args:
        pretrained: whose tokenizer and architecture `fit` takes: a name on the Hugging Face hub, a folder, or
            ``package://package/folder`` (see `rationalizers.encoders.sources`).
        max_pieces: units of an example, the query and special tokens among them; the rest of the document is cut off with its
            evidence, within a word if need be. ``None`` keeps all.
        max_words: document words that a model gets to see; ``None`` keeps all.

    Raises:
        ValueError: a count below 1, or no room for ``[CLS]``, one piece and ``[SEP]``.
    """

    def __init__(self, *, pretrained: str, max_pieces: int | None = None, max_words: int | None = None) -> None:
        super().__init__(max_words=max_words)
        if max_pieces is not None and max_pieces < 3:
            raise ValueError(f"'max_pieces' must be at least 3, which [CLS], one piece and [SEP] need; got {max_pieces}")
        self.pretrained, self.max_pieces = pretrained, max_pieces
        self.vocabulary = ()
        self._tokenizer: Any = None
        self._architecture: dict[str, Any] = {}
        self._pieces: dict[str, tuple[int, ...]] = {}
        self._in_text: frozenset[int] = frozenset()

    def fit(self, documents: Iterable[Document]) -> None:
        """Read tokenizer and architecture of the pretrained encoder, and cut the words of the training split.

        Raises:
            ImportError: transformers is not installed.
            ValueError: a tokenizer that cannot be used here.
        """
        transformers = require("transformers", extra="text")
        folder, safe = str(pretrained_folder(self.pretrained)), {"local_files_only": True, "trust_remote_code": False}
        # Byte-level tokenizers mark the beginning of a word by a space; others have no use for this.
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, add_prefix_space=True, **safe)
        if not tokenizer.is_fast:
            raise ValueError(f"{self.pretrained}: {type(tokenizer).__name__} is no fast tokenizer, which a tokenizer.json makes")
        split = tokenizer.backend_tokenizer.pre_tokenizer
        if hasattr(split, "add_prefix_space"):
            split.add_prefix_space = True  # those read from tokenizer.json do not listen to the argument
        described = transformers.AutoConfig.from_pretrained(folder, **safe).to_dict()
        self._adopt(tokenizer, json.loads(json.dumps(_reduced(described))), place=self.pretrained)
        self._cut({word for document in documents for word in (*document.query, *document.words)})

    def facts(self) -> dict[str, Any]:
        """``vocabulary`` (rows of the embedding table), ``mask_id`` and ``architecture`` (of the encoder, plain JSON).

        Raises:
            ValueError: neither fitted nor loaded.
        """
        return {
            "vocabulary": len(self.vocabulary),
            "mask_id": self._ready().mask_token_id,
            "architecture": self._architecture,
        }

    def layout(self, document: Document) -> Layout:
        """Special tokens, query and document, one unit per piece.

        Raises:
            ValueError: query and special tokens leave no room for the document; or it comes with pieces that no text has.
        """
        tokenizer = self._ready()
        lead = (*document.query, SEPARATOR) if document.query else ()
        query, asked = _placed(self._cut(document.query))
        before, places = [tokenizer.cls_token_id, *query], [-1, *asked]
        if lead:
            before, places = [*before, tokenizer.sep_token_id], [*places, -1]
        room = None if self.max_pieces is None else self.max_pieces - len(before) - 1
        if room is not None and room < 1:
            raise ValueError(
                f"document {document.id!r}: its query and special tokens are {len(before) + 1} units, which leaves no room for "
                f"the document in max_pieces={self.max_pieces}"
            )
        # Every word is one piece at least.
        words = self._given(document)[:room] if document.pieces else self._cut(document.words[:room])
        pieces, word = (each[:room] for each in _placed(words, first=len(lead)))
        return Layout(
            units=torch.tensor([*before, *pieces, tokenizer.sep_token_id]),
            word=torch.tensor([*places, *word, -1]),
            inside=(len(before), len(before) + len(pieces)),
            lead=lead,
        )

    def units_of(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The pieces of each word."""
        pieces = self._cut(words)
        units = torch.tensor(list(chain.from_iterable(pieces)), dtype=torch.long)
        return units, offsets(torch.tensor([len(each) for each in pieces], dtype=torch.long))

    def save(self, folder: Path) -> None:
        """Write ``tokenizer/`` and ``architecture.json``."""
        self._ready().save_pretrained(str(folder / TOKENIZER))
        (folder / ARCHITECTURE).write_text(json.dumps(self._architecture, indent=2, sort_keys=True), "utf-8")

    def load(self, folder: Path) -> None:
        """Read ``tokenizer/`` and ``architecture.json``; nothing else is looked at, and nothing there is run.

        Raises:
            FileNotFoundError: one of their files is missing.
            ValueError: a file does not hold what it should.
            ImportError: transformers is not installed.
        """
        folder = folder.resolve()
        architecture = _read(folder / ARCHITECTURE)
        for name, kind in (("model_type", str), ("vocab_size", int)):
            if not isinstance(architecture.get(name), kind):
                got = architecture.get(name)
                raise ValueError(f"{folder / ARCHITECTURE}: expected {name!r} to be of type {kind.__name__}, got {got!r}")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            _read(folder / TOKENIZER / name)
        transformers = require("transformers", extra="text")
        # This class takes tokenizer.json as it is; which class tokenizer_config.json asks for does not matter.
        reader = transformers.PreTrainedTokenizerFast
        try:
            tokenizer = reader.from_pretrained(str(folder / TOKENIZER), local_files_only=True, trust_remote_code=False)
        except Exception as error:  # the library for tokenizers raises nothing more precise
            raise ValueError(f"{folder / TOKENIZER / 'tokenizer.json'} does not hold a tokenizer: {error}") from error
        self._adopt(tokenizer, architecture, place=str(folder / TOKENIZER))

    def _adopt(self, tokenizer: Any, architecture: dict[str, Any], *, place: str) -> None:
        missing = [name for name in ("cls", "sep", "mask", "unk") if getattr(tokenizer, f"{name}_token_id") is None]
        if missing:
            raise ValueError(
                f"{place}: the tokenizer has no {', '.join(f'{name}_token' for name in missing)}, all of which are needed"
            )
        rows, tokens = architecture["vocab_size"], tokenizer.get_vocab()
        if max(tokens.values()) >= rows:
            raise ValueError(f"{place}: the tokenizer has ids up to {max(tokens.values())}, the encoder {rows} rows")
        names = [""] * rows  # a table may have more rows than there are tokens
        for token, row in tokens.items():
            names[row] = token
        self.vocabulary, self._tokenizer, self._architecture, self._pieces = tuple(names), tokenizer, architecture, {}
        self._in_text = frozenset(tokens.values()) - (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})

    def _ready(self) -> Any:
        if self._tokenizer is None:
            raise ValueError("there is no tokenizer yet; call 'fit' or 'load' first")
        return self._tokenizer

    def _given(self, document: Document) -> Sequence[tuple[int, ...]]:
        """The pieces that a document comes with, none of them one that no text has."""
        if foreign := set(chain.from_iterable(document.pieces)) - self._in_text:
            place = next(place for place, pieces in enumerate(document.pieces) if not foreign.isdisjoint(pieces))
            raise ValueError(
                f"document {document.id!r}: the pieces of word {place} ({document.words[place]!r}) should be ids of the "
                f"tokenizer other than special tokens, below {len(self.vocabulary)}; got {list(document.pieces[place])}. "
                f"Give those of the tokenizer of {self.pretrained}, or none at all"
            )
        return document.pieces

    def _cut(self, words: Iterable[str]) -> list[tuple[int, ...]]:
        """Pieces of each word; every word type is cut once."""
        words = list(words)
        if unseen := [word for word in dict.fromkeys(words) if word not in self._pieces]:
            tokenizer = self._ready()
            cut = tokenizer(
                [[word] for word in unseen],
                is_split_into_words=True,
                add_special_tokens=False,
                split_special_tokens=True,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
            for word, pieces in zip(unseen, cut["input_ids"], strict=True):
                self._pieces[word] = tuple(pieces) or (tokenizer.unk_token_id,)
        return [self._pieces[word] for word in words]


def _placed(pieces: Sequence[Sequence[int]], *, first: int = 0) -> tuple[list[int], list[int]]:
    """Pieces of words one after the other, and the place of each one's word, counted from ``first``."""
    return list(chain.from_iterable(pieces)), [place for place, each in enumerate(pieces, start=first) for _ in each]


def _reduced(described: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what is private, personal or a pointer to code."""
    return {
        name: _reduced(value) if isinstance(value, dict) else value
        for name, value in described.items()
        if isinstance(name, str) and not name.startswith("_") and name not in _LEFT_OUT
    }


def _read(file: Path) -> dict[str, Any]:
    """The JSON object of a file."""
    found = read_json(file, problem="expected a JSON object", remedy="copy it again")
    if not isinstance(found, dict):
        raise ValueError(f"{file}: expected a JSON object, got {type(found).__name__}")
    return found
