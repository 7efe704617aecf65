"""The twin of perturb against its reference."""

import pytest
import torch

from rationalizers.kernels.perturb import perturb_reference, tops
from rationalizers.segment import segment_rank
from tests.kernels.cuda.launching import EXAMPLES, apart, launched, ptr_of

twin = pytest.importorskip("rationalizers.kernels.cuda.perturb")
FRACTIONS = [0.0, 0.01, 0.1, 0.5, 1.0]


def inputs(lengths, share=0.3):
    ptr = ptr_of(lengths)
    fixed = torch.rand(int(ptr[-1])) < share
    return segment_rank(torch.rand(fixed.shape[0]).masked_fill(fixed, -1.0), ptr), ptr, fixed


def compare(ranks, ptr, fixed, fractions=FRACTIONS):
    expected, copies = perturb_reference(ranks, ptr, fixed, fractions, int(fixed.sum()))
    top, _ = tops(ptr, fixed, fractions)
    (ours,) = launched(twin.perturb, ranks, ptr, fixed, top, copies, expected.numel())
    assert ours.tolist() == expected.tolist()
    return expected


@EXAMPLES
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_is_the_reference(lengths, share):
    compare(*inputs(lengths, share))


def test_without_fractions_there_are_no_copies():
    assert compare(*inputs((4, 3)), fractions=[]).numel() == 0


def test_examples_longer_than_a_block(monkeypatch):
    monkeypatch.setattr(twin, "power", lambda *_, **__: 16)
    compare(*inputs((40, 3, 0, 90)))


def test_layout_in_memory_does_not_matter():
    ranks, ptr, fixed = inputs((4, 9))
    expected, copies = perturb_reference(ranks, ptr, fixed, FRACTIONS, int(fixed.sum()))
    top, _ = tops(ptr, fixed, FRACTIONS)
    strided = [apart(each) for each in (ranks, ptr, fixed, top, copies)]
    assert not any(each.is_contiguous() for each in strided)
    (ours,) = launched(twin.perturb, *strided, expected.numel())
    assert ours.tolist() == expected.tolist()


def test_copies_beyond_32_bits_are_refused():
    ranks, ptr, fixed = inputs((4, 9))
    with pytest.raises(ValueError, match="use smaller batches"):
        twin.perturb(ranks, ptr, fixed, ranks, ptr, 2**31)
