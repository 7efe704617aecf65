"""Whether a label can be read from the places of a mask alone, when all content is gone.

A selector that is trained with its predictor can tell it the label by *where* it selects: the first word for one class, the last
for another. The prediction is then right, the rationale says nothing, and no test that looks at the content of what was selected
finds out (Jethani, Sudarshan, Aphinyanaphongs, Ranganath, 2021, Have We Learned to Explain?: How Interpretability Methods Can
Learn to Encode Predictions in their Interpretations, https://arxiv.org/abs/2103.01890; for selectors that learn together with
predictors, Yu, Chang, Zhang, Jaakkola, 2019, Rethinking Cooperative Rationalization, https://arxiv.org/abs/1910.13294). Here a
linear probe tries to read it, from numbers that say how a mask looks and nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.extras import require
from rationalizers.levels import group
from rationalizers.metrics.floors import floors
from rationalizers.metrics.plausibility import with_evidence
from rationalizers.rationale import Rationale
from rationalizers.segment import lengths, offsets, owners, segment_runs, segment_sum
from rationalizers.task import Classification, Regression, Task

BINS = 10
# What `mask_features` tells of masks on words, in this order …
ORDERED = (
    *(f"share of bin {place + 1}" for place in range(BINS)),
    "share",
    "runs per selected",
    "longest run",
    "mean position",
    "spread",
    "first",
    "last",
    "empty",
)
# … and on nodes, which have no order but edges.
UNORDERED = ("share", "edges within", "edges across", "components per selected", "alone", "degree", "empty")


def mask_features(rationale: Rationale, batch: Batch) -> Tensor:
    """How each mask looks, whatever was selected; no number grows with the size of the example.

    Of the n selectable words of a text (its units, where it has no words), with k of them selected, the places in [0, 1]:

    =================== ===================================================================================
    share of bin q      selected part of the q-th of `BINS` equal stretches; a word may lie in two of them
    share               k / n
    runs per selected   runs of selected words / k
    longest run         its words / k
    mean position       of the selected words, and their standard deviation (``spread``)
    first, last         place of the first and the last selected word
    empty               1 where nothing is selected, else 0
    =================== ===================================================================================

    Of the n selectable nodes of a graph with k of them selected:

    ======================= ===============================================================================
    share                   k / n
    edges within, across    edges between two selected nodes, and at just one, / all edges
    components per selected connected parts of what is selected / k
    alone                   selected nodes without a selected neighbour / k
    degree                  mean degree of the selected nodes / that of all, minus 1
    empty                   1 where nothing is selected, else 0
    ======================= ===============================================================================

    What is not defined is 0. The place of a node is its structure, so that the latter are not free of all content.

    Args:
        rationale: units with mask above one half are selected; a word is if any of its units is.
        batch: the examples.

    Returns:
        ``[B, Q]`` float64, the columns of `ORDERED` or `UNORDERED`.
    """
    return _ordered(rationale, batch) if batch.edge_index is None else _unordered(rationale, batch)


def mask_looks(rationale: Rationale, batch: Batch) -> dict[str, Tensor]:
    """`mask_features` of the rationale (``model``) and of selections of its size: ``random``, and ``oracle`` (evidence first).

    ``oracle`` is there where the batch has evidence, and NaN for examples without any.

    Returns:
        ``[B, Q]`` each.
    """
    floor = floors(rationale, batch)
    found = {"model": mask_features(rationale, batch), "random": mask_features(floor["random"], batch)}
    if "oracle" in floor:
        _, known = with_evidence(rationale, batch)
        found["oracle"] = mask_features(floor["oracle"], batch).masked_fill(~known[:, None], torch.nan)
    return found


def answers(values: Tensor, *, task: Task) -> Tensor:
    """What a probe shall read, ``[B]``: the class; of the first target, yes (1) or no (0); whether a number is above the median.

    Args:
        values: predictions ``[B, C]``, or targets ``[B]`` or ``[B, C]``, of all examples at once.
        task: what they are.

    Returns:
        int64, −1 where the target is unknown.
    """
    if isinstance(task, Classification):
        return values.long() if values.dim() == 1 else values.argmax(1)
    first = values[:, 0]
    unknown = first.isnan()
    limit = first[~unknown].median() if isinstance(task, Regression) and not bool(unknown.all()) else 0.5
    return (first > limit).long().masked_fill(unknown, -1)


def probe(features: Tensor, label: Tensor, *, seed: int, folds: int = 5) -> Tensor:
    """What a linear probe says each label is, having learnt from the other folds: standardised logistic regression.

    Args:
        features: ``[B, Q]``, finite.
        label: classes ``[B]``.
        seed: of the folds, which have the classes in equal shares.
        folds: how many.

    Returns:
        predicted classes ``[B]``.

    Raises:
        ValueError: there are not two classes with an example for each fold, or the shapes do not fit each other.
        ImportError: scikit-learn is not installed.
    """
    if features.dim() != 2 or label.shape != features.shape[:1]:
        raise ValueError(
            f"'features' must be [B, Q] and 'label' [B], got {tuple(features.shape)} and {tuple(label.shape)}; see mask_features"
        )
    if not probeable(label, folds=folds):
        counts = {int(each): int((label == each).sum()) for each in torch.unique(label)}
        raise ValueError(
            f"a probe in {folds} folds needs two classes with {folds} examples each, got {counts}; "
            "one answer for all, or too few examples, cannot be told apart by a mask"
        )
    selection, linear, pipeline, preparing = (
        require(f"sklearn.{name}", extra="report") for name in ("model_selection", "linear_model", "pipeline", "preprocessing")
    )
    reader = pipeline.make_pipeline(preparing.StandardScaler(), linear.LogisticRegression(max_iter=1000))
    splits = selection.StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Some class may have fewer examples than there are folds, which costs nothing but its own.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        found = selection.cross_val_predict(reader, features.cpu().numpy(), label.cpu().numpy(), cv=splits)
    return torch.from_numpy(found).to(label)


def probeable(label: Tensor, *, folds: int = 5) -> bool:
    """Whether two classes have an example for each fold, at least."""
    _, counts = torch.unique(label, return_counts=True)
    return int((counts >= folds).sum()) >= 2


def mask_signal(
    looks: Mapping[str, Tensor], label: Tensor, *, seed: int, folds: int = 5, name: str = "mask_signal"
) -> dict[str, Tensor]:
    """Whether a `probe` of masks reads each label rightly; the mean is its accuracy.

    Args:
        looks: features ``[B, Q]`` of all examples of a split by name: ``model``, and those that it is compared with
            (`mask_looks`), which are probed in the same folds. An example with NaN does not take part.
        label: what is to be read ``[B]`` (`answers`); −1 does not take part.
        seed: of the folds.
        folds: how many.
        name: of the numbers.

    Returns:
        1 or 0, and NaN for what does not take part, ``[B]`` float64 each: ``<name>`` of the model,
        ``floor/<which>/<name>`` of the others, NaN altogether where too few take part, and ``floor/majority/<name>``, the most
        frequent label for everyone.

    Raises:
        ValueError: the labels of the model's masks cannot be probed (see `probe`).
        ImportError: scikit-learn is not installed.
    """
    found: dict[str, Tensor] = {}
    known = label >= 0
    for which, features in looks.items():
        rows = known & features.isfinite().all(1)
        correct = torch.full_like(features[:, 0], torch.nan, dtype=torch.float64)
        # Evidence may be known of too few; the model's own masks are there, and probing them says what is wrong.
        if which == "model" or probeable(label[rows], folds=folds):
            correct[rows] = (probe(features[rows], label[rows], seed=seed, folds=folds) == label[rows]).double()
        found[name if which == "model" else f"floor/{which}/{name}"] = correct
    most = label[known].mode().values
    found[f"floor/majority/{name}"] = (label == most).double().masked_fill(~known, torch.nan)
    return found


def _ordered(rationale: Rationale, batch: Batch) -> Tensor:
    words = group(batch, "word")
    free = ~words.batch.fixed
    chosen = words.gather(rationale).selected[free]
    ptr = offsets(free.long())[words.batch.ptr]
    m, on = chosen.shape[0], chosen.double()
    owner, n = owners(ptr, m), lengths(ptr).double()
    k = segment_sum(on, ptr)

    # The selected part of a stretch is a difference of the part before its end and the part before its beginning.
    edge = torch.arange(BINS + 1, dtype=torch.float64, device=on.device) / BINS
    place = ptr[:-1, None] + n[:, None] * edge  # [B, BINS+1]
    whole = place.floor().long().clamp(max=m)
    before = offsets(on)[whole] + torch.nn.functional.pad(on, (0, 1))[whole] * (place - whole)
    bins = _ratio(before.diff(dim=1) * BINS, n[:, None])

    at = (torch.arange(m, device=on.device) - ptr[:-1][owner] + 0.5) / n[owner]
    mean = _ratio(segment_sum(on * at, ptr), k)
    spread = _ratio(segment_sum(on * (at - mean[owner]).square(), ptr), k).sqrt()
    runs = segment_runs(chosen, ptr)
    size, of = (runs[:, 1] - runs[:, 0]).double(), owner[runs[:, 0]]
    longest = torch.zeros_like(k).scatter_reduce(0, of, size, "amax")
    ends = [torch.zeros_like(k).scatter_reduce(0, owner[chosen], at[chosen], how, include_self=False) for how in ("amin", "amax")]
    count = torch.bincount(of, minlength=k.shape[0])
    columns = [_ratio(k, n), _ratio(count, k), _ratio(longest, k), mean, spread, *ends, (k == 0).double()]
    return torch.cat([bins, torch.stack(columns, 1)], 1)


def _unordered(rationale: Rationale, batch: Batch) -> Tensor:
    assert batch.edge_index is not None
    ptr, edges = rationale.ptr, batch.edge_index
    chosen = rationale.selected & ~batch.fixed
    owner = owners(ptr, chosen.shape[0])
    n, k = (segment_sum(each.double(), ptr) for each in (~batch.fixed, chosen))
    ends = chosen[edges].sum(0)  # [E], selected ends of each edge
    within, across, every = (
        torch.bincount(owner[edges[0, which]], minlength=n.shape[0]) for which in (ends == 2, ends == 1, ends >= 0)
    )
    inside = edges[:, ends == 2]
    joined = torch.zeros_like(chosen).index_fill(0, inside.flatten(), True)
    roots = _roots(inside, chosen.shape[0]) == torch.arange(chosen.shape[0], device=edges.device)
    components, alone = (segment_sum((chosen & each).double(), ptr) for each in (roots, ~joined))
    degree = torch.bincount(edges[1], minlength=chosen.shape[0]).double()
    own, all_of = (_ratio(segment_sum(degree * each, ptr), count) for each, count in ((chosen, k), (~batch.fixed, n)))
    relative = torch.where((k > 0) & (all_of > 0), _ratio(own, all_of) - 1, torch.zeros_like(k))
    columns = [
        _ratio(k, n),
        _ratio(within, every),
        _ratio(across, every),
        _ratio(components, k),
        _ratio(alone, k),
        relative,
        (k == 0).double(),
    ]
    return torch.stack(columns, 1)


def _roots(edges: Tensor, n: int) -> Tensor:
    """The smallest node that each one is connected with, ``[N]``."""
    source, target = torch.cat([edges, edges.flip(0)], 1)
    root = torch.arange(n, device=edges.device)
    while True:
        lower = root.scatter_reduce(0, target, root[source], "amin")
        lower = lower[lower]
        if lower.equal(root):
            return root
        root = lower


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide, giving zero where there is no whole."""
    some = whole > 0
    return torch.where(some, part.double() / torch.where(some, whole, torch.ones_like(whole)), 0.0)
