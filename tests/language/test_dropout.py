import pytest
import torch

from rationalizers.language.dropout import check_law, visible


def drawn(absent, *, mixture=1.0, size=6, count=3000):
    torch.manual_seed(0)
    return visible(torch.arange(count + 1) * size, count * size, absent=absent, mixture=mixture).view(count, size)


def test_uniform_length_draws_every_size_equally_often_and_every_place():
    seen = drawn("uniform_length")
    sizes = torch.bincount(seen.sum(1), minlength=7) / 3000
    torch.testing.assert_close(sizes, torch.full((7,), 1 / 7), atol=0.03, rtol=0)
    torch.testing.assert_close(seen.float().mean(0), torch.full((6,), 0.5), atol=0.04, rtol=0)


def test_inverse_length_keeps_one_on_average():
    seen = drawn("inverse_length")
    torch.testing.assert_close(seen.float().mean(0), torch.full((6,), 1 / 6), atol=0.03, rtol=0)
    assert float((seen.sum(1) == 0).float().mean()) == pytest.approx((5 / 6) ** 6, abs=0.03)


def test_a_part_of_the_texts_is_complete():
    seen = drawn("inverse_length", mixture=0.4)
    assert float(seen.all(1).float().mean()) == pytest.approx(0.6 + 0.4 / 6**6, abs=0.03)


def test_texts_of_any_length_draw_each_their_own():
    ptr = torch.tensor([0, 3, 3, 10])
    torch.manual_seed(0)
    draws = torch.stack([visible(ptr, 10, absent="uniform_length", mixture=1.0) for _ in range(400)])
    sizes = draws[:, :3].sum(1), draws[:, 3:].sum(1)
    assert [sorted(set(each.tolist())) for each in sizes] == [list(range(4)), list(range(8))]
    assert abs(float(torch.corrcoef(torch.stack(sizes).float())[0, 1])) < 0.15


@pytest.mark.parametrize(
    ("absent", "mixture", "message"),
    [("half", 0.5, "one of uniform_length, inverse_length; got 'half'"), ("uniform_length", 1.5, r"in \[0, 1\], got 1.5")],
)
def test_another_law_is_refused(absent, mixture, message):
    with pytest.raises(ValueError, match=message):
        check_law(absent, mixture)
