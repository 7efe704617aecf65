"""Attributions by perturbation: closed forms, captum over padded masks, and values by every permutation there is."""

import itertools

import pytest
import torch
from captum import attr
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr._core.lime import get_exp_kernel_similarity_function
from sklearn.linear_model import Ridge as SklearnRidge

from rationalizers.attribution import FeatureAblation, Lime, ShapleySampling, completeness_gap
from rationalizers.attribution.base import explained
from rationalizers.attribution.lime import Ridge
from rationalizers.attribution.perturbation import draws
from rationalizers.segment import lengths, owners
from tests.attribution.bag import bag, explainable, one, parts
from tests.contract import batch, example

METHODS = (FeatureAblation, ShapleySampling, Lime)
DRAWN = (ShapleySampling, Lime)
ASKED = [("full, max", absence) for absence in ("compact", "remove", "mask_token", "zero", "state")]
ASKED += [("erm", absence) for absence in ("compact", "zero", "message")]


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def small(method, **arguments):
    """An attribution with few samples."""
    return method(share=0.3, **({} if method is FeatureAblation else {"samples": 6}), **arguments)


def padded(model, packed, absence):
    """The explained logits as captum wants them, of padded masks ``[c·B, L]``, and where the units are in those."""
    n, examples, length = packed.position.shape[0], packed.ptr.numel() - 1, int(lengths(packed.ptr).max())
    owner, target = owners(packed.ptr, n), explained(model, packed)
    place = torch.arange(n) - packed.ptr[:-1][owner]

    def forward(masks):
        predicted = [
            model.logits(packed, mask, absence=absence).gather(1, target[:, None])[:, 0]
            for mask in masks.view(-1, examples, length)[:, owner, place]
        ]
        return torch.cat(predicted)

    return forward, torch.ones(examples, length), (owner, place)


# Closed forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribution", [FeatureAblation(share=0.3), ShapleySampling(share=0.3, samples=2)])
def test_of_a_linear_model_each_unit_has_what_it_adds(attribution):
    model, packed = bag(), batch()
    torch.testing.assert_close(attribution(model, packed).scores, parts(model, packed))


def test_a_linear_model_is_its_own_linear_model():
    model, packed = bag(), batch()
    found = Lime(share=0.3, samples=60, ridge=1e-9)(model, packed).scores
    torch.testing.assert_close(found, parts(model, packed), atol=1e-4, rtol=0)  # captum rounds to single precision


# Captum itself ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "absence"), ASKED)
def test_ablation_is_captums_over_padded_masks(name, absence):
    model, packed = explainable(name)
    forward, ones, where = padded(model, packed, absence)
    with torch.no_grad():
        expected = attr.FeatureAblation(forward).attribute(ones, perturbations_per_eval=4)[where]
    found = FeatureAblation(share=0.3, absence=absence)(model, packed).scores
    torch.testing.assert_close(found[~packed.fixed], expected[~packed.fixed], atol=1e-9, rtol=1e-6)
    assert expected[packed.fixed].abs().max() < 1e-9


