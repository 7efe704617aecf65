"""The twin of segment_topk against its reference: the same units, whatever ties."""

import pytest
import torch

from rationalizers.kernels.segment_topk import segment_topk_reference
from tests.kernels.cuda.launching import CASES, apart, launched, ptr_of

twin = pytest.importorskip("rationalizers.kernels.cuda.segment_topk")


def compare(scores, ptr, k):
    expected = segment_topk_reference(scores, ptr, k)
    (ours,) = launched(twin.segment_topk, scores, ptr, k)
    assert ours.dtype == expected.dtype
    assert ours.tolist() == expected.tolist()
    return ours


@CASES
@pytest.mark.parametrize("decimals", [0, 3])
def test_it_chooses_what_the_reference_does(lengths, decimals, dtype):
    ptr = ptr_of(lengths)
    scores = (3 * torch.randn(int(ptr[-1]))).round(decimals=decimals).to(dtype)  # zero decimals: many ties
    scores = scores.masked_fill(torch.rand_like(scores) < 0.2, -torch.inf)
    compare(scores, ptr, torch.randint(-1, 9, (len(lengths),)))


@pytest.mark.parametrize("k", [0, 1000])
def test_nothing_and_everything(k):
    ptr = ptr_of((0, 1, 7, 33))
    compare(torch.randn(41).masked_fill(torch.rand(41) < 0.2, -torch.inf), ptr, torch.full((4,), k))


def test_numbers_at_the_edge():
    tiny, huge = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max
    scores = torch.tensor(
        [0.0, -0.0, 0.0, torch.nan, -torch.inf, torch.inf, huge, -huge, tiny, -tiny, 2.0**-149, torch.inf, -1.0, -1.0]
    )
    for k in (1, 4, 5, 11, 15):
        found = compare(scores, torch.tensor([0, 14]), torch.tensor([k]))
        assert found.sum() == min(k, 12)
    assert compare(scores[:3], torch.tensor([0, 3]), torch.tensor([2])).tolist() == [1, 1, 0]  # −0 is 0


def test_examples_longer_than_a_block(monkeypatch):
    monkeypatch.setattr(twin, "power", lambda *_, **__: 16)
    monkeypatch.setattr(twin, "TILE", 32)
    ptr = ptr_of((40, 3, 0, 90))
    compare(torch.randn(133).round(decimals=1), ptr, torch.tensor([17, 2, 1, 50]))


def test_a_count_beyond_32_bits_takes_everything():
    compare(torch.randn(5), torch.tensor([0, 5]), torch.tensor([2**40]))


def test_layout_in_memory_does_not_matter():
    scores, ptr, k = torch.randn(13), ptr_of((4, 9)), torch.tensor([2, 5])
    (ours,) = launched(twin.segment_topk, *(apart(each) for each in (scores, ptr, k)))
    assert ours.tolist() == segment_topk_reference(scores, ptr, k).tolist()
