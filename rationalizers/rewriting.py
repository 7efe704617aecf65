"""Rewriting whole words of a packed batch: each is replaced by another, whose number of units may differ."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from rationalizers.batch import Batch, Packed
from rationalizers.segment import lengths, offsets, segment_groups


@dataclass(frozen=True)
class Replacements:
    """The words that may take another's place: how likely each is drawn, and its units.

    Args:
        probability: of each word ``[V]``, sums to 1.
        units: ids of all words, one word after the other, ``[M]``.
        ptr: offsets ``[V+1]`` of the words, at least one unit each.

    Raises:
        ValueError: shapes that do not fit each other, or no distribution.
    """

    probability: Tensor
    units: Tensor
    ptr: Tensor

    def __post_init__(self) -> None:
        v = self.probability.shape[0] if self.probability.dim() == 1 else 0
        if v == 0 or self.units.dim() != 1 or self.ptr.shape != (v + 1,):
            raise ValueError(
                f"'probability', 'units' and 'ptr' must be [V], [M] and [V + 1] with V of at least 1; got "
                f"{tuple(self.probability.shape)}, {tuple(self.units.shape)} and {tuple(self.ptr.shape)}"
            )
        # Tables are made on the CPU; looking at the values elsewhere would wait for the device.
        if not self.ptr.is_cpu:
            return
        if int(self.ptr[0]) != 0 or int(self.ptr[-1]) != self.units.shape[0] or bool((lengths(self.ptr) < 1).any()):
            raise ValueError(f"'ptr' must rise from 0 to M={self.units.shape[0]}, with at least one unit for every word")
        total = float(self.probability.double().sum())
        if bool((self.probability < 0).any()) or not abs(total - 1) < 1e-4:
            raise ValueError(f"'probability' must be at least 0 everywhere and sum to 1; it sums to {total:.6g}")

    def to(self, device: Any) -> Replacements:
        """The same table on another device."""
        return Replacements(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})


def whole_words(mask: Tensor, batch: Batch) -> Tensor:
    """Every unit of each word of which a unit is selected; fixed units never are.

    Args:
        mask: bool, or selected above one half, ``[N]``.
        batch: with the field ``word``.

    Returns:
        bool ``[N]``.

    Raises:
        ValueError: the batch does not say which units are one word, or the mask does not fit it.
    """
    owner, _ = _runs(batch)
    if mask.shape != owner.shape:
        raise ValueError(f"'mask' must be [N] = [{owner.shape[0]}], got {tuple(mask.shape)}")
    chosen = (mask > 0.5) & ~batch.fixed
    # There are at most as many words as units.
    return (torch.zeros_like(owner).index_add(0, owner, chosen.long())[owner] > 0) & ~batch.fixed


def replace_words(batch: Packed, words: Tensor, new: Tensor, table: Replacements) -> tuple[Packed, Tensor]:
    """The batch in which some words are replaced by others.

    The units of a replacement take the fields of the first unit that they stand for. Positions are counted anew. An evidence
    span that reaches into a replaced word covers all of the word that took its place. The words for display, ``batch.words``,
    stay those of the original. The number of units is known only after looking at the lengths, so this waits for the device.

    Args:
        batch: with the field ``word``.
        words: which words, as numbered over the batch by `rationalizers.segment.segment_groups` of that field, each once,
            ``[R]``.
        new: the row of ``table`` that replaces each, ``[R]``.
        table: the words to replace them by.

    Returns:
        the batch of N′ units, and ``origin [N′]``, the old unit that each stands for; ``mask[origin]`` fits the new batch.

    Raises:
        ValueError: no field ``word``; ``words`` and ``new`` do not fit each other; or, on the CPU, a number outside of its
            range, a word named twice, or a fixed one.
    """
    owner, runs = _runs(batch)
    if words.dim() != 1 or words.shape != new.shape or words.dtype != torch.long or new.dtype != torch.long:
        raise ValueError(
            f"'words' and 'new' must be whole numbers (int64) [R], got {words.dtype} {tuple(words.shape)} and {new.dtype} "
            f"{tuple(new.shape)}"
        )
    count = int(runs[-1])
    size = torch.bincount(owner, minlength=count)  # [G], units of each word
    first = offsets(size)  # [G+1]
    if words.is_cpu:
        _check(words, new, fixed=batch.fixed[first[:-1]], rows=table.probability.shape[0])

    row = torch.full_like(size, -1).index_copy(0, words, new)  # [G], −1 where a word stays
    begin = offsets(size.index_copy(0, words, lengths(table.ptr)[new]))  # [G+1], where each word begins now
    word = torch.repeat_interleave(lengths(begin))  # [N′]
    place = torch.arange(word.shape[0], device=word.device) - begin[word]
    replaced = row[word] >= 0
    origin = first[word] + place.masked_fill(replaced, 0)
    units = batch.units[origin]
    units[replaced] = table.units[table.ptr[row[word[replaced]]] + place[replaced]]
    ptr = begin[runs]

    example, start, end, group = batch.spans.unbind(1)
    start, last = batch.ptr[example] + start, batch.ptr[example] + end - 1
    head, tail = owner[start], owner[last]  # the words in which a span begins and ends
    start = begin[head] + (start - first[head]).masked_fill(row[head] >= 0, 0)
    end = torch.where(row[tail] >= 0, begin[tail + 1], begin[tail] + last - first[tail] + 1)
    rewritten = replace(
        batch,
        units=units,
        ptr=ptr,
        position=None,  # type: ignore[arg-type]
        fixed=batch.fixed[origin],
        fields={name: values[origin] for name, values in batch.fields.items()},
        spans=torch.stack([example, start - ptr[example], end - ptr[example], group], dim=1),
    )
    return rewritten, origin


def _runs(batch: Batch) -> tuple[Tensor, Tensor]:
    """The word of each unit ``[N]``, counted over the batch, and the offsets of each example's words ``[B+1]``."""
    if "word" not in batch.fields:
        raise ValueError(f"words need batch.fields['word']; this batch has {', '.join(sorted(batch.fields)) or 'none'}")
    return segment_groups(batch.fields["word"], batch.ptr)


def _check(words: Tensor, new: Tensor, *, fixed: Tensor, rows: int) -> None:
    """Raise where a number is out of its range, a word is named twice, or it is a fixed one."""
    for name, values, size in (("words", words, fixed.shape[0]), ("new", new, rows)):
        if bool(((values < 0) | (values >= size)).any()):
            raise ValueError(f"{name!r} must lie in [0, {size}), got {int(values.min())} to {int(values.max())}")
    if torch.unique(words).numel() != words.numel():
        raise ValueError("'words' names a word twice")
    if bool(fixed[words].any()):
        raise ValueError(f"fixed words are never replaced; 'words' names {words[fixed[words]].tolist()}")