@pytest.mark.parametrize(("name", "absence"), ASKED)
def test_shapley_values_are_captums_of_the_same_permutations(name, absence):
    model, packed = explainable(name)
    packed = one(packed, 0)
    attribution = ShapleySampling(share=0.3, samples=3, absence=absence)
    orders = attribution.ranks(packed)[:, ~packed.fixed].argsort(1) + 1  # of the units after the fixed one
    forward, ones, where = padded(model, packed, absence)
    captums = attr.ShapleyValueSampling(forward)
    captums.permutation_generator = lambda features, samples: ([0, *order] for order in orders.tolist())
    expected = captums.attribute(ones, n_samples=3, perturbations_per_eval=4)[where]
    found = attribution(model, packed).scores
    torch.testing.assert_close(found[~packed.fixed], expected[~packed.fixed].double(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("absence", ["zero", "compact"])
def test_lime_is_captums_with_scikits_regression(absence):
    model, packed = explainable("full, max")
    packed = one(packed, 2)
    forward, ones, _ = padded(model, packed, absence)
    ours = Lime(share=0.3, samples=20, kernel_width=0.4, ridge=0.5, absence=absence)
    found = ours(model, packed).scores
    ((draw, units),) = draws(packed, seed=0)
    rows = iter(torch.from_numpy(draw.integers(2, size=(20, units.numel()))))
    captums = attr.Lime(
        lambda mask: forward(torch.cat([torch.ones(len(mask), 1), mask], 1)),
        SkLearnRidge(alpha=0.5),
        get_exp_kernel_similarity_function("cosine", 0.4),
        lambda *_, **__: next(rows)[None],
    )
    expected = captums.attribute(ones[:, 1:], n_samples=20)[0]
    torch.testing.assert_close(found[~packed.fixed], expected.double(), atol=1e-5, rtol=1e-4)


def test_the_regression_is_scikits():
    x, y, weight = torch.randn(9, 4), torch.randn(9), torch.rand(9)
    ours = Ridge(0.7)
    ours.fit([(x[:5], y[:5], weight[:5]), (x[5:], y[5:], weight[5:])])
    theirs = SklearnRidge(alpha=0.7).fit(x.numpy(), y.numpy(), sample_weight=weight.numpy())
    torch.testing.assert_close(ours.representation(), torch.from_numpy(theirs.coef_))


# Laws ---------------------------------------------------------------------------------------------------------------------


def test_shapley_values_over_all_permutations_are_shapley_values(monkeypatch):
    model, packed = explainable("full, max")
    packed = example(4, seed=1)
    orders = torch.tensor(list(itertools.permutations(range(4))))
    attribution = ShapleySampling(share=0.3, samples=24, absence="compact")
    monkeypatch.setattr(attribution, "ranks", lambda _: orders.argsort(1))
    column = int(model(packed).logits.argmax())

    def f(units):
        mask = torch.tensor([float(unit in units) for unit in range(4)])
        return float(model.logits(packed, mask, absence="compact")[0, column].detach())

    expected = []
    for unit in range(4):
        others = [each for each in range(4) if each != unit]
        subsets = [subset for size in range(4) for subset in itertools.combinations(others, size)]
        weight = {0: 6, 1: 2, 2: 2, 3: 6}  # |S|! (3 − |S|)!
        expected.append(sum(weight[len(s)] * (f({*s, unit}) - f(set(s))) for s in subsets) / 24)
    torch.testing.assert_close(attribution(model, packed).scores, torch.tensor(expected))


@pytest.mark.parametrize(("name", "absence"), ASKED)
def test_shapley_values_add_up_to_what_the_input_changes(name, absence):
    model, packed = explainable(name)
    gap = completeness_gap(ShapleySampling(share=0.3, samples=2, absence=absence), model, packed, absence=absence)
    torch.testing.assert_close(gap, torch.zeros(3), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["full, max", "erm"])
@pytest.mark.parametrize("absence", ["compact", "zero"])
@pytest.mark.parametrize("method", METHODS)
def test_neither_company_nor_small_passes_change_anything(name, absence, method):
    model, together = explainable(name)
    scores = small(method, absence=absence)(model, together).scores
    torch.testing.assert_close(small(method, absence=absence, units=15)(model, together).scores, scores, atol=1e-6, rtol=1e-5)
    for row, (first, end) in enumerate(itertools.pairwise(together.ptr.tolist())):
        alone = small(method, absence=absence)(model, one(together, row)).scores
        torch.testing.assert_close(alone, scores[first:end], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", DRAWN)
def test_draws_are_those_of_a_seed_and_differ_between_examples(method):
    model, packed = explainable("full, max")
    torch.manual_seed(1)
    first = small(method, seed=5)(model, packed).scores
    torch.manual_seed(2)
    assert small(method, seed=5)(model, packed).scores.equal(first)
    assert not small(method, seed=6)(model, packed).scores.allclose(first)


def test_permutations_are_of_each_examples_selectable_units():
    ranks = ShapleySampling(share=0.3, samples=40).ranks(batch((5, 1, 5), query=2))
    assert ranks.shape == (40, 17)
    assert not ranks[:, [0, 1, 7, 8, 9, 10, 11]].any()  # fixed ones, and the only one of its example
    assert ranks[:, 2:7].sort(1).values.eq(torch.arange(5)).all()
    assert ranks[:, 12:].sort(1).values.eq(torch.arange(5)).all()
    assert not ranks[:, 12:].equal(ranks[:, 2:7])
    assert len(ranks[:, 2].unique()) == 5


@pytest.mark.parametrize("method", METHODS)
def test_the_best_share_is_selected_and_fixed_units_never(method):
    model, _ = explainable("full, max")
    packed = batch(query=2)
    rationale = small(method)(model, packed)
    assert rationale.scores[packed.fixed].eq(-torch.inf).all()
    assert rationale.size().tolist() == [2, 1, 4, 2]


@pytest.mark.parametrize("method", METHODS)
def test_examples_of_fixed_units_alone_and_without_units_have_no_attribution(method):
    model, _ = explainable("full, max")
    packed = batch((3, 2), query=1)
    kept = packed.select(torch.tensor([True, False, False, False, True, True, True]), positions="kept")
    rationale = small(method)(model, kept)
    assert rationale.mask[0] == 0
    assert rationale.scores.isfinite().tolist() == [False, False, True, True]
    empty = example(3, seed=0).select(torch.zeros(3, dtype=torch.bool), positions="kept")
    assert small(method)(model, empty).scores.shape == (0,)


# Errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (FeatureAblation, {"absence": "gone"}, "'absence' must be one of compact, .*; got 'gone'"),
        (FeatureAblation, {"units": 0}, "'units' must be positive, got 0"),
        (ShapleySampling, {"samples": 0}, "'samples' must be at least 1, got 0"),
        (ShapleySampling, {"seed": -1}, "'seed' must not be negative, got -1"),
        (Lime, {"samples": 0}, "'samples' must be at least 1, got 0"),
        (Lime, {"kernel_width": 0.0}, "'kernel_width' must be positive, got 0.0"),
        (Lime, {"ridge": -1.0}, "'ridge' must be positive, got -1.0"),
    ],
)
def test_arguments_outside_their_bounds_are_named(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(share=0.3, **arguments)
