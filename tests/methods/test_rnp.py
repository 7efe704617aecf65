from dataclasses import replace

import pytest
import torch

from rationalizers import losses
from rationalizers.base import Rationalizer
from rationalizers.build import build
from tests.contract import ENCODER, LABELS, TextContract, batch


def config(**changes):
    return {
        "_target_": "rationalizers.methods.rnp.RNP",
        "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
        "encoder": ENCODER,
        "selector": {"_target_": "rationalizers.selectors.StraightThroughGumbel"},
        "weights": {"task": 1.0, "sparsity": 1.0, "continuity": 1.0, "evidence": 1.0},
        "optimizer": {"lr": 1e-3},
        "share": 0.2,
        **changes,
    }


class TestRNP(TextContract):
    def config(self):
        return config()


class TestSoftRNP(TextContract):
    def config(self):
        return config(selector={"_target_": "rationalizers.selectors.SoftGumbel", "temperature": 0.7}, absence="mask_token")


class TestPooledRNP(TextContract):
    def config(self):
        return config(pooling="attention", labelled_reads="text")


def test_under_a_full_mask_it_is_the_full_input_classifier():
    model = build(config(), Rationalizer).eval()
    full = build(
        {
            "_target_": "rationalizers.methods.full.Full",
            "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
            "encoder": ENCODER,
            "weights": {"task": 1.0},
            "optimizer": {"lr": 1e-3},
        },
        Rationalizer,
    ).eval()
    full.predictor.load_state_dict(model.predictor.state_dict())
    packed = batch(query=2)
    assert full(packed).logits.equal(model.logits(packed, torch.ones(packed.units.shape[0])))


def test_terms_are_the_losses_by_name():
    model = build(config(), Rationalizer).eval()
    packed = batch()
    output = model(packed)
    torch.testing.assert_close(output.terms["task"], torch.nn.functional.cross_entropy(output.logits, packed.y))
    torch.testing.assert_close(output.terms["sparsity"], losses.sparsity(output.rationale.share(), target=0.2))
    torch.testing.assert_close(output.terms["continuity"], output.rationale.transitions().mean())
    torch.testing.assert_close(output.terms["evidence"], losses.evidence(output.rationale, packed))


def test_the_task_reaches_the_generator_through_the_mask_only():
    model = build(config(), Rationalizer).train()
    model(batch((7, 6, 12, 5))).terms["task"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.generator.parameters())
    assert model.selector.score.weight.grad.abs().sum() > 0


def test_the_predictor_pools_as_told():
    pooled = {how: build(config(pooling=how), Rationalizer) for how in ("max", "first", "attention")}
    assert {how: each.predictor.pooling for how, each in pooled.items()} == {how: how for how in pooled}
    assert pooled["attention"].predictor.score is not None


# What labelled examples are read from -------------------------------------------------------------------------------------

STILL = {**ENCODER, "dropout": 0.0}  # so that two passes of training mode can be compared


def reading(how, **changes):
    torch.manual_seed(3)
    return build(config(encoder=STILL, dropout=0.0, labelled_reads=how, **changes), Rationalizer)


def with_labels(packed, labelled):
    return replace(packed, labelled=torch.tensor(labelled))


@pytest.mark.parametrize("absence", ["zero", "mask_token"])
def test_in_training_the_task_loss_of_a_labelled_example_is_that_of_its_whole_text(absence):
    model = reading("text", absence=absence).train()
    packed = with_labels(batch((7, 6, 12, 5), query=2), [True, True, False, False])
    output = model(packed)
    whole = model.logits(packed, torch.ones(packed.units.shape[0]))
    selected = model.logits(packed, output.rationale.mask)
    assert not torch.isclose(whole, selected).all(1).any()
    expected = torch.cat([whole[:2], selected[2:]])
    torch.testing.assert_close(output.logits, expected)
    torch.testing.assert_close(output.terms["task"], torch.nn.functional.cross_entropy(expected, packed.y))


def test_in_training_only_the_rationales_of_other_examples_are_judged():
    model = reading("text").train()
    packed = with_labels(batch((7, 6, 12, 5)), [True, False, False, True])
    output = model(packed)
    others = torch.tensor([False, True, True, False])
    share, transitions = output.rationale.share(), output.rationale.transitions()
    assert (share != 0.2).all()
    assert (transitions > 0).all()
    torch.testing.assert_close(output.terms["sparsity"], (share - 0.2).abs()[others].sum() / 4)
    torch.testing.assert_close(output.terms["continuity"], transitions[others].sum() / 4)
    torch.testing.assert_close(output.terms["evidence"], losses.evidence(output.rationale, packed))


def test_a_labelled_example_that_is_read_whole_teaches_the_generator_through_evidence_alone():
    model = reading("text").train()
    packed = with_labels(batch((7, 6)), [True, True])
    terms = model(packed).terms
    assert (terms["sparsity"], terms["continuity"]) == (0, 0)
    for name, learns in (("task", False), ("sparsity", False), ("continuity", False), ("evidence", True)):
        model.zero_grad()
        terms[name].backward(retain_graph=True)
        grads = [p.grad for module in (model.generator, model.selector) for p in module.parameters() if p.grad is not None]
        assert any(bool(grad.any()) for grad in grads) == learns, name


def test_in_evaluation_every_example_is_read_by_its_rationale():
    packed = with_labels(batch((7, 6, 12, 5), query=2), [True, True, False, False])
    by_text, by_rationale = (reading(how).eval()(packed) for how in ("text", "rationale"))
    assert by_text.logits.equal(by_rationale.logits)
    assert by_text.rationale.mask.equal(by_rationale.rationale.mask)
    assert all(by_text.terms[name].equal(term) for name, term in by_rationale.terms.items())


def test_without_labelled_examples_both_ways_of_reading_are_the_same_to_the_bit():
    packed = with_labels(batch((7, 6, 12, 5), query=2), [False] * 4)
    found = []
    for how in ("text", "rationale"):
        model = reading(how).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        torch.manual_seed(5)
        for _ in range(3):
            optimizer.zero_grad()
            model.loss(model(packed).terms, model.weights).backward()
            optimizer.step()
        found.append(model.state_dict())
    assert all(found[0][name].equal(found[1][name]) for name in found[0])
    labelled = with_labels(packed, [True] * 4)
    losses_of = [model.loss(reading(how).train()(labelled).terms, model.weights) for how in ("text", "rationale")]
    assert losses_of[0] != losses_of[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.0}, r"'share' must be in \(0, 1\], got 0.0"),
        ({"share": 1.5}, r"'share' must be in \(0, 1\], got 1.5"),
        ({"absence": "compact"}, "'absence' of RNP must be 'zero' or 'mask_token'"),
        ({"absence": "gone"}, "'absence' must be one of"),
        ({"labelled_reads": "evidence"}, "'labelled_reads' must be one of rationale, text; got 'evidence'"),
        ({"pooling": "sum"}, "'pooling' must be one of max, mean, first, last, attention; got 'sum'"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(config(**change), Rationalizer)
