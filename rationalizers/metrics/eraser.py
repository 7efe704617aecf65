"""All numbers of ERASER over arrays (DeYoung et al., 2020, https://arxiv.org/abs/1911.03429).

``parity="eraser"`` gives what the script of the benchmark gives, quirks included; the default is what we think is meant. Where
they differ, and by how much, is in docs/eraser.md. A key is a pair of an annotation and a document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rationalizers.metrics.areas import areas
from rationalizers.metrics.averages import macro, macro_of_means, micro, named, ratio, sums
from rationalizers.metrics.faithfulness import SIDES, Faithfulness, flip_fraction
from rationalizers.metrics.spans import count, covered, distinct, met, paired, shared
from rationalizers.segment import lengths

PARITY = ("eraser",)


def check_parity(parity: str | None) -> None:
    """Raise unless ``parity`` is ``None``, which means our definitions, or a known other."""
    if parity is not None and parity not in PARITY:
        raise ValueError(f"'parity' must be None (ours) or one of {', '.join(PARITY)}; got {parity!r}")


def check_thresholds(thresholds: Sequence[float]) -> None:
    """Raise unless all τ lie in (0, 1]."""
    if not all(0 < threshold <= 1 for threshold in thresholds):
        raise ValueError(f"'thresholds' must lie in (0, 1], got {list(thresholds)}")


@dataclass(frozen=True)
class Hard:
    """Predicted and human spans of K keys.

    Args:
        predicted: int64 ``[P, 3]`` = key, start, end, with the end exclusive, counted in tokens of the document.
        gold: ``[G, 3]`` likewise; groups do not matter, and a span of several counts once.
        scored: the key has a prediction, be it of no span, ``[K]`` bool.
        annotated: the key has evidence ``[K]`` bool.

    Raises:
        TypeError: a dtype that is not int64 or bool.
        ValueError: shapes that do not fit, a key that is not there, a span that begins before 0 or ends before it begins, gold
            spans of a key that is not annotated, or predicted ones of a key that is not scored.
    """

    predicted: Tensor
    gold: Tensor
    scored: Tensor
    annotated: Tensor

    def __post_init__(self) -> None:
        keys = self.scored.shape[0]
        for name, flags in (("scored", self.scored), ("annotated", self.annotated)):
            if flags.dtype != torch.bool:
                raise TypeError(f"{name!r} must be bool, got {flags.dtype}")
            if flags.shape != (keys,):
                raise ValueError(f"'scored' and 'annotated' must both be [K], got {keys} and {tuple(flags.shape)}")
        for name, spans, flagged, flags in (
            ("predicted", self.predicted, "scored", self.scored),
            ("gold", self.gold, "annotated", self.annotated),
        ):
            if spans.dtype != torch.int64:
                raise TypeError(f"{name!r} must be int64, got {spans.dtype}")
            if spans.dim() != 2 or spans.shape[1] != 3:
                raise ValueError(f"{name!r} must be [S, 3] = key, start, end; got {tuple(spans.shape)}")
            key, start, end = spans.unbind(1)
            wrong = (key < 0) | (key >= keys) | (start < 0) | (end < start)
            if bool(wrong.any()):
                row = int(wrong.nonzero()[0])
                raise ValueError(
                    f"{name!r} must hold keys below K={keys} and 0 ≤ start ≤ end, got {spans[row].tolist()} in row {row}"
                )
            if not bool(flags[key].all()):
                raise ValueError(f"{name!r} has spans of key {int(key[~flags[key]][0])}, for which {flagged!r} is false")


def hard_scores(
    hard: Hard,
    *,
    thresholds: Sequence[float] = (0.5,),
    parity: str | None = None,
    one_to_one: bool | None = None,
) -> dict[str, float]:
    """Agreement of predicted with human spans: exact, in tokens, and by intersection over union.

    By default keys without evidence are left out, a key without a prediction has precision and recall 0, and empty spans are
    nothing. IoU precision is the share of predicted spans, IoU recall the share of human spans, that meet one of the other side.
    Macro F1 is the mean over keys for tokens, and the F1 of mean precision and mean recall for spans, exact ones included.

    With ``parity="eraser"``, a key counts if it has a predicted or human span; IoU recall counts predicted spans, too, and can
    exceed 1; IoU precision is averaged over keys with predicted spans and IoU recall over keys with human ones; exact macro F1 is
    a mean over keys.

    Args:
        hard: the spans.
        thresholds: τ of the intersection over union, in (0, 1].
        parity: ``None`` or one of `PARITY`.
        one_to_one: let a span meet one span at most, so as to have as many pairs as possible; needs SciPy. ``None`` is no.

    Returns:
        ``exact_``, ``token_`` and for every τ ``iou_`` with ``precision``, ``recall`` and ``f1``, micro (``iou_f1@0.5``) and
        macro (``exact_f1_macro``, ``iou_f1_macro@0.5``); zero where nothing can be divided by. Then how many ``keys`` count, and
        how many are ``keys_without_evidence`` and ``keys_without_prediction``.

    Raises:
        ValueError: a threshold outside (0, 1], or an unknown ``parity``.
        ImportError: ``one_to_one`` without SciPy.
    """
    check_parity(parity)
    check_thresholds(thresholds)
    keys = hard.scored.shape[0]
    predicted, gold = distinct(hard.predicted), distinct(hard.gold)
    if parity is None:
        predicted, gold = (spans[spans[:, 2] > spans[:, 1]] for spans in (predicted, gold))
    has_predicted, has_gold = (count(spans, keys) > 0 for spans in (predicted, gold))
    counts = has_predicted | has_gold if parity else has_gold
    predicted = predicted[counts[predicted[:, 0]]]
    width = torch.cat([predicted[:, 2], gold[:, 2], gold.new_ones(1)]).max()
    ptr = torch.arange(keys + 1, device=gold.device) * width

    (a, b), both = (count(spans, keys) for spans in (predicted, gold)), shared(predicted, gold, keys)
    exact = sums(both, a, both, b, precise=counts, recalled=counts)
    c, d, union = (covered(spans, ptr) for spans in (predicted, gold, torch.cat([predicted, gold])))
    some = (union > 0) if parity else counts  # a key of empty spans has no token
    tokens = sums(c + d - union, c, c + d - union, d, precise=some, recalled=some)
    limits = torch.tensor(thresholds, dtype=torch.float64, device=gold.device)
    if one_to_one:
        hits = found = paired(predicted, gold, ptr, limits)
    else:
        hits, found = met(predicted, gold, ptr, limits)
        found = hits if parity else found
    precise, recalled = (has_predicted, has_gold) if parity else (counts, counts)
    iou = sums(hits, a[:, None].expand_as(hits), found, b[:, None].expand_as(hits), precise=precise, recalled=recalled)

    numbers = named("exact", micro(exact)) | named("token", micro(tokens))
    numbers |= named("exact", macro(exact) if parity else macro_of_means(exact), suffix="_macro")
    numbers |= named("token", macro(tokens), suffix="_macro")
    for threshold, *values in zip(thresholds, *micro(iou), *macro_of_means(iou), strict=True):
        p, r, f, *means = values
        numbers |= named("iou", (p, r, f), suffix=f"@{threshold:g}")
        numbers |= named("iou", (means[0], means[1], means[2]), suffix=f"_macro@{threshold:g}")
    numbers["keys"] = counts.sum()
    numbers["keys_without_evidence"] = (~hard.annotated).sum()
    numbers["keys_without_prediction"] = (~hard.scored).sum()
    return {name: float(value) for name, value in numbers.items()}


def soft_scores(
    scores: Tensor, truth: Tensor, ptr: Tensor, *, parity: str | None = None, prefix: str = "token"
) -> dict[str, float]:
    """How well scores rank the evidence of each document, means over documents; of tokens, or of sentences.

    By default documents with one kind of unit alone are left out, and ``auprc`` is the average precision. With
    ``parity="eraser"``, ``auprc`` is the trapezoidal area and counts such documents (one half without evidence, 1 with nothing
    else); the other two leave them out.

    Args:
        scores: of all units ``[N]``, larger is more important.
        truth: evidence ``[N]`` bool.
        ptr: offsets of the documents ``[D+1]``.
        parity: ``None`` or one of `PARITY`.
        prefix: what the units are, for the names of the numbers.

    Returns:
        ``<prefix>_auprc``, ``<prefix>_average_precision`` and ``<prefix>_roc_auc``, zero without a document that counts;
        ``<prefix>_documents``, how many have both kinds of unit, and ``<prefix>_documents_skipped``, how many have not.

    Raises:
        ValueError: an unknown ``parity``, shapes that do not fit, or a score that is not a number.
    """
    check_parity(parity)
    if scores.dim() != 1 or truth.shape != scores.shape or int(ptr[-1]) != scores.shape[0]:
        raise ValueError(
            f"'scores' and 'truth' must both be [N={int(ptr[-1])}], as 'ptr' has it; got {list(scores.shape)} and "
            f"{list(truth.shape)}"
        )
    if bool(scores.isnan().any()):
        unit = int(scores.isnan().nonzero()[0])
        document = int(torch.searchsorted(ptr, unit, right=True)) - 1
        raise ValueError(f"'scores' must be numbers, got NaN at unit {unit - int(ptr[document])} of document {document}")
    found = areas(scores, truth, ptr)
    mixed = (found.positive > 0) & (found.negative > 0)
    some = lengths(ptr) > 0

    def mean(area: Tensor, counts: Tensor) -> Tensor:
        return ratio(area[counts].sum(), counts.sum().double())

    numbers = {
        "auprc": mean(found.trapezoid, some) if parity else mean(found.average_precision, mixed),
        "average_precision": mean(found.average_precision, mixed),
        "roc_auc": mean(found.roc_auc, mixed),
        "documents": mixed.sum(),
        "documents_skipped": (~mixed).sum(),
    }
    return {f"{prefix}_{name}": float(value) for name, value in numbers.items()}


def classification_scores(predicted: Tensor, gold: Tensor, labels: Sequence[str]) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 of every class, macro and weighted by its examples: scikit-learn's definitions.

    Args:
        predicted: classes ``[B]`` int64.
        gold: classes ``[B]`` int64.
        labels: names of the classes; the macro average is over all of them, in whatever order.

    Returns:
        ``accuracy``; ``macro_`` and ``weighted_`` with ``precision``, ``recall`` and ``f1``; and for every class
        ``class/<label>/precision``, ``…/recall``, ``…/f1`` and ``…/support``. Zero where nothing can be divided by.

    Raises:
        ValueError: labels that are not different, shapes that do not fit, or a class without a label.
    """
    c = len(labels)
    if c == 0 or len(set(labels)) != c:
        raise ValueError(f"'labels' must be different class names, at least one, got {list(labels)}")
    if predicted.dim() != 1 or predicted.shape != gold.shape:
        raise ValueError(f"'predicted' and 'gold' must both be [B], got {tuple(predicted.shape)} and {tuple(gold.shape)}")
    for name, classes in (("predicted", predicted), ("gold", gold)):
        if bool(((classes < 0) | (classes >= c)).any()):
            raise ValueError(f"{name!r} must be classes below {c}, as many as 'labels'; got {sorted(set(classes.tolist()))}")
    table = torch.bincount(gold * c + predicted, minlength=c * c).view(c, c).double()  # [gold, predicted]
    support, hits = table.sum(1), table.diagonal()
    precision, recall = ratio(hits, table.sum(0)), ratio(hits, support)
    each = torch.stack([precision, recall, ratio(2 * hits, table.sum(0) + support)])  # [3, C]
    kinds = ("precision", "recall", "f1")
    numbers = {"accuracy": ratio(hits.sum(), support.sum())}
    numbers |= {f"macro_{kind}": values.mean() for kind, values in zip(kinds, each, strict=True)}
    numbers |= {f"weighted_{kind}": ratio(values @ support, support.sum()) for kind, values in zip(kinds, each, strict=True)}
    for label, values, examples in zip(labels, each.T, support, strict=True):
        numbers |= {f"class/{label}/{kind}": value for kind, value in zip(kinds, values, strict=True)}
        numbers[f"class/{label}/support"] = examples
    return {name: float(value) for name, value in numbers.items()}


