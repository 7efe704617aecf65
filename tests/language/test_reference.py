from itertools import combinations

import pytest
import torch

from rationalizers.language import exhaustive, greedy_reference
from tests.language.models import SETTINGS, text, tiny

KINDS = sorted(SETTINGS)


def says(model, tokens, target, places):
    """Log-probabilities of the target from some places, by the other way of making tokens absent."""
    kept = torch.zeros(1, target, dtype=torch.bool)
    kept[0, list(places)] = True
    return model.masked(tokens[:target], kept)[0].log_softmax(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_each_addition_is_the_best_one(kind):
    model, tokens = tiny(kind), text(9)
    for target in range(1, 9):
        found = greedy_reference(model, tokens, target)
        goal = int(tokens[target])
        assert (found.target, found.goal, found.order[0]) == (target, goal, target - 1)
        for size in range(1, len(found.order) + 1):
            log_p = says(model, tokens, target, found.order[:size])
            assert found.predicted[size - 1] == int(log_p.argmax())
            assert found.probability[size - 1] == pytest.approx(float(log_p[goal].exp()))
            if size < len(found.order):
                assert found.predicted[size - 1] != goal  # it stops as soon as it is enough
                before, chosen = found.order[:size], found.order[size]
                rest = [i for i in range(target) if i not in before]
                scores = [float(says(model, tokens, target, [*before, i])[goal]) for i in rest]
                assert rest[max(range(len(rest)), key=scores.__getitem__)] == chosen
        assert found.reached_argmax or sorted(found.order) == list(range(target))


@pytest.mark.parametrize("batch", [1, 7, 4096])
def test_it_does_not_depend_on_what_is_read_at_once(batch):
    model, tokens = tiny("gpt2"), text(10)
    expected, found = (greedy_reference(model, tokens, 9, max_tokens=size) for size in (4096, batch))
    assert (found.order, found.predicted) == (expected.order, expected.predicted)
    assert found.probability == pytest.approx(expected.probability)


def test_exhaustive_search_finds_a_smallest_set():
    model = tiny("llama")
    sizes = set()
    for seed in range(4):
        tokens = text(7, seed=seed)
        for target in range(1, 7):
            found = exhaustive(model, tokens, target)
            enough = [
                (*rest, target - 1)
                for size in range(target)
                for rest in combinations(range(target - 1), size)
                if int(says(model, tokens, target, (*rest, target - 1)).argmax()) == int(tokens[target])
            ]
            assert (found is None) == (not enough)
            if found is not None:
                assert tuple(sorted(found.order)) == enough[0]
                assert found.reached_argmax
                sizes.add(len(found.order))
    assert len(sizes) > 1


def test_exhaustive_search_ends_at_a_size():
    model, tokens = tiny("llama"), text(7)
    target = next(t for t in range(1, 7) if (found := exhaustive(model, tokens, t)) is not None and len(found.order) > 1)
    visited = []
    assert exhaustive(model, tokens, target, max_size=1, progress=visited.append) is None
    assert visited == [1]


def test_greedy_is_never_smaller():
    for kind in KINDS:
        tokens = text(8, seed=3)
        for target in range(1, 8):
            best = exhaustive(tiny(kind), tokens, target, max_size=8)
            found = greedy_reference(tiny(kind), tokens, target)
            assert (best is not None) >= found.reached_argmax
            if best is not None and found.reached_argmax:
                assert len(found.order) >= len(best.order)


@pytest.mark.parametrize("search", [greedy_reference, exhaustive])
def test_a_rationale_has_at_least_one_token(search):
    with pytest.raises(ValueError, match="'max_size' must be at least 1, got 0"):
        search(tiny("gpt2"), text(4), 2, max_size=0)
