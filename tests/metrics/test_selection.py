"""How much is selected, in how many pieces."""

import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.metrics.selection import Selection
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets

INF = float("inf")


def pair(mask, sizes, fixed=()):
    hidden = torch.tensor([place in fixed for place in range(len(mask))], dtype=torch.bool)
    ptr = offsets(torch.tensor(sizes, dtype=torch.long))
    mask = torch.tensor(mask, dtype=torch.float32)
    rationale = Rationale(torch.zeros(len(mask)).masked_fill(hidden, -INF), mask.masked_fill(hidden, 0.0), ptr)
    return rationale, Packed(units=torch.arange(len(mask)), ptr=ptr, fixed=hidden)


def scored(*pairs):
    metric = Selection()
    for each in pairs:
        metric.update(*each)
    return {name: float(value) for name, value in metric.compute().items()}


@pytest.mark.parametrize(
    ("mask", "sizes", "fixed", "share", "runs", "empty"),
    [
        ([1, 0, 1, 1], [4], (), 0.75, 2, 0),
        ([1, 1, 1, 1], [2, 2], (), 1, 1, 0),  # runs that touch across the border
        ([0, 0, 1], [2, 1], (), 0.5, 0.5, 0.5),
        ([0.4, 0.5, 0.6], [3], (), 1 / 3, 1, 0),  # more than half
        ([0, 1, 0, 0], [4], (0, 3), 0.5, 1, 0),  # fixed units are not selectable
        ([0, 1, 0], [0, 2, 1], (2,), 0.5 / 3, 1 / 3, 2 / 3),  # no units, half, only a fixed one
        ([], [0], (), 0, 0, 1),
    ],
)
def test_numbers_by_hand(mask, sizes, fixed, share, runs, empty):
    assert scored(pair(mask, sizes, fixed)) == pytest.approx({"selected_share": share, "runs": runs, "empty_share": empty})


def test_batches_and_their_order_change_nothing():
    parts = [pair([1, 0, 1], [3]), pair([0], [1]), pair([1, 1], [2]), pair([], [0])]
    whole = scored(pair([1, 0, 1, 0, 1, 1], [3, 1, 2, 0]))
    assert scored(*parts) == pytest.approx(whole)
    assert scored(*parts[::-1]) == pytest.approx(whole)


def test_states_of_two_processes_add_up():
    left, right = Selection(), Selection()
    left.update(*pair([1, 0, 1], [3]))
    right.update(*pair([0, 1], [1, 1]))
    assert all(reduction is not None for reduction in left._reductions.values())
    left.merge_state(right)
    assert {name: float(value) for name, value in left.compute().items()} == pytest.approx(
        scored(pair([1, 0, 1, 0, 1], [3, 1, 1]))
    )


def test_it_needs_no_evidence():
    assert Selection.needs == ()
