"""What absence means: each word of the vocabulary, and the laws that they share."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from rationalizers.absence import ABSENCES, HIDING, check_absence, encode_visible
from rationalizers.batch import Packed
from rationalizers.encoders import Encoder, GRUEncoder
from rationalizers.segment import lengths

# Messages pass along edges, which text has not.
EVERYWHERE = (*HIDING, "state")
HARD, SOFT = ("compact", "remove"), ("mask_token", "zero", "state")


class Plain(Encoder):
    """States are the embeddings beside the positions: what a unit is, and where it stands."""

    def __init__(self):
        super().__init__()
        self.embedding_width, self.width = 2, 3
        self.table = nn.Embedding(9, 2)
        self.table.weight.data = torch.arange(18.0).view(9, 2)

    def embed(self, batch):
        return self.table(batch.units)

    def encode(self, e, batch):
        return torch.cat([e, batch.position[:, None].to(e.dtype)], 1)

    def mask_embedding(self):
        return torch.tensor([-1.0, -2.0])


def texts():
    """Two texts, the second after a fixed question, with an example without units between them."""
    return Packed(
        units=torch.tensor([3, 4, 5, 6, 7, 8]),
        ptr=torch.tensor([0, 3, 3, 6]),
        fixed=torch.tensor([0, 0, 0, 1, 0, 0], dtype=torch.bool),
    )


@pytest.fixture
def gru():
    return GRUEncoder(vocabulary=30, mask_id=1, embedding=6, hidden=8).eval()


def test_the_vocabulary_is_closed():
    assert {*ABSENCES} == {"compact", "remove", "mask_token", "zero", "state", "message"}
    assert {*ABSENCES} - {*HIDING} == {"state", "message"}
    for absence in ABSENCES:
        check_absence(absence)
    with pytest.raises(
        ValueError, match="'absence' must be one of compact, remove, mask_token, zero, state, message; got 'gone'"
    ):
        check_absence("gone")
    with pytest.raises(ValueError, match="got 'gone'"):
        encode_visible(Plain(), texts(), torch.ones(6), absence="gone")


@pytest.mark.parametrize("absence", EVERYWHERE)
@pytest.mark.parametrize("shape", [(5,), (6, 1), ()])
def test_a_mask_that_does_not_fit_is_named(absence, shape):
    with pytest.raises(ValueError, match=r"'mask' must be \[N=6\]"):
        encode_visible(Plain(), texts(), torch.ones(shape), absence=absence)


# What each word says


@pytest.mark.parametrize(
    ("absence", "states"),
    [
        # embedding of unit u is (2u, 2u + 1), the third number its position; unit 6 is fixed
        ("compact", [[8, 9, 0], [12, 13, 0], [16, 17, 1]]),
        ("remove", [[8, 9, 1], [12, 13, 0], [16, 17, 2]]),
        ("state", [[0, 0, 0], [8, 9, 1], [0, 0, 0], [12, 13, 0], [0, 0, 0], [16, 17, 2]]),
        ("zero", [[0, 0, 0], [8, 9, 1], [0, 0, 2], [12, 13, 0], [0, 0, 1], [16, 17, 2]]),
        ("mask_token", [[-1, -2, 0], [8, 9, 1], [-1, -2, 2], [12, 13, 0], [-1, -2, 1], [16, 17, 2]]),
    ],
)
def test_states_of_a_hard_mask(absence, states):
    batch = texts()
    h, visible = encode_visible(Plain(), batch, torch.tensor([0, 1, 0, 0, 0, 1.0]), absence=absence)
    assert h.tolist() == states
    assert visible.units.shape[0] == h.shape[0]
    assert lengths(visible.ptr).tolist() == ([1, 0, 2] if absence in HARD else [3, 0, 3])


def test_soft_masks_interpolate():
    mask = torch.tensor([0.25, 1, 0, 0.5, 1, 1])
    zero, _ = encode_visible(Plain(), texts(), mask, absence="zero")
    token, _ = encode_visible(Plain(), texts(), mask, absence="mask_token")
    assert zero[:, :2].tolist() == [[1.5, 1.75], [8, 9], [0, 0], [12, 13], [14, 15], [16, 17]]
    assert token[0, :2].tolist() == [0.25 * 6 - 0.75, 0.25 * 7 - 1.5]
    assert token[2, :2].tolist() == [-1, -2]
    assert token[3, :2].tolist() == [12, 13]  # fixed, whatever the mask says


@pytest.mark.parametrize("absence", HARD)
def test_more_than_half_decides_what_is_removed(absence):
    _, visible = encode_visible(Plain(), texts(), torch.tensor([0.4, 0.5, 0.6, 0.0, 0.51, 0.49]), absence=absence)
    assert visible.units.tolist() == [5, 6, 7]


# What all of them owe


@pytest.mark.parametrize("absence", EVERYWHERE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_full_mask_is_no_mask(gru, absence, dtype):
    batch = texts()
    h, visible = encode_visible(gru, batch, torch.ones(6, dtype=dtype), absence=absence)
    assert h.equal(gru.encode(gru.embed(batch), batch))
    assert visible.ptr.equal(batch.ptr)
    assert h.dtype == torch.float32


def test_the_state_of_a_unit_can_be_seen_by_its_neighbours(gru):
    batch, mask = texts(), torch.tensor([0, 1, 0, 0, 1, 0.0])
    hidden = (mask == 0) & ~batch.fixed
    h, visible = encode_visible(gru, batch, mask, absence="state")
    assert h.equal(gru.states(batch) * (mask.bool() | batch.fixed)[:, None])
    assert visible is batch
    other = replace(batch, units=torch.where(hidden, batch.units + 15, batch.units))
    assert not torch.allclose(encode_visible(gru, other, mask, absence="state")[0][mask == 1], h[mask == 1])


def test_text_passes_no_messages(gru):
    with pytest.raises(ValueError, match="absence 'message' needs an encoder of graphs; GRUEncoder has no edges"):
        encode_visible(gru, texts(), torch.ones(6), absence="message")


@pytest.mark.parametrize("absence", HIDING)
def test_unselected_units_change_no_state(gru, absence):
    batch, mask = texts(), torch.tensor([0, 1, 0, 0, 1, 0.0])
    hidden = (mask == 0) & ~batch.fixed
    h, _ = encode_visible(gru, batch, mask, absence=absence)
    other = replace(batch, units=torch.where(hidden, batch.units + 15, batch.units))
    assert encode_visible(gru, other, mask, absence=absence)[0].equal(h)


@pytest.mark.parametrize("absence", EVERYWHERE)
@pytest.mark.parametrize("unit", [1, 3])
def test_selected_and_fixed_units_are_seen(gru, absence, unit):
    batch, mask = texts(), torch.tensor([0, 1, 0, 0, 1, 0.0])
    h, _ = encode_visible(gru, batch, mask, absence=absence)
    other = replace(batch, units=batch.units + 15 * (torch.arange(6) == unit))
    assert not torch.allclose(encode_visible(gru, other, mask, absence=absence)[0], h)


@pytest.mark.parametrize("absence", EVERYWHERE)
def test_the_mask_of_fixed_units_is_ignored(gru, absence):
    batch = texts()
    masks = [torch.tensor([1, 0, 1, value, 0, 1]) for value in (0.0, 1.0)]
    left, right = (encode_visible(gru, batch, mask, absence=absence)[0] for mask in masks)
    assert left.equal(right)


@pytest.mark.parametrize("absence", EVERYWHERE)
def test_an_empty_mask_leaves_finite_states(gru, absence):
    h, visible = encode_visible(gru, texts(), torch.zeros(6), absence=absence)
    assert h.isfinite().all()
    assert lengths(visible.ptr).tolist() == ([0, 0, 1] if absence in HARD else [3, 0, 3])


@pytest.mark.parametrize("absence", EVERYWHERE)
def test_examples_do_not_see_each_other(gru, absence):
    batch, mask = texts(), torch.tensor([0, 1, 1, 0, 0, 1.0])
    h, visible = encode_visible(gru, batch, mask, absence=absence)
    last = Packed(units=batch.units[3:], ptr=torch.tensor([0, 3]), fixed=batch.fixed[3:])
    alone, _ = encode_visible(gru, last, mask[3:], absence=absence)
    torch.testing.assert_close(h[int(visible.ptr[2]) :], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("absence", SOFT)
def test_soft_masks_pass_a_gradient_except_to_fixed_units(gru, absence):
    mask = torch.full((6,), 0.5, requires_grad=True)
    h, _ = encode_visible(gru, texts(), mask, absence=absence)
    h.square().sum().backward()
    assert mask.grad[texts().fixed].tolist() == [0]
    assert (mask.grad[~texts().fixed] != 0).all()


@pytest.mark.parametrize("absence", SOFT)
def test_the_gradient_of_a_mask_is_that_of_finite_differences(gru, absence):
    gru.double()
    mask = torch.rand(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda mask: encode_visible(gru, texts(), mask, absence=absence)[0], mask)


@pytest.mark.parametrize("absence", HARD)
def test_removal_passes_no_gradient_to_the_mask(gru, absence):
    mask = torch.full((6,), 0.9, requires_grad=True)
    h, _ = encode_visible(gru, texts(), mask, absence=absence)
    assert torch.autograd.grad(h.sum(), mask, allow_unused=True) == (None,)


@pytest.mark.parametrize("absence", HIDING)
def test_only_visible_units_train_their_embeddings(gru, absence):
    batch, mask = texts(), torch.tensor([0, 1, 0, 0, 1, 0.0])
    h, _ = encode_visible(gru, batch, mask, absence=absence)
    h.sum().backward()
    moved = gru.table.weight.grad.abs().sum(1) > 0
    assert moved[2:].nonzero().flatten().add(2).tolist() == [4, 6, 7]
    assert bool(moved[1]) == (absence == "mask_token")
