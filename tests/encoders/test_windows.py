"""Where units are read: a pure function of positions."""

import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.encoders.windows import windows


def text(content, *, lead=1, tail=1):
    """One example: its units are numbered, its lead and tail are fixed."""
    n = lead + content + tail
    fixed = torch.tensor([i < lead or i >= lead + content for i in range(n)])
    return Packed(units=torch.arange(n), ptr=torch.tensor([0, n]), fixed=fixed)


def table(batch, max_length):
    """Of every window, the units and their places."""
    read = windows(batch, max_length=max_length)
    assert read.size.sum() == read.row.numel()
    found = []
    for row in range(read.size.numel()):
        here = read.row == row
        assert read.column[here].tolist() == list(range(int(read.size[row])))
        found.append((batch.units[read.unit[here]].tolist(), read.place[here].tolist()))
    assert read.unit[read.source].tolist() == list(range(batch.units.numel()))
    return found


def test_what_fits_is_read_at_once_at_its_own_positions():
    assert table(text(4), 6) == [([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])]


def test_what_does_not_fit_is_read_between_the_same_fixed_units():
    assert table(text(5, lead=2), 6) == [
        ([0, 1, 2, 3, 4, 7], [0, 1, 2, 3, 4, 5]),
        ([0, 1, 5, 6, 7], [0, 1, 2, 3, 4]),
    ]


def test_without_fixed_units_there_are_only_chunks():
    assert table(text(5, lead=0, tail=0), 2) == [([0, 1], [0, 1]), ([2, 3], [0, 1]), ([4], [0])]


def test_states_of_fixed_units_come_from_the_first_window():
    batch = text(5, lead=2)
    read = windows(batch, max_length=6)
    assert read.row[read.source].tolist() == [0, 0, 0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("hidden", [(3,), (3, 4), (2, 3, 4), (5, 6), (2, 3, 4, 5, 6)])
def test_removed_units_move_nobody(hidden):
    batch = text(5, lead=2)
    whole = windows(batch, max_length=6)
    keep = ~torch.isin(batch.units, torch.tensor(hidden))
    some = batch.select(keep, positions="kept")
    read = windows(some, max_length=6)
    places = {(int(u), int(p)) for u, p in zip(batch.units[whole.unit], whole.place, strict=True)}
    assert {(int(u), int(p)) for u, p in zip(some.units[read.unit], read.place, strict=True)} <= places
    lone = not set(range(2, 7)) - set(hidden)
    assert read.size.numel() == (1 if lone or not {2, 3, 4} - set(hidden) or not {5, 6} - set(hidden) else 2)


def test_fresh_positions_close_up():
    batch = text(5, lead=2)
    kept = batch.select(torch.tensor([True, True, True, False, False, False, True, True]), positions="fresh")
    assert table(kept, 6) == [([0, 1, 2, 6, 7], [0, 1, 2, 3, 4])]


def test_fixed_units_in_between_are_content():
    batch = text(5)
    fixed = batch.fixed.clone()
    fixed[3] = True
    odd = Packed(units=batch.units, ptr=batch.ptr, fixed=fixed)
    ends = odd.select(odd.fixed, positions="kept")
    assert table(ends, 7) == [([0, 3, 6], [0, 3, 6])]
    assert table(odd, 4) == [([0, 1, 2, 6], [0, 1, 2, 3]), ([0, 3, 4, 6], [0, 1, 2, 3]), ([0, 5, 6], [0, 1, 2])]


def test_examples_are_cut_each_by_its_own_fixed_units():
    hollow = text(3).select(torch.zeros(5, dtype=torch.bool), positions="kept")
    batch = Packed.collate([text(3), hollow, text(2, lead=3), text(0), text(3, lead=0, tail=0)])
    assert table(batch, 5) == [
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ([0, 1, 2, 3, 5], [0, 1, 2, 3, 4]),
        ([0, 1, 2, 4, 5], [0, 1, 2, 3, 4]),
        ([0, 1], [0, 1]),
        ([0, 1, 2], [0, 1, 2]),
    ]


def test_fixed_units_must_leave_room():
    assert table(text(0, lead=2), 3)  # nothing else to be read
    with pytest.raises(ValueError, match=r"an example has 3 fixed units .* leaves no room in 3 places"):
        windows(text(1, lead=2), max_length=3)
    with pytest.raises(ValueError, match="an example has 4 fixed units"):
        windows(text(0, lead=3), max_length=3)
