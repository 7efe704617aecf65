import torch

from rationalizers.language import TokenRationale

FOUND = TokenRationale(target=5, goal=7, order=(4, 0, 2), predicted=(1, 1, 7), probability=(0.1, 0.2, 0.6))


def test_it_is_enough_when_the_model_says_the_goal():
    assert FOUND.reached_argmax
    assert not TokenRationale(5, 8, (4,), (1,), (0.1,)).reached_argmax
    assert FOUND.certified is None


def test_as_a_rationale_earlier_additions_score_higher():
    rationale = FOUND.rationale()
    torch.testing.assert_close(rationale.mask, torch.tensor([1.0, 0, 1, 0, 1]))
    assert rationale.ptr.tolist() == [0, 5]
    assert rationale.scores.argsort(descending=True).tolist()[:3] == [4, 0, 2]
    assert bool(rationale.selectable.all())
    torch.testing.assert_close(rationale.topk(torch.tensor([3])).mask, rationale.mask)
