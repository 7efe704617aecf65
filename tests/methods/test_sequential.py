import pytest
import torch

from rationalizers.base import Rationalizer
from rationalizers.build import build
from tests.contract import LABELS, VOCABULARY, TextContract, batch, example

ENCODER = {
    "_target_": "rationalizers.encoders.CausalEncoder",
    "architecture": {
        "model_type": "gpt2",
        "n_positions": 32,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "initializer_range": 0.5,
    },
    "vocabulary": VOCABULARY,
    "mask_id": 1,
}
CONFIG = {
    "_target_": "rationalizers.methods.sequential.Sequential",
    "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
    "encoder": ENCODER,
    "weights": {"language": 1.0},
    "optimizer": {"lr": 1e-3},
    "answers": [3, 4, 5],
    "separator_id": 2,
}


# Twenty classes, and states that depend on every word: a few words are seldom enough.
MANY = {
    "encoder": {**ENCODER, "architecture": {**ENCODER["architecture"], "n_layer": 4, "initializer_range": 1.5}},
    "task": {"_target_": "rationalizers.task.Classification", "labels": [f"c{i}" for i in range(20)]},
    "answers": list(range(3, 23)),
}


def make(**changes):
    torch.manual_seed(0)
    return build({**CONFIG, **changes}, Rationalizer).eval()


class TestSequential(TextContract):
    def config(self):
        return CONFIG


# Greedy search --------------------------------------------------------------------------------------------------------


def shown(packed, places):
    mask = torch.zeros(packed.units.shape[0])
    mask[list(places)] = 1
    return mask


@torch.no_grad()
@pytest.mark.parametrize("query", [0, 3])
def test_each_addition_is_the_best_one(query):
    model = make(**MANY)
    sizes = []
    for seed in range(8):
        packed = example(9, seed=seed, query=query)
        n = 9 + query
        goal = int(model.logits(packed, torch.ones(n)).argmax())
        rationale = model(packed).rationale
        order = sorted(rationale.selected.nonzero().flatten().tolist(), key=lambda i: -float(rationale.scores[i]))
        assert order[0] == n - 1
        assert [float(rationale.scores[i]) for i in order] == [-float(i) for i in range(len(order))]
        assert (rationale.scores[~rationale.selected & ~packed.fixed] == -n).all()

        def score(places, packed=packed):
            return model.logits(packed, shown(packed, places)).log_softmax(-1)[0]

        for size in range(1, len(order)):
            assert int(score(order[:size]).argmax()) != goal  # it stops as soon as it is enough
            rest = [i for i in range(query, n) if i not in order[:size]]
            best = max(float(score([*order[:size], i])[goal]) for i in rest)
            assert float(score(order[: size + 1])[goal]) == pytest.approx(best, abs=1e-5)
        assert int(score(order).argmax()) == goal
        sizes.append(len(order))
    assert len(set(sizes)) > 2


def test_positions_stay_those_of_the_text():
    model, keep = make(), torch.arange(16) % 3 != 1
    kept, fresh = (batch((9, 7)).select(keep, positions=each) for each in ("kept", "fresh"))
    assert not torch.allclose(model.logits(kept, torch.ones(11)), model.logits(fresh, torch.ones(11)))
    for packed in (kept, fresh):
        output = model(packed)
        whole = model.logits(packed, torch.ones(11)).argmax(-1)
        assert output.logits.argmax(-1).equal(whole)
        torch.testing.assert_close(model.logits(packed, output.rationale.mask), output.logits)


def test_a_size_ends_it():
    packed = batch((9, 12, 7))
    free, short = make(**MANY)(packed).rationale, make(**MANY, max_size=2)(packed).rationale
    assert int(free.size().max()) > 2
    assert int(short.size().max()) == 2
    assert (free.selected | ~short.selected).all()  # the same, cut


def test_what_is_read_at_once_does_not_matter():
    packed = batch((9, 12, 7))
    assert make(max_tokens=5)(packed).rationale.mask.equal(make()(packed).rationale.mask)


def test_in_training_nothing_is_searched_for():
    model = make().train()
    assert model(batch((9, 7), query=2)).rationale.selected.sum() == 16


# The language model ---------------------------------------------------------------------------------------------------


def surprise(model, packed, b, query=0):
    """Of the words of one text, its class and its end, by the plain model."""
    rows = slice(int(packed.ptr[b]), int(packed.ptr[b + 1]))
    words = torch.cat([packed.units[rows], model.answers[packed.y[b : b + 1]], torch.tensor([model.separator_id])])
    log_p = model.reader.encoder.model(words[None]).logits[0].log_softmax(-1)
    each = -log_p[:-1].gather(1, words[1:, None]).squeeze(1)
    return each[max(0, query - 1) :].mean()


@pytest.mark.parametrize("query", [0, 1, 3])
def test_it_is_surprised_by_words_class_and_end_but_not_by_what_is_given(query):
    model, packed = make(), batch((7, 1, 12, 5), query=query)
    expected = torch.stack([surprise(model, packed, b, query) for b in range(4)])
    torch.testing.assert_close(model.language(packed), expected)
    torch.testing.assert_close(model(packed).terms["language"], expected.mean())


def test_without_missing_words_training_is_that_of_any_language_model():
    packed = batch((7, 12))
    for mixture, same in ((0.0, True), (1.0, False)):
        model = make(mixture=mixture, encoder={**ENCODER, "architecture": {**ENCODER["architecture"], **NO_DROPOUT}})
        complete = model.language(packed)
        torch.manual_seed(3)
        assert torch.allclose(model.train().language(packed), complete) == same


NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def test_given_words_are_seen_in_any_case(monkeypatch):
    model = make(mixture=1.0).train()
    shown = []
    encode = model._encoder.encode_seeing
    monkeypatch.setattr(model._encoder, "encode_seeing", lambda e, b, keys: shown.append(keys) or encode(e, b, keys))
    packed = batch((7, 12), query=2)
    for _ in range(10):
        model.language(packed)
    # A text of both has two given words, its own, its class and its end.
    given = torch.tensor([0, 1, 11, 12])
    assert all(keys[given].all() for keys in shown)
    assert not all(keys.all() for keys in shown)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"absent": "half"}, "one of uniform_length, inverse_length; got 'half'"),
        ({"mixture": 1.5}, r"'mixture' must be in \[0, 1\], got 1.5"),
        ({"answers": [3, 4]}, r"a word for each of the 3 labels, got \[3, 4\]"),
    ],
)
def test_a_bad_argument_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
