"""Half-open intervals of units in several documents: which are the same, how much they cover, which overlap.

Everywhere, spans are int64 ``[S, 3]`` = document, start, end, with both counted from the start of the document, and ``ptr [D+1]``
holds offsets that put the documents on one line, where those of different documents cannot meet. Sorting takes the place of
comparing every span with every other: memory grows with the pairs that overlap.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.extras import require


def distinct(spans: Tensor) -> Tensor:
    """The different spans, sorted: ``[S, 3] → [S', 3]``."""
    rows, again = _sorted(spans)
    return rows[~again]


def on_line(spans: Tensor, ptr: Tensor) -> Tensor:
    """Start and end on the line of all documents: ``[S, 3] → [S, 2]``."""
    return spans[:, 1:] + ptr[spans[:, 0]][:, None]


def count(spans: Tensor, documents: int) -> Tensor:
    """Spans of each document, ``[D]`` in double precision."""
    return torch.bincount(spans[:, 0], minlength=documents).double()


def marked(spans: Tensor, ptr: Tensor) -> Tensor:
    """Units that lie in at least one span, ``[N]`` bool; spans must end within their document."""
    line = on_line(spans, ptr)
    steps = line.new_zeros(int(ptr[-1]) + 1)
    for end, step in ((0, 1), (1, -1)):
        steps.index_add_(0, line[:, end], line.new_tensor(step).expand(len(line)))
    return steps.cumsum(0)[:-1] > 0


def covered(spans: Tensor, ptr: Tensor) -> Tensor:
    """Units of each document that lie in at least one of its spans, ``[D]`` in double precision."""
    line = on_line(spans, ptr)
    order = torch.argsort(line[:, 0])
    start, end = line[order].unbind(1)
    reach = end.cummax(0).values if len(end) else end
    # What reaches beyond everything that began before.
    new = end - torch.maximum(start, torch.nn.functional.pad(reach, (1, 0))[:-1])
    return new.new_zeros(ptr.numel() - 1).index_add(0, spans[order, 0], new.clamp(min=0)).double()


def shared(left: Tensor, right: Tensor, documents: int) -> Tensor:
    """Spans of each document that are on both sides, ``[D]`` in double precision; on each, all differ."""
    rows, again = _sorted(torch.cat([left, right]))
    return count(rows[again], documents)


def overlaps(left: Tensor, right: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs with a unit in common: row on the left, row on the right, and intersection over union, ``[M]`` each."""
    ours, theirs = on_line(left, ptr), on_line(right, ptr)
    order = torch.argsort(theirs[:, 0])
    start, end = theirs[order].unbind(1)
    reach = end.cummax(0).values if len(end) else end
    # Of those sorted by their start: from the first that any one before reaches over, up to those that start too late.
    first = torch.searchsorted(reach, ours[:, 0].contiguous(), right=True)
    after = torch.searchsorted(start.contiguous(), ours[:, 1].contiguous())
    many = (after - first).clamp(min=0)
    i = torch.repeat_interleave(many)
    place = torch.arange(i.shape[0], device=i.device) - (many.cumsum(0) - many)[i]
    j = order[first[i] + place]
    both = torch.minimum(ours[i, 1], theirs[j, 1]) - torch.maximum(ours[i, 0], theirs[j, 0])
    some = both > 0
    i, j, both = i[some], j[some], both[some]
    size = (ours[:, 1] - ours[:, 0])[i] + (theirs[:, 1] - theirs[:, 0])[j]
    return i, j, both.double() / (size - both).double()


def best_iou(predicted: Tensor, gold: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Best intersection over union of every interval with the other side in the same example.

    Args:
        predicted: ``[P, 3]`` = example, start, end.
        gold: ``[G, 3]`` likewise.
        ptr: offsets ``[B+1]``.

    Returns:
        best IoU of each predicted interval ``[P]`` and of each gold interval ``[G]``; zero without a partner.
    """
    i, j, iou = overlaps(predicted, gold, ptr)
    left, right = (iou.new_zeros(len(spans)).scatter_reduce(0, k, iou, "amax") for k, spans in ((i, predicted), (j, gold)))
    return left, right


def met(predicted: Tensor, gold: Tensor, ptr: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor]:
    """How many predicted spans, and how many gold ones, overlap one of the other side with IoU ≥ τ: ``[D, T]`` each."""
    found = []
    for spans, best in zip((predicted, gold), best_iou(predicted, gold, ptr), strict=True):
        passes = (best[:, None] >= thresholds).double()
        found.append(passes.new_zeros(ptr.numel() - 1, len(thresholds)).index_add(0, spans[:, 0], passes))
    return found[0], found[1]


def paired(predicted: Tensor, gold: Tensor, ptr: Tensor, thresholds: Tensor) -> Tensor:
    """Largest number of pairs of a predicted and a gold span with IoU ≥ τ, each span in at most one: ``[D, T]``.

    Raises:
        ImportError: SciPy is not installed.
    """
    sparse, graphs = (require(f"scipy.sparse{part}", extra="report") for part in ("", ".csgraph"))
    i, j, iou = (x.cpu() for x in overlaps(predicted, gold, ptr))
    columns = []
    for threshold in thresholds.tolist():
        fits = iou >= threshold
        entries = (torch.ones(int(fits.sum())).numpy(), (i[fits].numpy(), j[fits].numpy()))
        graph = sparse.csr_matrix(entries, shape=(len(predicted), len(gold)))
        partner = torch.from_numpy(graphs.maximum_bipartite_matching(graph, perm_type="column")).to(predicted.device)
        columns.append(count(predicted[partner >= 0], ptr.numel() - 1))
    return torch.stack(columns, dim=1)


def _sorted(spans: Tensor) -> tuple[Tensor, Tensor]:
    """Spans by document, start and end ``[S, 3]``, and which equal the one before ``[S]`` bool."""
    # Two sorts: torch.unique with dim=0 takes ten times as long.
    width = spans[:, 1].max() + 1 if len(spans) else 1
    order = torch.argsort(spans[:, 2])
    order = order[torch.argsort((spans[:, 0] * width + spans[:, 1])[order], stable=True)]
    rows = spans[order]
    return rows, torch.nn.functional.pad((rows[1:] == rows[:-1]).all(1), (1, 0))[: len(rows)]
