import pytest
import torch

from rationalizers.language.pair_ranking import PAIR_RANKINGS, POINTS, in_order_pair, rank_pair
from tests.language.models import PAIR_SETTINGS, plain_pair, text, tiny_pair

KINDS = sorted(PAIR_SETTINGS)
SOURCE, TARGET = text(4, seed=1), text(4, seed=2)


def slope(kind, at):
    """Of log p(goal), by factors of the embeddings of the four source tokens and the three before the target, at some factors.

    This is ⟨∂f/∂e_i, e_i⟩ with the gradient taken at the embeddings times these factors.
    """
    model, factors = plain_pair(kind).eval(), torch.full((7,), at, dtype=torch.float64, requires_grad=True)
    sides = iter((factors[:4], factors[4:]))
    tables = {side.get_input_embeddings() for side in (model.get_encoder(), model.get_decoder())}
    for table in tables:
        table.register_forward_hook(lambda module, given, e: e * next(sides)[None, :, None])
    logits = model(input_ids=SOURCE[None], decoder_input_ids=TARGET[None, :3]).logits
    return torch.autograd.grad(logits[0, -1].log_softmax(-1)[int(TARGET[3])], factors)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_both_sides_are_those_of_the_log_probability(kind):
    found = rank_pair(tiny_pair(kind), SOURCE, TARGET, 3, "gradient_x_input")
    torch.testing.assert_close(found, slope(kind, 1.0), rtol=1e-4, atol=1e-6)
    assert (rank_pair(tiny_pair(kind), SOURCE, TARGET, 3, "gradient_norm") > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_gradients_go_from_nothing_to_both_sides(kind):
    expected = torch.stack([slope(kind, point / (POINTS - 1)) for point in range(POINTS)]).mean(0)
    found = rank_pair(tiny_pair(kind), SOURCE, TARGET, 3, "integrated_gradients")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_what_the_last_token_looks_at_on_both_sides(kind):
    model = tiny_pair(kind)
    found = {name: rank_pair(model, SOURCE, TARGET, 3, name) for name in ("last_attention", "all_attentions")}
    plain = plain_pair(kind).eval()
    plain.set_attn_implementation("eager")
    output = plain(input_ids=SOURCE[None], decoder_input_ids=TARGET[None, :3], output_attentions=True)
    rows = [
        torch.cat([across[0, :, -1].mean(0), along[0, :, -1].mean(0)])
        for across, along in zip(output.cross_attentions, output.decoder_attentions, strict=True)
    ]
    torch.testing.assert_close(found["last_attention"], rows[-1].detach())
    torch.testing.assert_close(found["all_attentions"], torch.stack(rows).mean(0).detach())
    for each in found.values():
        torch.testing.assert_close(each.sum(), torch.tensor(2.0, dtype=each.dtype))  # each side sums to one
    assert model.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", sorted(PAIR_RANKINGS))
def test_a_rationale_grows_along_the_ranking_until_it_is_enough(name):
    model = tiny_pair("marian")
    scores = rank_pair(model, SOURCE, TARGET, 3, name)
    tokens = TARGET.clone()
    everything = model.masked(SOURCE, TARGET[:3], torch.ones(1, 7, dtype=torch.bool))[0]
    tokens[3] = everything.argmax()
    found = in_order_pair(model, SOURCE, tokens, 3, scores)
    expected = [6, *(place for place in scores.argsort(descending=True).tolist() if place != 6)]
    assert list(found.order) == expected[: len(found.order)]
    assert found.reached_argmax
    assert all(said != found.goal for said in found.predicted[:-1])
    for size in range(1, len(found.order) + 1):
        kept = torch.zeros(1, 7, dtype=torch.bool)
        kept[0, expected[:size]] = True
        p = model.masked(SOURCE, TARGET[:3], kept)[0].softmax(-1)
        assert float(p[found.goal]) == pytest.approx(found.probability[size - 1])


def test_what_cannot_be_ranked_is_named():
    model = tiny_pair("marian")
    with pytest.raises(ValueError, match=r"one of the rankings gradient_norm, .*; got 'attention_rollout'"):
        rank_pair(model, SOURCE, TARGET, 3, "attention_rollout")
    with pytest.raises(ValueError, match="places 1 to 3 of the translation, got 4"):
        rank_pair(model, SOURCE, TARGET, 4, "last_attention")
    with pytest.raises(ValueError, match=r"'scores' must be numbers \[7\]"):
        in_order_pair(model, SOURCE, TARGET, 3, torch.zeros(6))
