import math

import pytest
import torch

from rationalizers import legacy, losses
from rationalizers.base import Rationalizer
from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.segment import lengths, segment_sum
from tests.contract import ENCODER, LABELS, TextContract, batch


def config(**changes):
    return {
        "_target_": "rationalizers.methods.a2r.A2R",
        "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
        "generator": ENCODER,
        "predictor": ENCODER,
        "weights": {"task": 1.0, "attention": 1.0, "agreement": 0.1},
        "optimizer": {"lr": 1e-3},
        "share": 0.3,
        **changes,
    }


def model(**changes):
    return build(config(**changes), Rationalizer).eval()


class TestA2R(TextContract):
    def config(self):
        return config()


class TestSentenceA2R(TextContract):
    def config(self):
        return config(level="sentence", pooling="mean")


class TestLegacyA2R(TextContract):
    """What does not depend on the batch."""

    def config(self):
        return config(legacy=["double_softmax", "attended_separators"], level="unit", whole_words=False)


# What it computes ---------------------------------------------------------------------------------------------------------


def test_attention_is_a_distribution_over_what_can_be_selected():
    packed = batch(query=2)
    a2r = model()
    attention = a2r.attend(a2r.generator.states(packed), packed)
    assert not attention[packed.fixed].any()
    torch.testing.assert_close(segment_sum(attention, packed.ptr), torch.ones(4))


@pytest.mark.parametrize("training", [False, True])
def test_a_share_of_the_words_with_the_largest_attention_is_selected(training):
    packed = batch((7, 1, 12, 5), query=2)
    a2r = model().train(training)
    torch.manual_seed(1)
    rationale = a2r(packed).rationale
    assert rationale.size().tolist() == [2.0, 1.0, 4.0, 2.0]  # round(2.1), at least 1, round(3.6), round(1.5) to even
    assert rationale.topk(rationale.size().long()).mask.equal(rationale.mask)
    assert not rationale.mask.requires_grad


def test_the_predictor_receives_the_selected_words_and_no_other():
    packed = batch((7, 6, 12, 5), query=2)
    seen = []
    for training in (True, False):
        a2r = model().train(training)
        a2r.predictor.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
        rationale = a2r(packed).rationale
        shown = seen.pop()
        visible = rationale.selected | packed.fixed
        assert shown.units.equal(packed.units[visible])
        assert lengths(shown.ptr).equal(segment_sum(visible.long(), packed.ptr))
        assert shown.position.max() < 2 + 4  # renumbered


def test_one_known_word_is_selected_and_received():
    packed = batch((7, 9))
    a2r = model(share=0.01)
    target = torch.tensor([4, 7 + 2])  # one word in each example
    a2r.attend = lambda h, batch: torch.zeros(h.shape[0]).index_fill(0, target, 1.0)
    seen = []
    a2r.predictor.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    for training in (True, False):
        a2r.train(training)(packed)
        assert seen.pop().units.equal(packed.units[target])


def pieces():
    """[CLS] a | b b | c | d d [SEP]: words of one and two pieces."""
    return Packed(
        units=torch.arange(3, 11),
        ptr=torch.tensor([0, 8]),
        y=torch.tensor([1]),
        fixed=torch.tensor([1, 0, 0, 0, 0, 0, 0, 1], dtype=torch.bool),
        fields={
            "word": torch.tensor([-1, 0, 1, 1, 2, 3, 3, -1]),
            "sentence": torch.tensor([-1, 0, 0, 0, 1, 1, 1, -1]),
            "evidence": torch.zeros(8, dtype=torch.bool),
            "sentences_cut": torch.zeros(8, dtype=torch.long),
        },
    )


def test_words_are_selected_with_all_their_pieces():
    a2r = model(share=0.25)
    a2r.attend = lambda h, batch: torch.tensor([0.0, 0.3, 0.0, 0.4, 0.1, 0.3, 0.31, 0.0])
    assert a2r(pieces()).rationale.selected.nonzero().flatten().tolist() == [5, 6]  # mean .305, against .2 of the other pair


