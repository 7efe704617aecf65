import dataclasses
import types

import pytest
import torch

from rationalizers import legacy
from rationalizers.base import Rationalizer
from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.rewriting import Replacements
from rationalizers.segment import segment_groups
from tests.contract import ENCODER, VOCABULARY, TextContract, batch
from tests.methods import test_a2r as parent


def config(**changes):
    return {
        **parent.config(),
        "_target_": "rationalizers.methods.noise.Noise",
        "weights": {"task": 1.0, "attention": 1.0, "agreement": 0.1, "replaced": 0.0},
        **changes,
    }


def table():
    """Every word of the contract's vocabulary, equally likely."""
    rows = torch.arange(3, VOCABULARY)
    return Replacements(torch.full((rows.numel(),), 1 / rows.numel()), rows, torch.arange(rows.numel() + 1))


def model(**changes):
    noise = build(config(**changes), Rationalizer)
    noise.replacements = table()
    return noise


class TestNoise(TextContract):
    def config(self):
        return config()

    @pytest.fixture
    def model(self):
        noise = build(self.config(), Rationalizer).eval()
        noise.replacements = table()
        return noise


class TestSentenceNoise(TestNoise):
    def config(self):
        return config(level="sentence", noise=0.5)


def shown_to(method, packed):
    """What the predictor reads."""
    seen = []
    handle = method.predictor.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    output = method(packed)
    handle.remove()
    return seen[0], output


# Training and evaluation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["word", "unit", "sentence"])
def test_without_noise_it_is_its_parent_to_the_bit(level):
    packed = batch((7, 6, 12, 5), query=2)
    grads = []
    for cls, more in (("a2r.A2R", {"weights": parent.config()["weights"]}), ("noise.Noise", {"noise": 0.0})):
        torch.manual_seed(3)
        method = build(config(_target_=f"rationalizers.methods.{cls}", level=level, **more), Rationalizer).train()
        method.replacements = table()
        torch.manual_seed(4)
        output = method(packed)
        method.loss(output.terms, method.phases()[0].weights).backward()
        grads.append([output.logits, output.rationale.mask, *(p.grad for p in method.parameters())])
    for ours, theirs in zip(*grads, strict=True):
        assert ours.equal(theirs)


def test_noise_replaces_words_in_training_only():
    packed = batch((30, 40))
    noise = model(noise=1.0).train()
    shown, output = shown_to(noise, packed)
    kept = packed.units[output.rationale.selected]
    assert shown.units.numel() == kept.numel()
    assert (shown.units != kept).float().mean() > 0.8
    assert output.terms["replaced"] > 0.8
    shown, output = shown_to(noise.eval(), packed)
    assert shown.units.equal(packed.units[output.rationale.selected])
    assert output.terms["replaced"] == 0


def test_the_attention_branch_and_the_query_see_no_noise():
    packed = batch((30, 40), query=3)
    noise = model(noise=1.0, dropout=0.0, generator={**ENCODER, "dropout": 0.0}).train()
    seen = []
    noise.generator.register_forward_hook(lambda *_: seen.append(1))
    clean = noise.generator.states(packed)
    shown, output = shown_to(noise, packed)
    own = noise.attend(clean, packed)
    assert noise.select(own, packed).mask.equal(output.rationale.mask)
    assert shown.units[shown.fixed].equal(packed.units[packed.fixed])


@pytest.mark.parametrize("p", [0.2, 0.6])
def test_of_a_random_selection_p_is_replaced(p):
    noise = model(noise=p).train()
    packed = batch((400, 500, 600))
    mask = (torch.rand(1500) < 0.5).float()
    ratio = []
    for step in range(12):
        noise.noise_seed = step
        shown = noise.rewrite(packed, mask)
        ratio.append(shown.fields["replaced"].mean().item())
    assert sum(ratio) / len(ratio) == pytest.approx(p, abs=0.02)  # 9,000 draws: five standard errors


def test_a_word_without_probability_stays_and_one_above_one_goes():
    packed = batch((10,))
    q = torch.zeros(10).index_fill(0, torch.tensor([2, 5]), 9.0)
    packed = dataclasses.replace(packed, fields={**packed.fields, "replaceable": q})
    only = Replacements(torch.tensor([1.0]), torch.tensor([1]), torch.tensor([0, 1]))
    noise = model(noise=0.5).train()
    noise.replacements = only
    assert (noise.rewrite(packed, torch.ones(10)).units == 1).nonzero().flatten().tolist() == [2, 5]


