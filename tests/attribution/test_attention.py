"""Attention as attribution, against weights and rollouts computed by hand from transformers' own."""

import pytest
import torch

pytest.importorskip("transformers")

from rationalizers.attribution import Attention, AttentionRollout
from rationalizers.attribution.attention import rollout as followed
from rationalizers.base import Rationalizer
from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.encoders import pretrained as module
from rationalizers.segment import lengths
from tests.attribution.test_gradient import FULL
from tests.contract import ENCODER, LABELS, batch
from tests.encoders.tiny_transformers import ARCHITECTURES, VOCABULARY, architecture, saved
from tests.encoders.tiny_transformers import texts as random_texts
from tests.tiny import MODELS

SIZES = (5, 0, 2, 12, 9)
TASK = {"_target_": "rationalizers.task.Classification", "labels": LABELS}


def bert(folder, family="bert", *, pooling="first", max_length=20, **changes):
    """A classifier over a tiny Transformer with the weights in a folder."""
    encoder = {
        "_target_": "rationalizers.encoders.PretrainedEncoder",
        "pretrained": str(folder),
        "architecture": architecture(family),
        "vocabulary": VOCABULARY,
        "mask_id": 4,
        "max_length": max_length,
        **changes,
    }
    torch.manual_seed(0)
    model = build({**FULL, "encoder": encoder, "pooling": pooling}, Rationalizer).eval()
    model.predictor.encoder.initialize(())
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("attention")
    return {family: (place / family, saved(place / family, family)) for family in ARCHITECTURES}


def texts(sizes=SIZES, seed=0):
    return random_texts(sizes, seed)


def cut(x, packed):
    return x.split(lengths(packed.ptr).tolist())


def scores(attribution, model, packed):
    """Those of all units, fixed ones included."""
    return attribution.scores(model, packed, torch.zeros_like(packed.index))


def attentions(theirs, units):
    """Transformers' attention in every layer, mean over heads, ``[A, L, L]``."""
    theirs.set_attn_implementation("eager")
    with torch.no_grad():
        return torch.stack([layer[0].mean(0) for layer in theirs(input_ids=units[None], output_attentions=True).attentions])


def rollout(layers):
    """The matrix of Abnar and Zuidema."""
    eye = torch.eye(layers.shape[1])
    product = eye
    for layer in layers:
        mixed = 0.5 * layer + 0.5 * eye
        product = mixed / mixed.sum(1, keepdim=True) @ product
    return product


# Weights of pooling ---------------------------------------------------------------------------------------------------


def test_attention_is_what_the_predictor_pools_by():
    model = build({**FULL, "pooling": "attention"}, Rationalizer).eval()
    packed = batch(query=2)
    rationale = Attention(share=0.3)(model, packed)
    weights = model.predictor.attention(packed)
    assert rationale.scores[~packed.fixed].equal(weights[~packed.fixed])
    assert rationale.size().tolist() == [2, 1, 4, 2]
    for chosen, one, fixed in zip(cut(rationale.mask, packed), cut(weights, packed), cut(packed.fixed, packed), strict=True):
        best = one.masked_fill(fixed, -1).topk(int(chosen.sum())).indices
        assert chosen.nonzero().flatten().equal(best.sort().values)


@pytest.mark.parametrize("name", ["a2r", "noise"])
def test_attention_of_the_generator_is_what_it_selects_by(name):
    config = {**MODELS["noise"], "task": TASK, "generator": ENCODER, "predictor": ENCODER, "share": 0.3, "level": "unit"}
    if name == "a2r":
        config = {key: value for key, value in config.items() if key != "noise"} | {"_target_": "rationalizers.methods.a2r.A2R"}
    model = build(config, Rationalizer).eval()
    packed = batch(query=2)
    rationale = Attention(share=0.3, of="generator")(model, packed)
    assert rationale.mask.equal(model(packed).rationale.mask)
    for one in cut(scores(Attention(share=0.3, of="generator"), model, packed), packed):
        torch.testing.assert_close(one.sum(), torch.tensor(1.0))


@pytest.mark.parametrize(
    ("attribution", "takes"),
    [
        (Attention(share=0.2), "a predictor that pools by attention"),
        (Attention(share=0.2, of="generator"), "the generator of methods a2r and noise"),
        (Attention(share=0.2, of="last_layer"), "a predictor over a Transformer"),
        (AttentionRollout(share=0.2), "a predictor over a Transformer"),
    ],
)
def test_a_model_without_attention_says_what_would_have_it(attribution, takes):
    model = build({**MODELS["rnp"], "task": TASK, "encoder": ENCODER}, Rationalizer).eval()
    with pytest.raises(ValueError, match=f"RNP has no attention .*{takes}.*no attention of any kind"):
        attribution(model, batch())


def test_a_model_with_attention_of_another_kind_says_so(folders):
    with pytest.raises(ValueError, match=r"no attention of the kind 'predictor'.*Attention\(of=last_layer\)"):
        Attention(share=0.2)(bert(folders["bert"][0]), texts())


def test_kinds_of_attention_are_closed():
    with pytest.raises(ValueError, match="'of' must be one of predictor, generator, last_layer; got 'heads'"):
        Attention(share=0.2, of="heads")


