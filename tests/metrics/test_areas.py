"""Areas under curves: whatever is sorted with what. Their values are tested where they are told, in test_eraser.py."""

import pytest
import torch

from rationalizers.metrics import areas as areas_module
from rationalizers.metrics.areas import areas
from rationalizers.segment import offsets


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.long])
def test_areas_do_not_depend_on_which_documents_are_sorted_together(dtype, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    sizes = [3, 500, 0, 1, 40, 41, 500, 7]
    scores = torch.randint(-20, 20, (sum(sizes),), generator=generator).to(dtype)
    truth = torch.rand(sum(sizes), generator=generator) < 0.3
    ptr = offsets(torch.tensor(sizes))
    whole = areas(scores, truth, ptr)
    monkeypatch.setattr(areas_module, "CHUNK", 64)
    apart = areas(scores, truth, ptr)
    for name in ("positive", "negative", "average_precision", "trapezoid", "roc_auc"):
        torch.testing.assert_close(getattr(apart, name), getattr(whole, name), equal_nan=True, rtol=0, atol=1e-12)


def test_nothing_is_passed_back_to_the_scores():
    scores = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    found = areas(scores, torch.tensor([True, False, True]), torch.tensor([0, 3]))
    assert not found.average_precision.requires_grad
    assert found.average_precision.tolist() == [pytest.approx((1 + 2 / 3) / 2)]