def test_noise_is_a_function_of_seed_and_step_and_disturbs_no_other_chance():
    packed = batch((30, 40))
    drawn = {}
    for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0)):
        noise = model(noise=0.5, noise_seed=seed).train()
        noise._trainer = types.SimpleNamespace(global_step=step)
        before = torch.get_rng_state()
        units = noise.rewrite(packed, torch.ones(70)).units
        assert torch.get_rng_state().equal(before)
        if (seed, step) in drawn:
            assert units.equal(drawn[seed, step])
        drawn[seed, step] = units
    assert not drawn[0, 0].equal(drawn[0, 1])
    assert not drawn[0, 0].equal(drawn[1, 0])


def test_words_of_several_pieces_are_replaced_as_a_whole():
    packed = parent.pieces()
    fields = {**packed.fields, "replaceable": torch.tensor([0.0, 0.0, 9.0, 9.0, 0.0, 9.0, 9.0, 0.0])}
    packed = dataclasses.replace(packed, fields=fields)
    noise = model(noise=1.0, level="unit").train()
    noise.replacements = Replacements(torch.tensor([1.0]), torch.tensor([40, 41, 42]), torch.tensor([0, 3]))
    mask = torch.zeros(8).index_fill(0, torch.tensor([1, 3]), 1.0)  # a, and the second piece of b
    shown = noise.rewrite(packed, mask)
    assert shown.units.tolist() == [3, 4, 40, 41, 42, 10]
    assert shown.position.tolist() == [0, 1, 2, 3, 4, 5]
    run, _ = segment_groups(shown.fields["word"], shown.ptr)
    assert run.tolist() == [0, 1, 2, 2, 2, 3]


# Where the words come from --------------------------------------------------------------------------------------------------


def test_words_come_from_the_data_module():
    noise = build(config(), Rationalizer)
    noise._trainer = types.SimpleNamespace(datamodule=types.SimpleNamespace(replacements=table))
    noise.on_fit_start()
    assert noise.replacements.units.equal(table().units)
    noise._trainer = types.SimpleNamespace(datamodule=object())
    with pytest.raises(TypeError, match=r"object has no 'replacements\(\)'"):
        noise.on_fit_start()


def test_training_without_statistics_is_an_error():
    noise = build(config(), Rationalizer).train()
    with pytest.raises(ValueError, match=r"fields\['replaceable'\] and the words of `on_fit_start`"):
        noise(batch())
    packed = batch()
    packed = dataclasses.replace(packed, fields={n: v for n, v in packed.fields.items() if n != "replaceable"})
    with pytest.raises(ValueError, match="replaceable"):
        model().train()(packed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": 1.5}, r"'noise' is a probability in \[0, 1\], got 1.5"),
        ({"whole_words": False}, "'whole_words' of Noise must be true"),
        ({"legacy": ["gone"]}, "'legacy' must be of .*words_before; got gone"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(config(**change), Rationalizer)


# The released code's misalignment, off and on -------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "received"), [([], "c"), (["words_before"], "b")])
def test_selecting_one_word_trains_the_predictor_on_it(names, received):
    words = "abcde"
    packed = Packed(
        units=torch.tensor([3, 10, 11, 12, 13, 14, 4]),
        ptr=torch.tensor([0, 7]),
        fixed=torch.tensor([1, 0, 0, 0, 0, 0, 1], dtype=torch.bool),
        fields={"word": torch.tensor([-1, 0, 1, 2, 3, 4, -1]), "replaceable": torch.zeros(7)},
        words=(tuple(words),),
    )
    noise = model(legacy=names).train()
    shown = noise.rewrite(packed, torch.zeros(7).index_fill(0, torch.tensor(3), 1.0))  # selects "c"
    assert [words[i] for i in shown.fields["word"].tolist() if i >= 0] == [received]
    shown = noise.rewrite(packed, torch.zeros(7).index_fill(0, torch.tensor(1), 1.0))  # "a": before it is only [CLS]
    assert [words[i] for i in shown.fields["word"].tolist() if i >= 0] == ["a"]


def test_with_a_query_the_word_before_wraps_around():
    packed = parent.question()  # words a to f, after a query with one extra piece
    mask = torch.zeros(12).index_fill(0, torch.tensor([5, 8]), 1.0)  # a and d: the words 1 + 1 before them are e and b
    taken = legacy.words_before(mask, packed)
    assert taken.nonzero().flatten().tolist() == [6, 9]
