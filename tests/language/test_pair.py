from types import SimpleNamespace

import pytest
import torch

from rationalizers.encoders.architectures import PAIR, check_pair
from rationalizers.language import PairModel, greedy_pair
from tests.language.models import PAIR_SETTINGS, POSITIONS, VOCABULARY, plain, plain_pair, text, tiny_pair

KINDS = sorted(PAIR_SETTINGS)
SOURCE, TARGET = text(5, seed=1), text(6, seed=2)


def kept(*places, size=9):
    row = torch.zeros(1, size, dtype=torch.bool)
    row[0, list(places)] = True
    return row


def test_every_supported_architecture_is_tested():
    assert set(PAIR) == set(PAIR_SETTINGS)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_kept_is_the_model_itself(kind):
    model = tiny_pair(kind)
    expected = model.model(input_ids=SOURCE[None], decoder_input_ids=TARGET[None, :4]).logits[0, -1].detach()
    torch.testing.assert_close(model.masked(SOURCE, TARGET[:4], kept(*range(9)))[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shorter_source_is_the_same_as_a_masked_end(kind):
    model = tiny_pair(kind)
    expected = model.model(input_ids=SOURCE[None, :3], decoder_input_ids=TARGET[None, :4]).logits[0, -1].detach()
    torch.testing.assert_close(model.masked(SOURCE, TARGET[:4], kept(0, 1, 2, 5, 6, 7, 8))[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_absent_tokens_change_nothing_and_others_do(kind):
    model = tiny_pair(kind)
    row = kept(0, 3, 6, 8)
    before = model.masked(SOURCE, TARGET[:4], row)
    for place in range(9):
        changed = torch.cat([SOURCE, TARGET[:4]])
        changed[place] = (changed[place] + 3) % VOCABULARY
        after = model.masked(changed[:5], changed[5:], row)
        assert torch.equal(before, after) == (not row[0, place]), place


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_source_attention_to_it_adds_its_bias_alone(kind):
    model = tiny_pair(kind)
    found = model.masked(SOURCE, TARGET[:4], kept(5, 6, 8))
    outs = [each for name, each in model.model.named_modules() if name.endswith(("encoder_attn.out_proj", "EncDecAttention.o"))]
    assert len(outs) == 2
    hooks = [each.register_forward_pre_hook(lambda _, given: (torch.zeros_like(given[0]),)) for each in outs]
    expected = model.masked(SOURCE, TARGET[:4], kept(0, 1, 5, 6, 8))
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_company_does_not_matter(kind):
    model = tiny_pair(kind)
    rows = torch.cat([kept(0, 8), kept(8), kept(0, 5, 8), kept(*range(9))])
    together = model.masked(SOURCE, TARGET[:4], rows)
    for row, each in zip(rows, together, strict=True):
        torch.testing.assert_close(model.masked(SOURCE, TARGET[:4], row[None])[0], each)


@pytest.mark.parametrize("kind", KINDS)
def test_each_addition_is_the_best_one(kind):
    model = tiny_pair(kind)
    sides = set()
    for found in greedy_pair(model, SOURCE, TARGET):
        n = 5 + found.target
        assert (found.before, found.order[0], found.goal) == (n, n - 1, int(TARGET[found.target]))

        def score(places, found=found, n=n):
            return model.masked(SOURCE, TARGET[: found.target], kept(*places, size=n))[0].log_softmax(-1)

        for size in range(1, len(found.order) + 1):
            log_p = score(found.order[:size])
            assert found.predicted[size - 1] == int(log_p.argmax())
            assert found.probability[size - 1] == pytest.approx(float(log_p[found.goal].exp()))
            if size < len(found.order):
                assert found.predicted[size - 1] != found.goal
                rest = [i for i in range(n) if i not in found.order[:size]]
                scores = [float(score([*found.order[:size], i])[found.goal]) for i in rest]
                # The same token in two places of the source may be the same to T5, up to rounding.
                assert scores[rest.index(found.order[size])] == pytest.approx(max(scores), abs=1e-9)
                sides.add(found.order[size] < 5)
        assert found.reached_argmax or len(found.order) == n
        assert found.certified == found.reached_argmax
    assert sides == {True, False}


@pytest.mark.parametrize("max_tokens", [1, 40])
def test_it_does_not_depend_on_what_is_read_at_once(max_tokens):
    model = tiny_pair("marian")
    expected = greedy_pair(model, SOURCE, TARGET)
    for found, other in zip(greedy_pair(model, SOURCE, TARGET, max_tokens=max_tokens), expected, strict=True):
        assert (found.order, found.predicted) == (other.order, other.predicted)


def test_targets_sizes_and_progress():
    seen = []
    found = greedy_pair(tiny_pair("t5"), SOURCE, TARGET, [4, 1], max_size=2, progress=lambda *each: seen.append(each))
    assert [each.target for each in found] == [4, 1]
    assert max(len(each.order) for each in found) <= 2
    assert seen == [(1, 2), (2, 2)]
    assert found[0].rationale().ptr.tolist() == [0, 9]


def test_a_folder_is_opened(tmp_path):
    plain_pair("marian").save_pretrained(tmp_path)
    model = PairModel.load(str(tmp_path))
    row = kept(0, 3, 8)
    torch.testing.assert_close(model.masked(SOURCE, TARGET[:4], row), tiny_pair("marian").masked(SOURCE, TARGET[:4], row))


@pytest.mark.parametrize("kind", ["pegasus", "gpt2"])
def test_others_are_refused_by_name(kind):
    with pytest.raises(ValueError, match=f"'{kind}' cannot be guaranteed"):
        check_pair(SimpleNamespace(model_type=kind))
    with pytest.raises(ValueError, match="'gpt2' cannot be guaranteed"):
        PairModel(plain("gpt2"))


def test_attention_that_cannot_see_nothing_is_refused():
    model = plain_pair("bart")
    model.set_attn_implementation("eager")
    with pytest.raises(ValueError, match="attn_implementation='sdpa', got 'eager'"):
        PairModel(model)


def test_the_last_token_is_never_masked():
    with pytest.raises(ValueError, match="must hold the last token"):
        tiny_pair("t5").masked(SOURCE, TARGET[:4], kept(0, 1))


@pytest.mark.parametrize(
    ("source", "tokens", "targets", "message"),
    [
        (SOURCE[:0], TARGET, None, r"source must be token numbers \[n\], got torch.int64 \[0\]"),
        (SOURCE, TARGET[None], [1], r"target must be token numbers \[n\], got torch.int64 \[1, 6\]"),
        (torch.zeros(POSITIONS + 1, dtype=torch.long), TARGET, None, "a source of 33 tokens is longer"),
        (SOURCE, TARGET, [6], "places 1 to 5 of the translation, got 6"),
    ],
)
def test_a_text_that_cannot_be_asked_about_is_named(source, tokens, targets, message):
    with pytest.raises(ValueError, match=message):
        greedy_pair(tiny_pair("bart"), source, tokens, targets)


def test_numbers_that_are_not_finite_are_named():
    model = plain_pair("t5")
    torch.nn.init.constant_(model.decoder.final_layer_norm.weight, torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        PairModel(model).masked(SOURCE, TARGET[:4], kept(8))


@pytest.mark.parametrize("sources", [1, 2, 5, 9])
def test_the_search_may_go_on_until_it_has_source_tokens(sources):
    model = tiny_pair("marian")
    for target in range(1, 6):
        (short,), (long,) = (greedy_pair(model, SOURCE, TARGET, [target], sources=each) for each in (0, sources))
        assert long.order[: len(short.order)] == short.order
        found = sum(place < 5 for place in long.order)
        assert found >= min(sources, 5)
        if found > sum(place < 5 for place in short.order):  # it went on, and no further than it had to
            assert found == min(sources, 5) or not short.reached_argmax


def test_it_writes_what_is_most_probable():
    model = tiny_pair("marian")
    found = model.write(SOURCE, most=4)
    tokens = [model.model.config.decoder_start_token_id]
    for _ in range(4):
        logits = model.model(input_ids=SOURCE[None], decoder_input_ids=torch.tensor([tokens])).logits
        tokens.append(int(logits[0, -1].argmax()))
        if tokens[-1] == model.model.config.eos_token_id:
            break
    assert found.tolist() == tokens
