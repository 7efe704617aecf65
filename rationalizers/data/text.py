"""What featurizers of text share: documents and strings on the way in, explanations in words on the way out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from rationalizers.base import Output
from rationalizers.batch import Batch, Packed
from rationalizers.data.document import Document
from rationalizers.explanation import TextExplanation
from rationalizers.featurizer import Explanation, Featurizer
from rationalizers.levels import group
from rationalizers.rewording import Reworded, reword
from rationalizers.segment import offsets, owners, segment_runs
from rationalizers.task import Task

# Shown between a query and its document, whatever the unit that stands for it.
SEPARATOR = "<sep>"

# Fields that `TextFeaturizer.encode` makes from a document.
_MADE_ANEW = frozenset({"evidence", "segment", "word", "sentences_cut"})

# A word keeps an inner apostrophe or hyphenless letters; every other sign stands alone.
_WORD = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]")
_END = frozenset(".!?…")


@dataclass(frozen=True)
class Layout:
    """The units of one example in order, before its document's facts are laid on them.

    Args:
        units: ids ``[N]``.
        word: place of each unit's word in ``(*lead, *document.words)``, −1 for special tokens, ``[N]``.
        inside: where the document's units begin and end, half-open; every other unit is fixed.
        lead: words shown before those of the document: the query and `SEPARATOR`, or none.
    """

    units: Tensor
    word: Tensor
    inside: tuple[int, int]
    lead: tuple[str, ...] = ()


class TextFeaturizer(Featurizer, ABC):
    """Words, or pieces of words, as units; what comes in as words is explained in words.

    The words of an example, ``batch.words[b]``, are the query, `SEPARATOR` and the document as far as a model gets to see it
    (the document alone where there is no query). ``fields["word"]`` points each unit into them, −1 for special tokens. Units
    of the query and special tokens are fixed; all others belong to the document and carry the facts of their word.

    Documents come with their own words; plain strings are split into words and single signs, and into sentences after
    ``.``, ``!``, ``?`` and ``…``.

    Args:
        max_words: document words that a model gets to see, the rest is cut off with its evidence; ``None`` keeps all.

    Raises:
        ValueError: a count below 1.
    """

    def __init__(self, *, max_words: int | None = None) -> None:
        if max_words is not None and max_words < 1:
            raise ValueError(f"'max_words' must be at least 1, got {max_words}")
        self.max_words = max_words

    @abstractmethod
    def fit(self, documents: Sequence[Document]) -> None:
        """Learn from the training split what units there are."""

    @abstractmethod
    def layout(self, document: Document) -> Layout:
        """The units of a document whose words are already cut to `max_words`."""

    @abstractmethod
    def units_of(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The units of words outside any document.

        Args:
            words: V of them.

        Returns:
            ``units [M]`` one word after the other, at least one for each, and the offsets of the words ``[V+1]``.
        """

    def encode(self, document: Document, *, index: int = 0, target: int | None = None, labelled: bool = False) -> Packed:
        """One document as a batch of one.

        Its ``fields`` are ``evidence``, ``segment`` (1 in the document, 0 around it), ``word`` and the document's own: there,
        fixed units are −1, or 0.0 where values are not whole. With ``sentence`` comes ``sentences_cut``, on every unit the
        number of sentences of which nothing is left.

        Args:
            document: with at least one word.
            index: its row in the split.
            target: its class.
            labelled: its evidence may be trained on.

        Raises:
            ValueError: the document has no words, or none of them fits.
        """
        if not document.words:
            raise ValueError(f"document {document.id!r} has no words; every example needs at least one")
        words, pieces = document.words[: self.max_words], document.pieces[: self.max_words]
        layout = self.layout(replace(document, words=words, spans=(), fields={}, pieces=pieces))
        n, (first, last), lead = layout.units.shape[0], layout.inside, len(layout.lead)
        word = layout.word[first:last] - lead
        shown = int(word[-1]) + 1

        # Every word has a unit and words rise, so that what is cut off ends where the units do.
        edges = torch.tensor([span[:2] for span in document.spans], dtype=torch.long).reshape(-1, 2)
        edges = first + torch.searchsorted(word, edges)
        spans = [
            (0, start, end, group)
            for (start, end), (*_, group) in zip(edges.tolist(), document.spans, strict=True)
            if start < end
        ]
        evidence = torch.zeros(n, dtype=torch.bool)
        for _, start, end, _ in spans:
            evidence[start:end] = True
        fixed = torch.ones(n, dtype=torch.bool)
        fixed[first:last] = False

        fields = {"evidence": evidence, "segment": (~fixed).long(), "word": layout.word}
        for name, each in document.fields.items():
            values = torch.as_tensor(each[:shown])
            values = values if values.is_floating_point() else values.long()
            fields[name] = values.new_full((n,), 0.0 if values.is_floating_point() else -1)
            fields[name][first:last] = values[word]
        if "sentence" in document.fields:
            sentences = document.fields["sentence"]
            fields["sentences_cut"] = torch.full((n,), len(set(sentences) - set(sentences[:shown])))
        return Packed(
            units=layout.units,
            ptr=torch.tensor([0, n]),
            y=None if target is None else torch.tensor([target]),
            fixed=fixed,
            fields=fields,
            labelled=torch.tensor([labelled and document.annotated]),
            annotated=torch.tensor([document.annotated]),
            spans=torch.tensor(spans, dtype=torch.long).reshape(-1, 4),
            index=torch.tensor([index]),
            words=((*layout.lead, *words[:shown]),),
            ids=(document.id,),
        )

    def batch(self, inputs: Sequence[str | Document], *, first: int = 0) -> Packed:
        """A batch from strings or documents, evidence unknown for strings."""
        documents = []
        for place, item in enumerate(inputs, start=first):
            if isinstance(item, str):
                words = tuple(_WORD.findall(item))
                item = Document(id=f"text-{place}", words=words, fields={"sentence": _sentences(words)}, annotated=False)
            if not isinstance(item, Document):
                raise TypeError(f"input {place} must be a string or a Document, got {type(item).__name__}")
            if not item.words:
                raise ValueError(f"input {place} ({item.id!r}) has no words; give a text with at least one")
            documents.append(item)
        # Documents may carry different fields; only what every one of them has can be packed.
        common = set.intersection(*(set(document.fields) for document in documents)) if documents else set()
        trimmed = [replace(each, fields={name: each.fields[name] for name in sorted(common)}) for each in documents]
        return Packed.collate([self.encode(document, index=place) for place, document in enumerate(trimmed)])

    def explain(self, batch: Batch, output: Output, task: Task) -> list[Explanation]:
        """One `TextExplanation` for each example, in words of its document as far as the model saw it.

        A word is selected, evidence or marked if any of its units is; its score is the largest of its units.
        """
        assert isinstance(batch, Packed)
        batch, rationale = batch.to("cpu"), output.rationale.detach()
        scores, selected = rationale.scores.cpu(), rationale.selected.cpu()
        probabilities = task.predict(output.logits.detach()).cpu()
        found: list[Explanation] = []
        for b, (start, end) in enumerate(pairwise(batch.ptr.tolist())):
            rows = torch.arange(start, end)
            rows = rows[~batch.fixed[start:end]]
            # The words before those of the document are the query and a separator.
            lead = int(batch.fields["word"][rows].min()) if rows.numel() else len(batch.words[b])
            tokens = batch.words[b][lead:]
            word = batch.fields["word"][start:end] - lead
            spans = batch.spans[batch.spans[:, 0] == b].tolist()
            score = torch.full((len(tokens),), -torch.inf, dtype=scores.dtype)
            marks = {}
            if "shortcut" in batch.fields:
                marks["shortcut"] = _intervals(_any_unit(batch.fields["shortcut"][rows] > 0, word[rows - start], len(tokens)))
            found.append(
                TextExplanation(
                    id=batch.ids[b],
                    tokens=tokens,
                    query=batch.words[b][: max(0, lead - 1)],
                    mask=tuple(_any_unit(selected[rows], word[rows - start], len(tokens)).tolist()),
                    scores=tuple(score.scatter_reduce(0, word[rows - start], scores[rows], "amax").tolist()),
                    probabilities=dict(zip(task.names, probabilities[b].tolist(), strict=True)),
                    label=None if batch.y is None else task.names[int(batch.y[b])],
                    evidence=tuple((int(word[s]), int(word[e - 1]) + 1, group) for _, s, e, group in spans)
                    if bool(batch.annotated[b])
                    else None,
                    marks=marks,
                )
            )
        return found

    def reworded(self, batch: Batch) -> Reworded:
        """The documents, as far as a model saw them, with every substitution of `rationalizers.rewording`; queries stay.

        Facts of words go along, evidence does not. Where a substitute has more pieces, the end may no longer fit.
        """
        assert isinstance(batch, Packed)
        batch = batch.to("cpu")
        documents, edits = [], []
        for b, (start, end) in enumerate(pairwise(batch.ptr.tolist())):
            rows = torch.arange(start, end)[~batch.fixed[start:end]]
            word = batch.fields["word"][rows]
            lead = int(word.min())
            words = batch.words[b][lead:]
            place = torch.zeros(len(words), dtype=torch.long)
            place[word - lead] = rows
            facts = {name: values[place].tolist() for name, values in batch.fields.items() if name not in _MADE_ANEW}
            said = reword(words)
            edits.append(sum(before != after for before, after in zip(words, said, strict=True)))
            query = batch.words[b][: max(0, lead - 1)]
            documents.append(Document(id=batch.ids[b], words=said, query=query, fields=facts, annotated=False))
        found = self.batch(documents)
        fields = dict(found.fields)
        if "sentences_cut" in batch.fields:
            # These documents are cut already: what they lost then counts on.
            before = batch.fields["sentences_cut"][batch.ptr[:-1]]
            fields["sentences_cut"] = fields["sentences_cut"] + before.repeat_interleave(found.ptr.diff())
        found = replace(found, index=batch.index, fields=fields)

        # Words of a batch are counted by its groups, which are words and what lies between them.
        first = offsets(torch.tensor([len(words) for words in batch.words]))
        old, new = (_word_of_groups(each, first) for each in (batch, found))
        group_of = torch.full((int(first[-1]) + 1,), -1)
        group_of[old] = torch.arange(old.shape[0])
        group_of[-1] = -1  # where all that is no word has come together
        return Reworded(batch=found, source=group_of[new], edits=torch.tensor(edits))


def _word_of_groups(batch: Packed, first: Tensor) -> Tensor:
    """The word of each group, counted over the batch from the ``first [B+1]`` of each example; ``first[-1]`` where it is none."""
    groups = group(batch, "word").batch
    word = batch.fields["word"][groups.units]
    return torch.where(word < 0, first[-1], first[owners(groups.ptr, word.shape[0])] + word)


def _sentences(words: Sequence[str]) -> tuple[int, ...]:
    """The sentence of each word; several signs that end one, as in ``?!``, end it together."""
    begins = [before in _END and word not in _END for before, word in pairwise(words)]
    return tuple(accumulate([0, *begins]))[: len(words)]


def _any_unit(units: Tensor, word: Tensor, count: int) -> Tensor:
    """Words ``[count]`` of which any unit is true, from ``units [N]`` and the word of each."""
    words = torch.zeros(count, dtype=torch.bool)
    words[word[units]] = True
    return words


def _intervals(mask: Tensor) -> tuple[tuple[int, int], ...]:
    runs = segment_runs(mask, torch.tensor([0, mask.shape[0]]))
    return tuple((start, end) for start, end in runs.tolist())
