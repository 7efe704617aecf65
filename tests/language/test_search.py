import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rationalizers.language import CausalModel, exhaustive, greedy, greedy_reference
from tests.language.models import SETTINGS, plain, text, tiny

KINDS = sorted(SETTINGS)


def same(found, expected):
    assert [each.target for each in found] == [each.target for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.order, one.predicted, one.goal) == (other.order, other.predicted, other.goal)
        assert one.probability == pytest.approx(other.probability, rel=1e-9)


def slow(model, tokens, targets=None, **settings):
    return [greedy_reference(model, tokens, target, **settings) for target in targets or range(1, len(tokens))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cache", [0, 1024])
def test_it_finds_what_the_reference_finds(kind, cache):
    texts = [text(size, seed=size) for size in (14, 7, 2, 1)]
    found = greedy(tiny(kind), texts, cache_megabytes=cache)
    for each, tokens in zip(found, texts, strict=True):
        same(each, slow(tiny(kind), tokens))
    assert len({len(each.order) for row in found for each in row}) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_certificate_holds(kind):
    found = greedy(tiny(kind), [text(14)])[0]
    assert [each.certified for each in found] == [each.reached_argmax for each in found]
    assert any(each.certified for each in found)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 10), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    max_tokens=st.integers(1, 60),
    max_size=st.none() | st.integers(1, 5),
    kilobytes=st.sampled_from([0, 20, 10**6]),
)
def test_neither_company_nor_memory_changes_anything(sizes, seed, max_tokens, max_size, kilobytes):
    model, texts = tiny("gpt2"), [text(size, seed=seed + size) for size in sizes]
    found = greedy(model, texts, max_size=max_size, max_tokens=max_tokens, cache_megabytes=kilobytes / 1024)
    for each, tokens in zip(found, texts, strict=True):
        same(each, slow(model, tokens, max_size=max_size))


def test_of_equals_the_first_is_added():
    # Nothing that it reads makes a difference to this model: every candidate is as good as another.
    model = plain("gpt2")
    torch.nn.init.zeros_(model.transformer.ln_f.weight)
    torch.nn.init.zeros_(model.transformer.ln_f.bias)
    model = CausalModel(model)
    tokens = torch.tensor([3, 4, 5, 6, 7, 1])
    (found,) = greedy(model, [tokens], [[5]])[0]
    assert found.order == (4, 0, 1, 2, 3)
    assert set(found.predicted) == {0}
    same([found], slow(model, tokens, [5]))


def test_a_goal_that_is_never_said_takes_everything():
    model = tiny("llama")
    tokens = text(8)
    whole = model.read(tokens[None, :7], torch.arange(7)[None])[0]
    tokens[7] = int(whole.argmin())
    (found,) = greedy(model, [tokens], [[7]])[0]
    if not found.reached_argmax:
        assert sorted(found.order) == list(range(7))
        assert found.certified is False
    same([found], slow(model, tokens, [7]))


def test_the_first_target_has_one_token():
    for kind in KINDS:
        (found,) = greedy(tiny(kind), [text(2)])[0]
        assert found.order == (0,)


def test_a_size_ends_it():
    found = greedy(tiny("gpt2"), [text(14)], max_size=3)[0]
    assert max(len(each.order) for each in found) == 3
    assert any(not each.reached_argmax for each in found)


def test_targets_are_answered_in_their_order():
    model, tokens = tiny("gpt2"), text(9)
    found = greedy(model, [tokens, tokens], [[7, 2], []])
    same(found[0], slow(model, tokens, [7, 2]))
    assert found[1] == []
    assert greedy(model, [tokens], [[]]) == [[]]
    assert greedy(model, []) == []


def test_it_is_never_smaller_than_the_smallest():
    model, tokens = tiny("qwen3"), text(9)
    for each in greedy(model, [tokens])[0]:
        best = exhaustive(model, tokens, each.target, max_size=9)
        if each.reached_argmax:
            assert best is not None
            assert len(best.order) <= len(each.order)


def test_known_states_are_not_computed_again(monkeypatch):
    model, tokens, counts, inner = tiny("gpt2"), text(14), {}, CausalModel.go_on
    for cache in (0, 1024):
        read = []
        monkeypatch.setattr(CausalModel, "go_on", lambda *given, read=read: (read.append(given[1].numel()), inner(*given))[1])
        found = greedy(model, [tokens], cache_megabytes=cache)[0]
        counts[cache] = sum(read)
    naive = sum((each.target - size + 1) * size for each in found for size in range(1, len(each.order) + 1))
    assert counts[1024] < counts[0] < naive


def test_progress_counts_targets():
    seen = []
    greedy(tiny("gpt2"), [text(9), text(5)], progress=lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {12}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (12, 12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": [[1], [1]]}, "each of the 1 texts, got those of 2"),
        ({"targets": [[0]]}, "places 1 to 5 of the text, got 0"),
        ({"max_size": 0}, "must be at least 1, got 0 and 4096"),
        ({"max_tokens": 0}, "must be at least 1, got None and 0"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        greedy(tiny("gpt2"), [text(6)], **arguments)
