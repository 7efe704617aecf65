import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rationalizers.language.vocabulary import Shortlist, finite


def head(words, *, scale, seed=0, biased=False):
    generator = torch.Generator().manual_seed(seed)
    weight = scale * torch.randn(words, 8, generator=generator, dtype=torch.float64)
    bias = scale * torch.randn(words, generator=generator, dtype=torch.float64) if biased else None
    return weight, bias


@settings(max_examples=60, deadline=None)
@given(
    words=st.integers(3, 60),
    listed=st.integers(1, 80),
    scale=st.sampled_from([0.01, 0.3, 3.0]),
    seed=st.integers(0, 99),
    biased=st.booleans(),
)
def test_it_is_an_upper_bound(words, listed, scale, seed, biased):
    weight, bias = head(words, scale=scale, seed=seed, biased=biased)
    shortlist = Shortlist(weight, bias, words=listed)
    last = torch.randn(20, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    goal = torch.randint(0, words, (20,), generator=torch.Generator().manual_seed(seed))
    log_p = torch.nn.functional.linear(last, weight, bias).log_softmax(-1)
    for learnt in (0, 1, 20):
        shortlist.learn(log_p[:learnt])
        shortlist.choose()
        assert (shortlist.bound(last, goal) >= log_p.gather(1, goal[:, None])[:, 0]).all()


def test_it_is_tight_where_the_listed_words_have_nearly_all_the_probability():
    weight, _ = head(400, scale=0.1)
    weight[:5] *= 60
    shortlist = Shortlist(weight, words=20)
    last = torch.randn(50, 8, dtype=torch.float64)
    log_p = torch.nn.functional.linear(last, weight).log_softmax(-1)
    goal = torch.zeros(50, dtype=torch.long)
    shortlist.learn(log_p)
    shortlist.choose()
    assert (shortlist.bound(last, goal) - log_p[:, 0]).abs().median() < 0.1


def test_words_that_were_probable_are_listed():
    weight, _ = head(30, scale=1.0)
    shortlist = Shortlist(weight, words=3)
    seen = torch.full((2, 30), -9.0, dtype=torch.float64)
    seen[0, 4], seen[1, 7], seen[1, 11] = -1.0, -2.0, -0.5
    shortlist.learn(seen[:1])
    shortlist.learn(seen[1:])
    shortlist.choose()
    assert sorted(map(tuple, shortlist.rows[:3].tolist())) == sorted(map(tuple, weight[[4, 7, 11]].tolist()))


def test_numbers_that_are_not_finite_are_an_error():
    weight, _ = head(30, scale=1.0)
    shortlist = Shortlist(weight, words=3)
    shortlist.choose()
    with pytest.raises(ValueError, match="not finite"):
        shortlist.bound(torch.full((1, 8), torch.nan, dtype=torch.float64), torch.zeros(1, dtype=torch.long))
    assert finite(torch.ones(2)).tolist() == [1, 1]
