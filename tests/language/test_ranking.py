import pytest
import torch

from rationalizers.language import exhaustive, in_order, rank
from rationalizers.language.ranking import RANKINGS
from tests.language.models import SETTINGS, text, tiny

KINDS = sorted(SETTINGS)


def log_p(model, e, goal):
    """The goal's log-probability from embeddings ``[n, D]``."""
    n = e.shape[0]
    logits = model.model(inputs_embeds=e[None], position_ids=torch.arange(n)[None], attention_mask=model.causal(n)).logits
    return logits[0, -1].log_softmax(-1)[goal]


def slope(model, e, goal, step=1e-3):
    """Its gradient by differences ``[n, D]``, as good as single precision, which some layers compute in, allows."""
    found = torch.zeros_like(e)
    for i in range(e.shape[0]):
        for j in range(e.shape[1]):
            move = torch.zeros_like(e)
            move[i, j] = step
            with torch.no_grad():
                found[i, j] = (log_p(model, e + move, goal) - log_p(model, e - move, goal)) / (2 * step)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_log_probability(kind):
    model, tokens = tiny(kind), text(6)
    e = model.model.get_input_embeddings()(tokens[:5]).detach()
    expected = slope(model, e, int(tokens[5]))
    torch.testing.assert_close(rank(model, tokens, 5, "gradient_norm"), expected.norm(dim=-1), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(rank(model, tokens, 5, "gradient_x_input"), (expected * e).sum(-1), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_gradients_are_a_mean_over_the_way_from_nothing(kind):
    model, tokens = tiny(kind), text(6)
    e, goal = model.model.get_input_embeddings()(tokens[:5]).detach(), int(tokens[5])
    total = torch.zeros_like(e)
    for step in range(101):
        scaled = (step / 100 * e).requires_grad_()
        total += torch.autograd.grad(log_p(model, scaled, goal), scaled)[0]
    expected = (total / 101 * e).sum(-1)
    torch.testing.assert_close(rank(model, tokens, 5, "integrated_gradients"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_what_the_last_token_looks_at(kind):
    model, tokens = tiny(kind), text(6)
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation("eager")
    layers = torch.stack([each[0].mean(0) for each in model.model(tokens[None, :5], output_attentions=True).attentions]).detach()
    model.model.set_attn_implementation(before)
    torch.testing.assert_close(rank(model, tokens, 5, "last_attention"), layers[-1, -1])
    torch.testing.assert_close(rank(model, tokens, 5, "all_attentions"), layers[:, -1].mean(0))
    rollout = torch.eye(5, dtype=layers.dtype)
    for layer in layers:
        rollout = (0.5 * layer + 0.5 * torch.eye(5, dtype=layers.dtype)) @ rollout
    torch.testing.assert_close(rank(model, tokens, 5, "attention_rollout"), rollout[-1])
    assert model.model.config._attn_implementation == before
    for name in ("last_attention", "all_attentions", "attention_rollout"):
        assert float(rank(model, tokens, 5, name).sum()) == pytest.approx(1)


@pytest.mark.parametrize("name", RANKINGS)
def test_what_comes_later_does_not_matter(name):
    tokens = text(9)
    torch.testing.assert_close(rank(tiny("llama"), tokens, 4, name), rank(tiny("llama"), tokens[:5], 4, name))


def test_tokens_are_added_in_order_until_it_is_enough():
    model = tiny("llama")
    sizes = set()
    for seed in range(20):
        tokens = text(8, seed=seed)
        found = in_order(model, tokens, 7, torch.tensor([3.0, 1, 5, 5, -9, 0, 2]))
        assert found.order == (6, 2, 3, 0, 1, 5, 4)[: len(found.order)]
        for size, (predicted, p) in enumerate(zip(found.predicted, found.probability, strict=True), 1):
            kept = torch.zeros(1, 7, dtype=torch.bool)
            kept[0, list(found.order[:size])] = True
            expected = model.masked(tokens[:7], kept)[0].softmax(-1)
            assert predicted == int(expected.argmax())
            assert p == pytest.approx(float(expected[tokens[7]]))
            assert (predicted == found.goal) == (size == len(found.order) and found.reached_argmax)
        best = exhaustive(model, tokens, 7, max_size=7)
        if found.reached_argmax:
            assert len(found.order) >= len(best.order)
        sizes.add(len(found.order))
    assert len(sizes) > 1


def test_the_last_token_comes_first_even_if_another_is_infinite():
    scores = torch.tensor([1.0, torch.inf, 0, 0])
    assert in_order(tiny("gpt2"), text(5), 4, scores).order[0] == 3


def test_a_size_ends_it():
    assert max(len(in_order(tiny("gpt2"), text(9), 8, torch.zeros(8), max_size=size).order) for size in (1, 2)) <= 2


def test_another_ranking_is_named():
    with pytest.raises(ValueError, match=r"one of the rankings gradient_norm, .*; got 'lime'"):
        rank(tiny("gpt2"), text(4), 2, "lime")


@pytest.mark.parametrize("scores", [torch.zeros(3), torch.zeros(2, 1), torch.tensor([1.0, torch.nan])])
def test_there_is_a_score_for_each_token(scores):
    with pytest.raises(ValueError, match=r"numbers \[2\], one for each token before the target"):
        in_order(tiny("gpt2"), text(4), 2, scores)
