import math
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from rationalizers.base import Rationalizer
from rationalizers.batch import Packed
from rationalizers.build import build
from tests.contract import ENCODER, LABELS, TextContract
from tests.contract import example as text

COMMON = {
    "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
    "encoder": ENCODER,
    "selector": {"_target_": "rationalizers.selectors.SoftGumbel"},
    "optimizer": {"lr": 0.01},
    "share": 0.2,
    "dropout": 0.0,
}
PARENT_WEIGHTS = {"task": 1.0, "sparsity": 1.0, "continuity": 1.0, "evidence": 1.0}
FR = {**COMMON, "_target_": "rationalizers.methods.fr.FR", "weights": PARENT_WEIGHTS}
READ_WHOLE = {**FR, "absence": "mask_token", "labelled_reads": "text"}
UNIF = {**COMMON, "_target_": "rationalizers.methods.ssr.SSRUnif", "weights": {**PARENT_WEIGHTS, "shortcut": 0.5}}
VIRT = {
    **COMMON,
    "_target_": "rationalizers.methods.ssr.SSRVirt",
    "weights": {**PARENT_WEIGHTS, "imitation": 0.5, "shortcut_task": 0.5, "virtual": 0.5},
}
BOTH = [pytest.param(UNIF, id="unif"), pytest.param(VIRT, id="virt")]


def example(size, *, seed, query=0, shortcuts=True, labelled=None):
    """A text in which every third word is a shortcut, unless it is evidence or fixed."""
    packed = text(size, seed=seed, query=query)
    found = (packed.position % 3 == 1) & ~packed.fields["evidence"] & ~packed.fixed & shortcuts
    known = packed.labelled if labelled is None else torch.tensor([labelled])
    return replace(packed, fields={**packed.fields, "discovered": found}, labelled=known)


def batch(*rows):
    """Examples ``(size, labelled, shortcuts)`` after two fixed words."""
    return Packed.collate(
        [
            example(size, seed=seed, query=2, labelled=labelled, shortcuts=shortcuts)
            for seed, (size, labelled, shortcuts) in enumerate(rows)
        ]
    )


def each(packed):
    """The examples of a batch."""
    return [packed.gather(torch.arange(*ends), torch.tensor([0, ends[1] - ends[0]]), positions="kept", rows=torch.tensor([b]))
            for b, ends in enumerate(zip(packed.ptr.tolist()[:-1], packed.ptr.tolist()[1:], strict=True))]  # fmt: skip


def shown(packed):
    """One example of which only its shortcuts and fixed units are left, in their places."""
    return packed.select(packed.fields["discovered"] | packed.fixed, positions="kept")


def make(description, **changes):
    torch.manual_seed(7)
    return build({**description, **changes}, Rationalizer)


def ones(packed):
    return torch.ones(packed.units.shape[0])


def divergence(logits):
    """KL to the uniform distribution, term by term."""
    p = logits.softmax(-1)
    return (p * (p / (1 / p.shape[-1])).log()).sum(-1)


def gradients(model, term):
    """By name, those that are there."""
    model.zero_grad()
    if term.requires_grad:
        term.backward(retain_graph=True)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


class TestSSRUnif(TextContract):
    def config(self):
        return UNIF

    def example(self, size, *, seed, query=0):
        return example(size, seed=seed, query=query)


class TestSSRVirt(TextContract):
    def config(self):
        return VIRT

    def example(self, size, *, seed, query=0):
        return example(size, seed=seed, query=query)


class TestLegacySSRUnif(TestSSRUnif):
    """What does not depend on the batch, and the other arguments."""

    def config(self):
        return {**UNIF, "legacy": ["empty_shortcuts"], "labelled_reads": "rationale", "pooling": "attention", "absence": "zero"}


# Shortcuts alone ----------------------------------------------------------------------------------------------------------


def receive(encoder, monkeypatch):
    """The batches that an encoder receives from here on."""
    received, encode = [], encoder.encode

    def spy(e, packed):
        received.append(packed)
        return encode(e, packed)

    monkeypatch.setattr(encoder, "encode", spy)
    return received