@pytest.mark.parametrize(("whole", "expected"), [(True, [3, 5, 6, 10]), (False, [3, 6, 10])])
def test_in_training_pieces_bring_in_their_words_where_asked(whole, expected):
    a2r = model(share=0.01, level="unit", whole_words=whole)
    a2r.attend = lambda h, batch: torch.zeros(8).index_fill(0, torch.tensor(3), 1.0)
    seen = []
    a2r.predictor.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].units.tolist()))
    assert a2r.train()(pieces()).rationale.selected.nonzero().flatten().tolist() == [3]
    a2r.eval()(pieces())
    assert seen == [expected, [3, 6, 10]]  # [CLS], the piece, [SEP]


def test_terms_are_two_predictions_and_their_agreement():
    packed, a2r = batch(), model()
    output = a2r(packed)
    h = a2r.generator.states(packed)
    own = a2r.head(segment_sum(a2r.attend(h, packed)[:, None] * h, packed.ptr))
    torch.testing.assert_close(output.terms["task"], torch.nn.functional.cross_entropy(output.logits, packed.y))
    torch.testing.assert_close(output.terms["attention"], torch.nn.functional.cross_entropy(own, packed.y))
    torch.testing.assert_close(output.terms["agreement"], losses.agreement(own, output.logits))


def test_the_rationales_prediction_never_teaches_the_generator():
    a2r = model().train()
    a2r(batch((7, 6, 12, 5))).terms["task"].backward()
    parts = {name: [p for p in group if p.grad is not None and p.grad.any()] for name, group in a2r.parameter_groups().items()}
    assert parts["predictor"]
    assert not parts["generator"]


def test_agreement_reaches_both_and_equals_two_losses_with_one_side_detached():
    packed, twice = batch((7, 6, 12, 5)), []
    for detached in (False, True):
        torch.manual_seed(0)
        a2r = model()
        h = a2r.generator.states(packed)
        own = a2r.head(segment_sum(a2r.attend(h, packed)[:, None] * h, packed.ptr))
        logits = a2r.logits(packed, a2r(packed).rationale.mask)
        if detached:
            (losses.agreement(own, logits.detach()) + losses.agreement(own.detach(), logits)).backward()
        else:
            losses.agreement(own, logits).backward()
        twice.append([p.grad for p in a2r.parameters()])
    for one, other in zip(*twice, strict=True):
        torch.testing.assert_close(one, other)


def test_each_network_has_a_learning_rate_of_its_own():
    a2r = model(optimizer={"lr": {"generator": 1e-2, "predictor": 3e-4}})
    groups = [{"params": list(parameters), "name": name} for name, parameters in a2r.parameter_groups().items()]
    assert {group["name"]: group["lr"] for group in a2r.optimizer_config.build(groups).param_groups} == {
        "generator": 1e-2,
        "predictor": 3e-4,
    }


# Defects of the released code, off and on -----------------------------------------------------------------------------------


def test_probabilities_taken_for_logits():
    packed = batch()
    output = model(legacy=["double_softmax"])(packed)
    expected = torch.nn.functional.cross_entropy(output.logits.softmax(-1), packed.y)
    torch.testing.assert_close(output.terms["task"], expected)
    certain = torch.tensor([[50.0, -50.0]])
    task = type(model().task)(labels=["a", "b"])
    assert legacy.double_softmax(task, certain, torch.tensor([0])).item() == pytest.approx(0.3133, abs=1e-4)


def test_divergence_the_other_way_round_and_summed():
    p, q = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[-1.0, 0.5], [0.0, 1.0]])
    a, b = p.softmax(-1), q.softmax(-1)
    m = (a + b) / 2
    divergence = (m * (m / a).log()).sum(-1) / 2 + (m * (m / b).log()).sum(-1) / 2
    torch.testing.assert_close(legacy.reversed_divergence(p, q), divergence.sum())
    proper = (a * (a / m).log()).sum(-1) / 2 + (b * (b / m).log()).sum(-1) / 2
    torch.testing.assert_close(losses.agreement(p, q), proper.mean())
    packed = batch()
    honest, released = (model(legacy=names)(packed).terms for names in ([], ["reversed_divergence"]))
    assert not torch.equal(honest["agreement"], released["agreement"])


