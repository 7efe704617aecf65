"""A convolution over another encoder's states."""

import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.encoders import Encoder
from tests.contract import ENCODER, batch, example


def encoder(**changes):
    return build(
        {"_target_": "rationalizers.encoders.ConvolutionEncoder", "inputs": ENCODER, "hidden": 6, "kernel": 3, **changes}, Encoder
    ).eval()


def test_a_state_is_the_sum_over_its_neighbourhood():
    conv, packed = encoder(), batch((5,))
    below = conv.inputs.states(packed)  # [5, 8]
    around = torch.nn.functional.pad(below, (0, 0, 1, 1))
    weight, bias = conv.convolve.weight, conv.convolve.bias  # [6, 8, 3]
    expected = torch.stack([sum(weight[:, :, j] @ around[t + j] for j in range(3)) + bias for t in range(5)]).relu()
    torch.testing.assert_close(conv.states(packed), expected)
    torch.testing.assert_close(conv.encode(conv.embed(packed), packed), expected)


def test_company_and_emptiness_change_nothing():
    conv, sizes = encoder(kernel=5), (7, 1, 12)
    together = conv.states(batch(sizes))
    alone = torch.cat([conv.states(example(size, seed=place)) for place, size in enumerate(sizes)])
    torch.testing.assert_close(together, alone)
    nothing = Packed(units=torch.zeros(0, dtype=torch.long), ptr=torch.tensor([0, 0]))
    assert conv.states(nothing).shape == (0, 6)
    hollow = Packed.collate([batch(sizes), example(4, seed=9).select(torch.zeros(4, dtype=torch.bool), positions="kept")])
    torch.testing.assert_close(conv.states(hollow), together)


def test_it_learns_and_what_is_below_learns_if_it_may():
    conv = encoder()
    conv.states(batch()).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in conv.parameters())
    assert (conv.width, conv.embedding_width) == (6, 8)
    assert conv.mask_embedding().equal(conv.inputs.mask_embedding())


def test_states_below_may_come_from_a_cache():
    conv, packed = encoder(), batch()
    known = torch.randn(25, 8)
    conv.inputs.states = lambda batch: known
    there = conv.states(packed)
    conv.inputs.encode = lambda e, batch: known
    torch.testing.assert_close(conv.encode(conv.embed(packed), packed), there)


@pytest.mark.parametrize("change", [{"kernel": 4}, {"kernel": 0}, {"hidden": 0}])
def test_sizes_that_make_no_sense_are_named(change):
    with pytest.raises(ValueError, match="'hidden' must be at least 1 and 'kernel' odd"):
        encoder(**change)