def faithfulness_scores(
    whole: Tensor,
    without: Tensor | None,
    alone: Tensor | None,
    *,
    predicted: Tensor | None,
    without_at: Tensor | None = None,
    alone_at: Tensor | None = None,
    thresholds: Sequence[float] | None = None,
    flips: Tensor | None = None,
    lengths: Tensor | None = None,
    parity: str | None = None,
) -> dict[str, float]:
    """What `Faithfulness` computes of all examples at once, and the mean share of tokens that had to go, where it is known.

    Args:
        whole: probabilities on the whole input ``[B, C]``.
        without: without the rationale ``[B, C]``; ``None`` where unknown, and then nothing is told of comprehensiveness.
        alone: with the rationale alone ``[B, C]``; ``None`` where unknown, and then nothing is told of sufficiency.
        predicted: ŷ ``[B]`` int64; ``None`` is the most probable class on the whole input.
        without_at: without rationales of several sizes ``[F, B, C]``.
        alone_at: with those alone ``[F, B, C]``.
        thresholds: these sizes, F shares of the tokens.
        flips: tokens that had to go until the prediction changed ``[B]``.
        lengths: tokens of the documents of each example ``[B]``, which ``flips`` needs.
        parity: with ``eraser``, ``tokens_to_flip`` is not told: the script computes it and forgets to return it.

    Returns:
        the numbers of `Faithfulness`, and ``tokens_to_flip``.

    Raises:
        ValueError: what `Faithfulness` and `flip_fraction` refuse, an unknown ``parity``, or ``flips`` without ``lengths``.
    """
    check_parity(parity)
    if (flips is None) != (lengths is None):
        raise ValueError("'flips' and 'lengths' go together: a count of tokens is told as a share of the document; give both")
    metric = Faithfulness(thresholds).to(whole.device)
    given = dict(zip(SIDES, (without, alone), strict=True))
    parts = [whole if part is None else part for part in given.values()]
    metric.update(whole, *parts, without_at=without_at, alone_at=alone_at, predicted=predicted)
    unknown = tuple(side for side, part in given.items() if part is None)
    numbers = {name: value for name, value in metric.compute().items() if not name.startswith(unknown)}
    if flips is not None and lengths is not None and parity is None:
        numbers["tokens_to_flip"] = flip_fraction(flips, lengths).mean()
    return {name: float(value) for name, value in numbers.items()}
