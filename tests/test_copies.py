"""Which copies go through a model together, and what comes out."""

import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.copies import PADDING, Copies, passes, predict
from rationalizers.segment import lengths, offsets
from tests.test_fidelity import graphs, gru, reader, texts


def test_a_pass_is_cut_where_padding_would_be_too_much():
    size = torch.tensor([100] * 100 + [95] * 20 + [10] * 500)
    found = [size[place].tolist() for place in passes(size, units=10**9)]
    # 120 long ones are large enough; the short ones go by themselves.
    assert [len(each) for each in found] == [120 + found[0].count(10), 500 - found[0].count(10)]
    assert 1 - sum(found[0]) / (100 * len(found[0])) <= PADDING


def test_small_passes_are_not_cut():
    size = torch.tensor([50, 1, 3, 2])
    assert [place.tolist() for place in passes(size, units=10**9)] == [[0, 2, 3, 1]]
    assert [place.tolist() for place in passes(size, units=100)] == [[0, 2], [3, 1]]
    assert [place.tolist() for place in passes(size, units=1)] == [[0], [2], [3], [1]]
    assert list(passes(torch.zeros(0, dtype=torch.long), units=5)) == []


@pytest.mark.parametrize("units", [1, 40, 10**6])
@pytest.mark.parametrize("absence", ["compact", "remove", "zero", "mask_token", "state"])
def test_predictions_are_those_under_the_masks_one_by_one(absence, units):
    model, (batch, _) = reader(gru()), texts()
    masks = torch.rand(5, batch.units.shape[0], generator=torch.Generator().manual_seed(1)) < 0.5
    found = predict(model, batch, Copies.of_masks(masks, batch), absence=absence, units=units)
    with torch.no_grad():
        expected = [model.task.predict(model.logits(batch, mask.float(), absence=absence)) for mask in masks]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-6, rtol=1e-5)


def test_copies_can_be_chosen_and_joined():
    batch, _ = graphs()
    masks = torch.rand(3, batch.units.shape[0]) < 0.5
    copies = Copies.of_masks(masks, batch)
    again = Copies.cat([copies.take(torch.arange(4)), copies.take(torch.arange(4, 12))])
    assert all(getattr(again, name).equal(getattr(copies, name)) for name in ("index", "ptr", "rows"))
    last = copies.take(torch.tensor([11, 0]))
    assert last.rows.tolist() == [3, 0]
    assert last.index[: int(last.ptr[1])].equal(copies.index[int(copies.ptr[11]) :])


def test_fixed_units_are_in_every_copy():
    batch = Packed(units=torch.arange(4), ptr=torch.tensor([0, 4]), fixed=torch.tensor([True, False, False, True]))
    copies = Copies.of_masks(torch.tensor([[False, False, True, False], [False] * 4]), batch)
    assert copies.index.tolist() == [0, 2, 3, 0, 3]
    assert lengths(copies.ptr).tolist() == [3, 2]
    assert copies.ptr.equal(offsets(torch.tensor([3, 2])))


def test_what_cannot_be_asked_is_named():
    model, (batch, _) = reader(gru()), texts()
    copies = Copies.of_masks(torch.ones(1, batch.units.shape[0], dtype=torch.bool), batch)
    with pytest.raises(ValueError, match="'units' must be positive, got 0"):
        predict(model, batch, copies, absence="zero", units=0)
    with pytest.raises(ValueError, match="'absence' must be one of"):
        predict(model, batch, copies, absence="gone")
    with pytest.raises(ValueError, match="evaluation mode"):
        predict(model.train(), batch, copies, absence="zero")