@pytest.mark.parametrize("training", [False, True])
def test_shortcuts_are_shown_in_their_original_positions_with_the_fixed_units(monkeypatch, training):
    packed = batch((7, True, True), (8, False, True), (9, True, False), (12, True, True))
    for description, encoder in ((UNIF, "generator"), (VIRT, "imitator.encoder")):
        model = make(description).train(training)
        received = receive(model.get_submodule(encoder), monkeypatch)
        model(packed)
        # The selector and the predictor of SSR_unif read first.
        seen = received[2] if description is UNIF else received[0]
        first, fourth = (shown(each(packed)[b]) for b in (0, 3))
        assert seen.position.tolist() == [*first.position.tolist(), *fourth.position.tolist()]
        assert seen.position.tolist()[:3] == [0, 1, 7]
        assert seen.units.equal(torch.cat([first.units, fourth.units]))
        assert seen.ptr.tolist() == [0, len(first.units), len(first.units) + len(fourth.units)]
        assert seen.fixed.tolist() == [position < 2 for position in seen.position.tolist()]


def test_shortcuts_are_seen_one_by_one_as_in_the_batch():
    packed = batch((7, True, True), (8, False, True), (9, True, False), (12, True, True))
    model = make(UNIF).eval()
    logits = [model.logits(part, ones(part)) for part in (shown(each(packed)[b]) for b in (0, 3))]
    torch.testing.assert_close(model(packed).terms["shortcut"], divergence(torch.cat(logits)).sum() / 4)


@pytest.mark.parametrize("description", BOTH)
def test_unlabelled_examples_have_no_shortcuts_to_learn_from(description):
    packed = batch((7, False, True), (8, False, True))
    model = make(description).eval()
    with_marks = model(packed).terms
    without = model(batch((7, False, False), (8, False, False))).terms
    assert all(with_marks[name].equal(term) for name, term in without.items())
    assert all(with_marks[name] == 0 for name in set(with_marks) & {"shortcut", "imitation", "shortcut_task"})


def test_predictions_from_shortcuts_cost_nothing_where_uniform_and_log_of_the_classes_where_certain():
    packed = batch((7, True, True), (12, True, True))
    model = make(UNIF).eval()
    with torch.no_grad():
        model.predictor.head.weight.zero_()
        model.predictor.head.bias.zero_()
    assert model(packed).terms["shortcut"].item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        model.predictor.head.bias[1] = 1e3
    assert model(packed).terms["shortcut"].item() == pytest.approx(math.log(3))


def test_the_divergence_makes_predictions_from_shortcuts_uniform():
    packed = batch((7, True, True), (12, True, True), (9, True, True))
    model = make(UNIF).eval()
    with torch.no_grad():
        model.predictor.head.weight.mul_(10)
    before = model(packed).terms["shortcut"].item()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        model(packed).terms["shortcut"].backward()
        optimizer.step()
    assert model(packed).terms["shortcut"].item() < 0.1 * before


# An example without shortcuts ---------------------------------------------------------------------------------------------

SHORTCUT_TERMS = ("shortcut", "imitation", "shortcut_task")


@pytest.mark.parametrize("description", BOTH)
@pytest.mark.parametrize("training", [False, True])
def test_empty_shortcut_documents_contribute_exactly_zero(description, training):
    model = make(description).train(training)
    terms = model(batch((7, True, False), (12, True, False))).terms
    for name in set(SHORTCUT_TERMS) & set(terms):
        assert terms[name] == 0, name
        assert gradients(model, terms[name]) == {}, name


@pytest.mark.parametrize("description", BOTH)
def test_an_empty_shortcut_document_halves_what_stands_beside_it_and_changes_nothing_else(description):
    model = make(description).eval()
    alone, beside = model(batch((7, True, True))).terms, model(batch((7, True, True), (12, True, False))).terms
    for name in set(SHORTCUT_TERMS) & set(alone):
        assert alone[name] > 0
        assert beside[name].equal(alone[name] / 2), name
        ours, theirs = gradients(model, beside[name]), gradients(model, alone[name])
        assert ours.keys() == theirs.keys() != set(), name
        assert all(ours[p].equal(theirs[p] / 2) for p in ours), name


# The parent ---------------------------------------------------------------------------------------------------------------