# Layers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_layers_are_those_of_transformers(folders, family):
    folder, theirs = folders[family]
    model, packed = bert(folder, family), texts()
    last, rolled = (
        scores(attribution, model, packed) for attribution in (Attention(share=0.2, of="last_layer"), AttentionRollout(share=0.2))
    )
    for units, one, other in zip(cut(packed.units, packed), cut(last, packed), cut(rolled, packed), strict=True):
        if len(units):
            layers = attentions(theirs, units)
            torch.testing.assert_close(one, layers[-1][0], atol=2e-6, rtol=1e-5)
            torch.testing.assert_close(other, rollout(layers)[0], atol=2e-6, rtol=1e-5)


def test_a_rollout_of_two_layers_by_hand():
    # Two units; layers attend by [[1, 0], [½, ½]] and [[½, ½], [0, 1]], so Â = [[1, 0], [¼, ¾]] and [[¾, ¼], [0, 1]].
    weights = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.0, 1.0]]])[:, None]
    assert followed(weights, torch.tensor([[1.0, 0.0]])).tolist() == [[0.8125, 0.1875]]  # ¾·1 + ¼·¼, ¼·¾
    assert followed(weights, torch.tensor([[0.0, 1.0]])).tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_a_rollout_is_read_as_the_predictor_pools(folders, pooling):
    folder, theirs = folders["bert"]
    model, packed = bert(folder, pooling=pooling), texts()
    found = cut(scores(AttentionRollout(share=0.2), model, packed), packed)
    states = cut(model.predictor.encoder.states(packed), packed)
    for units, h, one in zip(cut(packed.units, packed), states, found, strict=True):
        if not len(units):
            continue
        if pooling == "attention":
            part = model.predictor.score(h)[:, 0].softmax(0)
        elif pooling == "max":
            part = torch.bincount(h.argmax(0), minlength=len(units)) / h.shape[1]
        else:
            part = torch.full((len(units),), 1 / len(units))
        torch.testing.assert_close(one, part @ rollout(attentions(theirs, units)), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_windows_are_followed_one_by_one(folders, pooling):
    # 12 units with 3 places between [CLS] and [SEP]: windows of 3, 3, 3 and 1 words.
    folder, theirs = folders["bert"]
    model, packed = bert(folder, pooling=pooling, max_length=5), texts((12,))
    found = scores(AttentionRollout(share=0.2), model, packed)
    expected = torch.zeros(12)
    for number, words in enumerate(torch.arange(1, 11).split(3)):
        unit = torch.cat([torch.tensor([0]), words, torch.tensor([11])])
        matrix = rollout(attentions(theirs, packed.units[unit]))
        rows = range(len(unit)) if number == 0 else range(1, len(unit) - 1)  # states of [CLS] and [SEP] are the first window's
        part = {"first": [0] if number == 0 else [], "mean": list(rows)}[pooling]
        expected[unit] += matrix[part].sum(0) / (1 if pooling == "first" else 12)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(found.sum(), torch.tensor(1.0))
    assert bool(found[4:11].any()) == (pooling == "mean")


@pytest.mark.parametrize("attribution", [Attention(share=0.3, of="last_layer"), AttentionRollout(share=0.3)])
def test_company_and_how_many_windows_go_together_change_nothing(folders, monkeypatch, attribution):
    model, packed = bert(folders["bert"][0], pooling="mean", max_length=7), texts()
    together = attribution(model, packed).scores
    for weights in (1, 600):
        monkeypatch.setattr(module, "WEIGHTS", weights)
        torch.testing.assert_close(attribution(model, packed).scores, together, atol=1e-6, rtol=1e-5)
    for b, one in enumerate(cut(together, packed)):
        if len(one):
            rows = torch.arange(packed.ptr[b], packed.ptr[b + 1])
            alone = Packed(units=packed.units[rows], ptr=torch.tensor([0, len(rows)]), fixed=packed.fixed[rows])
            torch.testing.assert_close(attribution(model, alone).scores, one, atol=1e-6, rtol=1e-5)


def test_looking_at_attention_leaves_the_model_as_it_was(folders):
    model, packed = bert(folders["bert"][0]), texts()
    before = model(packed).logits
    transformer = model.predictor.encoder.transformer
    for part in model.predictor.encoder.attention(packed):
        assert transformer.config._attn_implementation == "sdpa"
        torch.testing.assert_close(part.weights.sum(-1)[:, part.here], torch.ones(2, int(part.here.sum())))
    assert model(packed).logits.equal(before)

    def refuse(**_):
        raise RuntimeError("no attention today")

    transformer.forward, forward = refuse, transformer.forward
    with pytest.raises(RuntimeError, match="today"):
        scores(AttentionRollout(share=0.2), model, packed)
    transformer.forward = forward
    assert transformer.config._attn_implementation == "sdpa"


def test_a_frozen_transformer_is_followed_too(folders):
    free, frozen = (bert(folders["bert"][0], frozen=each) for each in (False, True))
    ours, theirs = (scores(AttentionRollout(share=0.2), model, texts()) for model in (free, frozen))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("sizes", [(), (0,), (0, 0)])
def test_examples_without_units_have_no_attention(folders, sizes):
    model = bert(folders["bert"][0], pooling="max")
    assert list(model.predictor.encoder.attention(texts(sizes))) == []
    assert model.predictor.pooling_weights(texts(sizes)).shape == (0,)