def test_separators_that_compete():
    a2r = model(share=0.3, level="unit")
    weights = torch.tensor([9.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9])
    a2r.attend = lambda h, batch: weights
    assert a2r(pieces()).rationale.selected.nonzero().flatten().tolist() == [5, 6]
    a2r.legacy = frozenset(["attended_separators"])
    assert a2r(pieces()).rationale.selected.nonzero().flatten().tolist() == [6]  # [SEP] took the other place
    plain = model(legacy=["attended_separators"])
    attention = plain.attend(plain.generator.states(pieces()), pieces())
    assert attention[0] == 0
    assert attention[7] > 0


def question():
    """[CLS] q q | r [SEP] | s0: a b | s1: c d | s2: e f [SEP], one unit per word but for the first query word."""
    return Packed(
        units=torch.arange(3, 15),
        ptr=torch.tensor([0, 12]),
        y=torch.tensor([1]),
        fixed=torch.tensor([1] * 5 + [0] * 6 + [1], dtype=torch.bool),
        fields={
            "word": torch.tensor([-1, 0, 0, 1, -1, 2, 3, 4, 5, 6, 7, -1]),
            "sentence": torch.tensor([-1] * 5 + [0, 0, 1, 1, 2, 2, -1]),
            "evidence": torch.zeros(12, dtype=torch.bool),
            "sentences_cut": torch.full((12,), 2),
        },
    )


def test_sentences_credited_with_the_attention_of_later_words():
    weights = torch.tensor([0.0] * 5 + [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.0])
    # One word for the shift, one for the query's extra piece: a is credited with c's attention, e with a's.
    assert legacy.shifted_attention(weights, question())[5:11].tolist() == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.1, 0.2])
    chosen = {}
    for names in ([], ["shifted_sentences"]):
        a2r = model(share=0.2, level="sentence", legacy=names)
        a2r.attend = lambda h, batch: weights
        chosen[bool(names)] = a2r(question()).rationale.selected.nonzero().flatten().tolist()
    assert chosen == {False: [9, 10], True: [7, 8]}


def test_sentences_that_were_cut_off_and_selected_first():
    kept = {}
    for names in ([], ["truncated_sentences"]):
        a2r = model(share=0.6, level="sentence", legacy=names)
        a2r.attend = lambda h, batch: torch.arange(12).float()
        kept[bool(names)] = a2r(question()).rationale.selected.nonzero().flatten().tolist()
    assert kept == {False: [7, 8, 9, 10], True: [9, 10]}  # 2 of the 3 there are; 3 of 5, of which 2 are not there


# Errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.0}, r"'share' must be in \(0, 1\], got 0.0"),
        ({"level": "page"}, "'level' must be one of unit, word, sentence; got 'page'"),
        ({"absence": "zero"}, "'absence' of A2R must be 'compact'"),
        ({"pooling": "sum"}, "'pooling' must be one of max, mean, first, last, attention; got 'sum'"),
        ({"legacy": ["words_before"]}, r"'legacy' must be of double_softmax, .*; got words_before"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(config(**change), Rationalizer)


def test_rates_of_groups_that_do_not_exist_are_named():
    a2r = model(optimizer={"lr": {"generator": 1e-2}})
    with pytest.raises(ValueError, match=r"'optimizer\.lr' must name the parameter groups generator, predictor; got generator"):
        a2r.optimizer_config.build([{"params": [], "name": name} for name in a2r.parameter_groups()])


def test_agreement_of_equal_predictions_is_zero_and_of_opposite_ones_one_bit():
    same, other = torch.tensor([[0.3, -1.0]]), torch.tensor([[60.0, -60.0]])
    assert losses.agreement(same, same).item() == pytest.approx(0.0, abs=1e-7)
    assert losses.agreement(other, -other).item() == pytest.approx(math.log(2))