def steps(model, batches, count=6):
    """The parameters after some steps."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=0.02)
    torch.manual_seed(8)
    for step in range(count):
        optimizer.zero_grad()
        model.loss(model(batches[step % len(batches)]).terms, model.weights).backward()
        optimizer.step()
    return dict(model.named_parameters())


def same(ours, theirs):
    return all(ours[name].equal(parameter) for name, parameter in theirs.items())


LABELLED, OTHERS = ((7, True, False), (12, True, False)), ((9, False, False), (5, False, True))


@pytest.mark.parametrize("rows", [(LABELLED, OTHERS), (OTHERS,)], ids=["labels without shortcuts", "no labels"])
def test_ssr_without_a_shortcut_stream_equals_its_parent_bit_for_bit(rows):
    batches = [batch(*each) for each in rows]
    parent = steps(make(READ_WHOLE), batches)
    assert not same(dict(make(READ_WHOLE).named_parameters()), parent)
    assert same(steps(make(UNIF), batches), parent)
    virt = steps(make(VIRT, weights={**VIRT["weights"], "virtual": 0.0}), batches)
    assert same(virt, parent)
    assert {name.partition(".")[0] for name in set(virt) - set(parent)} == {"imitator"}


def test_without_labels_the_parent_is_fr_however_it_reads_them():
    batches = [batch(*OTHERS)]
    assert same(steps(make(UNIF), batches), steps(make({**FR, "absence": "mask_token"}), batches))


def test_shortcuts_make_it_another_model():
    batches = [batch((7, True, True), (12, True, False)), batch(*OTHERS)]
    parent = steps(make(READ_WHOLE), batches)
    assert not same(steps(make(UNIF), batches), parent)
    without_virtual = {**VIRT["weights"], "virtual": 0.0}
    assert not same(steps(make(VIRT, weights=without_virtual), batches), parent)
    assert not same(steps(make(VIRT), [batch(*OTHERS)]), steps(make(READ_WHOLE), [batch(*OTHERS)]))


@pytest.mark.parametrize("description", BOTH)
def test_it_predicts_like_its_parent(description):
    packed = batch((7, True, True), (8, False, True), (9, True, False))
    model, parent = make(description).eval(), make(READ_WHOLE).eval()
    assert model(packed).logits.equal(parent(packed).logits)
    assert model(packed).rationale.mask.equal(parent(packed).rationale.mask)


# The imitator -------------------------------------------------------------------------------------------------------------


def test_the_terms_of_the_imitator_by_hand():
    packed = batch((7, True, True), (8, False, True), (9, True, False), (12, True, True), (4, False, False))
    model = make(VIRT).eval()
    texts = each(packed)

    def sees(part):
        return model.imitator.pooled(part, ones(part), absence="mask_token")[0]  # [D]

    rows = [0, 3]
    seen, whole = [sees(shown(texts[b])) for b in rows], [sees(texts[b]) for b in rows]
    imitation = sum(((s - w) ** 2).sum() / len(s) for s, w in zip(seen, whole, strict=True)) / 5
    head = model.predictor.head
    shortcut_task = sum(-(head.weight @ s + head.bias).log_softmax(0)[packed.y[b]] for b, s in zip(rows, seen, strict=True)) / 5
    virtual = sum(divergence(head.weight @ sees(texts[b]).detach() + head.bias) for b in (1, 4)) / 5
    terms = model(packed).terms
    for name, expected in (("imitation", imitation), ("shortcut_task", shortcut_task), ("virtual", virtual)):
        assert expected > 0
        torch.testing.assert_close(terms[name], expected, atol=1e-6, rtol=1e-5)
        ours, theirs = gradients(model, terms[name]), gradients(model, expected)
        assert ours.keys() == theirs.keys(), name
        for parameter, gradient in theirs.items():
            torch.testing.assert_close(ours[parameter], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "learns"),
    [
        ("imitation", {"imitator"}),
        ("shortcut_task", {"imitator", "predictor.head"}),
        ("virtual", {"predictor.head"}),
    ],
)
def test_which_parts_a_term_teaches(name, learns):
    model = make(VIRT).train()
    found = gradients(model, model(batch((7, True, True), (8, False, True))).terms[name])
    assert {".".join(each.split(".")[: 1 if each.startswith("imitator") else 2]) for each in found} == learns
    assert all(bool(gradient.any()) for gradient in found.values())


def test_a_frozen_imitator_reads_without_dropout_and_goes_on_with_it():
    model = make(VIRT).train()
    others = batch((8, False, True), (12, False, False))
    virtual = [model(others).terms["virtual"] for _ in range(2)]
    assert virtual[0].equal(virtual[1])
    assert virtual[0].equal(model.eval()(others).terms["virtual"])
    model.train()(others)
    assert all(module.training for module in model.modules())
    labelled = batch((8, True, True), (12, True, True))
    assert model(labelled).terms["imitation"] != model(labelled).terms["imitation"]


def test_the_imitator_has_weights_of_its_own():
    model = make(VIRT)
    groups = {name: {id(p) for p in parameters} for name, parameters in model.parameter_groups().items()}
    assert groups["imitator"] == {id(p) for p in model.imitator.parameters()}
    assert groups["model"] | groups["imitator"] == {id(p) for p in model.parameters()}
    assert not groups["model"] & groups["imitator"]
    assert not any(p.equal(q) for p, q in zip(model.imitator.encoder.parameters(), model.generator.parameters(), strict=True))


# Training -----------------------------------------------------------------------------------------------------------------


class Watch(pl.Callback):
    """Of every step: whether its batch was labelled, who may learn, whose gradients were there, who moved, the learning rates."""

    def __init__(self):
        self.labelled, self.may_learn, self.with_gradient, self.without_gradient = [], [], [], []
        self.moved, self.rates = [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.labelled.append(bool(batch.labelled.all()))
        self.before = {name: [p.detach().clone() for p in ps] for name, ps in module.parameter_groups().items()}

    def on_before_optimizer_step(self, trainer, module, optimizer):
        groups = {name: list(parameters) for name, parameters in module.parameter_groups().items()}
        self.may_learn.append({name for name, ps in groups.items() if any(p.requires_grad for p in ps)})
        self.with_gradient.append({name for name, ps in groups.items() if any(p.grad is not None for p in ps)})
        self.without_gradient.append({name for name, ps in groups.items() if any(p.grad is None for p in ps)})
        self.rates.append({group["name"]: group["lr"] for group in optimizer.param_groups})

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        groups = module.parameter_groups().items()
        self.moved.append({n for n, ps in groups if any(not p.equal(q) for p, q in zip(ps, self.before[n], strict=True))})


def fit(model, batches, *, epochs=2):
    watch = Watch()
    trainer = pl.Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        callbacks=[watch],
    )
    trainer.fit(model, DataLoader(batches, batch_size=None), DataLoader(batches[:1], batch_size=None))
    return trainer, watch


STREAMS = (((7, True, True), (12, True, False)), ((9, True, True),), ((5, False, False), (6, False, True)), ((9, False, True),))
ADAMW = {"name": "adamw", "lr": 0.01, "weight_decay": 0.1, "schedule": "linear"}


def test_gradients_of_the_imitator_are_none_in_the_unlabelled_stream():
    # AdamW would decay weights whose gradient is zero, and carry them on by their momentum.
    _, watch = fit(make(VIRT, optimizer=ADAMW), [batch(*rows) for rows in STREAMS])
    assert watch.labelled == [True, True, False, False] * 2
    assert watch.without_gradient == [set(), set(), {"imitator"}, {"imitator"}] * 2
    both, model = {"model", "imitator"}, {"model"}
    assert watch.may_learn == watch.with_gradient == watch.moved == [both, both, model, model] * 2


@pytest.mark.parametrize("description", BOTH)
def test_the_learning_rate_reaches_zero_with_the_last_batch_of_all_streams_and_never_before(description):
    trainer, watch = fit(make(description, optimizer=ADAMW), [batch(*rows) for rows in STREAMS], epochs=3)
    assert trainer.estimated_stepping_batches == 12
    for group in watch.rates[0]:
        assert [rates[group] for rates in watch.rates] == pytest.approx([0.01 * (1 - step / 12) for step in range(12)])
    assert all(group["lr"] == 0 for group in trainer.optimizers[0].param_groups)


def test_everything_learns_again_after_training():
    model = make(VIRT)
    fit(model, [batch(*rows) for rows in STREAMS], epochs=1)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("description", BOTH)
def test_labelled_examples_without_known_shortcuts_are_refused(description):
    packed = batch((7, True, True))
    unknown = replace(packed, fields={name: values for name, values in packed.fields.items() if name != "discovered"})
    with pytest.raises(ValueError, match=r"batch.fields\['discovered'\]; name the run .*data\.module\.shortcuts=…"):
        fit(make(description), [unknown])
    model = make(description).eval()
    assert model(unknown).logits.equal(model(packed).logits)  # only training needs them
    fit(make(description), [replace(unknown, labelled=torch.tensor([False]))], epochs=1)


def test_ssr_virt_refuses_a_batch_of_both_kinds_in_training():
    mixed = batch((7, True, True), (8, False, True))
    with pytest.raises(ValueError, match=r"holds labelled or other examples, not both, .*set data\.module\.order=labelled_first"):
        fit(make(VIRT), [mixed])
    make(VIRT).eval()(mixed)
    fit(make(UNIF), [mixed], epochs=1)


# Defects of the released code ---------------------------------------------------------------------------------------------


def test_a_summed_divergence_is_as_many_times_the_mean_as_there_are_examples():
    packed = batch((7, True, True), (8, False, True), (9, True, False), (12, True, True))
    for description, name in ((UNIF, "shortcut"), (VIRT, "virtual")):
        mean, summed = (make(description, legacy=legacy).eval()(packed).terms for legacy in ([], ["summed_divergence"]))
        assert mean[name] > 0
        torch.testing.assert_close(summed[name], 4 * mean[name])
        assert all(summed[other].equal(mean[other]) for other in set(mean) - {name})


def test_empty_shortcuts_count_as_nothing_but_shortcuts():
    packed = batch((7, True, True), (8, False, False), (9, True, False), (12, True, False))
    unif, virt = make(UNIF, legacy=["empty_shortcuts"]).eval(), make(VIRT, legacy=["empty_shortcuts"]).eval()
    texts = each(packed)
    logits = [unif.logits(part, ones(part)) for part in (shown(texts[0]), texts[2], texts[3])]
    torch.testing.assert_close(unif(packed).terms["shortcut"], divergence(torch.cat(logits)).sum() / 4)
    terms, right = virt(packed).terms, make(VIRT).eval()(packed).terms
    # An imitator that sees the whole text imitates itself.
    torch.testing.assert_close(terms["imitation"], right["imitation"])
    seen = torch.cat([virt.imitate(part) for part in (shown(texts[0]), texts[2], texts[3])])
    losses = F.cross_entropy(virt.predictor.head(seen), packed.y[[0, 2, 3]], reduction="sum")
    torch.testing.assert_close(terms["shortcut_task"], losses / 4)
    assert terms["shortcut_task"] > right["shortcut_task"]


@pytest.mark.parametrize("description", BOTH)
def test_where_all_have_shortcuts_empty_ones_make_no_difference(description):
    packed = batch((7, True, True), (12, True, True), (8, False, False))
    ours, theirs = (make(description, legacy=legacy).eval()(packed).terms for legacy in ([], ["empty_shortcuts"]))
    assert all(ours[name].equal(term) for name, term in theirs.items())


# Arguments ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("description", BOTH)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"task": {"_target_": "rationalizers.task.Regression", "targets": ["price"]}},
            "'task' of SSR must be a Classification, whose uniform prediction says nothing; got .*Regression",
        ),
        ({"legacy": ["short_schedule"]}, "'legacy' must be of summed_divergence, empty_shortcuts; got short_schedule"),
        ({"share": 0.0}, "'share' must be in"),
        ({"absence": "remove"}, "'absence' of RNP must be 'zero' or 'mask_token'"),
        ({"labelled_reads": "all"}, "'labelled_reads' must be one of rationale, text; got 'all'"),
        ({"pooling": "sum"}, "'pooling' must be one of"),
    ],
)
def test_bad_arguments_are_named(description, change, message):
    with pytest.raises(ValueError, match=message):
        build({**description, **change}, Rationalizer)
