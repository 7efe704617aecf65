import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rationalizers.language import CausalModel, certify, exhaustive, greedy, greedy_reference, judging, lockstep, rank
from rationalizers.language.ranking import steepness
from rationalizers.language.vocabulary import Shortlist
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


@pytest.mark.parametrize("kind", ["gpt2", "phi"])  # without and with a bias of the vocabulary
@pytest.mark.parametrize("cache", [0, 1024])
@pytest.mark.parametrize("words", [1, 3, 10])
def test_bounds_change_nothing_but_what_is_computed(kind, cache, words, monkeypatch):
    model, tokens = tiny(kind), text(14)
    expected = slow(model, tokens)
    asked = []
    predict = CausalModel.predict
    monkeypatch.setattr(CausalModel, "predict", lambda self, last: asked.append(len(last)) or predict(self, last))
    same(greedy(model, [tokens], cache_megabytes=cache)[0], expected)
    whole = sum(asked)
    asked.clear()
    monkeypatch.setattr(judging, "LEAST", 1)
    monkeypatch.setattr(judging, "Shortlist", partial(Shortlist, words=words))
    same(greedy(model, [tokens], cache_megabytes=cache)[0], expected)
    assert sum(asked) < whole


@pytest.mark.parametrize("pass_tokens", [0, 3, 10**6])
@pytest.mark.parametrize("cache", [0, 1024])
def test_neither_do_passes_that_are_put_together(pass_tokens, cache, monkeypatch):
    passes = []
    go_on = CausalModel.go_on
    monkeypatch.setattr(CausalModel, "go_on", lambda self, *given: passes.append(given) or go_on(self, *given))
    monkeypatch.setitem(lockstep.PASS_TOKENS, "cpu", pass_tokens)
    model, tokens = tiny("llama"), text(14)
    found = greedy(model, [tokens], cache_megabytes=cache)[0]
    same(found, slow(model, tokens))
    if pass_tokens > 100:  # one at the beginning, and one a step or, where states are not kept, another for the winners
        steps = max(len(each.order) for each in found) - 1
        assert len(passes) == 1 + steps * (1 if cache else 2)


def test_those_that_know_most_join_others_where_that_is_cheap():
    p = torch.tensor([1, 1, 2, 4, 4, 4, 7])
    assert lockstep.shared(p, 8, 0).tolist() == p.tolist()
    assert lockstep.shared(p, 8, 2).tolist() == [1, 1, 1, 4, 4, 4, 7]  # one reads one token more
    assert lockstep.shared(p, 8, 4).tolist() == [1, 1, 1, 4, 4, 4, 4]  # another reads three more
    assert lockstep.shared(p, 8, 8).tolist() == [1, 1, 1, 4, 4, 4, 4]
    assert lockstep.shared(p, 8, 9).tolist() == [1, 1, 1, 1, 1, 1, 1]  # and four two more each


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


def test_certificates_of_many_texts_and_passes_are_those_of_each(monkeypatch):
    model = tiny("llama")
    texts = [text(14, seed=1), text(9, seed=2)]
    for max_tokens in (1, 40, 4096):
        for each, tokens in zip(greedy(model, texts, max_size=2), texts, strict=True):
            for one in certify(model, tokens, each, max_tokens=max_tokens):
                assert one.certified == one.reached_argmax
    # One that claims too much is found out, wherever it stands.
    (found,) = greedy(model, texts[:1], max_size=2)
    wrong = [replace(each, goal=(each.goal + 1) % 11) for each in found]
    assert not any(each.certified for each in certify(model, texts[0], wrong) if each.predicted[-1] != each.goal)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "phi"])
@pytest.mark.parametrize("cache", [0, 1024])
def test_half_precision_is_judged_again_where_it_cannot_tell(kind, cache, caplog):
    model = CausalModel(plain(kind).float())
    texts = [text(16, seed=seed) for seed in range(8)]
    caplog.set_level("INFO")
    found = greedy(model, texts, half=model.halved(), cache_megabytes=cache)
    for each, tokens in zip(found, texts, strict=True):
        for one, other in zip(each, slow(model, tokens), strict=True):
            assert (one.order, one.predicted) == (other.order, other.predicted)
            assert one.probability == pytest.approx(other.probability, rel=1e-4)
    judged, again, overruled = (int(number) for number in re.findall(r"\d+", caplog.messages[-1]))
    assert 0 < again < judged
    assert 0 < overruled < again  # these models are rough: half precision alone would be wrong


def test_a_model_in_half_precision_alone_needs_no_bounds(monkeypatch):
    monkeypatch.setattr(judging, "LEAST", 1)
    found = greedy(CausalModel(plain("gpt2").float()).halved(), [text(10)])[0]
    assert [each.target for each in found] == list(range(1, 10))
    assert any(each.reached_argmax for each in found)


def test_approximate_rationales_are_enough_but_not_always_the_same():
    model, texts = tiny("gpt2"), [text(14, seed=seed) for seed in range(6)]
    exact = greedy(model, texts)
    for screen in (1, 3, 100):
        found = greedy(model, texts, approximate=screen)
        pairs = [pair for rows in zip(found, exact, strict=True) for pair in zip(*rows, strict=True)]
        assert all(one.certified == one.reached_argmax for one, _ in pairs)
        different = sum(one.order != other.order for one, other in pairs)
        assert (different == 0) == (screen == 100)  # all are candidates
    lengths = [sum(len(each.order) for row in rows for each in row) for rows in (exact, greedy(model, texts, approximate=1))]
    assert lengths[0] < lengths[1]


def test_approximate_search_adds_those_first_on_which_most_depends():
    model, tokens = tiny("gpt2"), text(14)
    for target in (6, 13):
        steep = rank(model, tokens, target, "gradient_norm")
        (found,) = greedy(model, [tokens], [[target]], approximate=3)[0]
        preferred = [place for place in steep.argsort(descending=True).tolist()[:3] if place != target - 1]
        added = found.order[1:]
        assert set(added[: len(preferred)]) <= set(preferred)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_of_many_targets_are_those_of_each(kind):
    model, tokens = tiny(kind), text(9)
    found = steepness(model, tokens, [2, 5, 8], max_tokens=20)
    for row, target in zip(found, (2, 5, 8), strict=True):
        torch.testing.assert_close(row[:target], rank(model, tokens, target, "gradient_norm"), rtol=1e-5, atol=1e-7)
        assert row[target:].isneginf().all()


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
