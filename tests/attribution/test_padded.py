"""A model as captum takes it: what captum finds in padded embeddings is what is found in packed ones."""

import itertools

import pytest
import torch
from captum import attr

from rationalizers.attribution import FeatureAblation, IntegratedGradients, Padded, Saliency
from rationalizers.attribution.base import explained
from tests.attribution.bag import explainable
from tests.contract import batch
from tests.methods.test_sequential import make

NAMES = ("full, max", "full, attention", "rnp", "a2r", "erm")


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(params=NAMES)
def opened(request):
    """The function, and what it is of."""
    model, packed = explainable(request.param)
    return Padded(model, packed), model, packed


def test_of_its_own_embeddings_it_is_the_prediction(opened):
    f, model, packed = opened
    expected = model.logits(packed, torch.ones(packed.position.shape[0]), absence="zero")
    torch.testing.assert_close(f(f.embeddings), expected)
    assert f.here.sum(1).tolist() == (packed.ptr[1:] - packed.ptr[:-1]).tolist()
    assert f.embeddings.is_leaf
    assert f.embeddings[~f.here].abs().sum() == 0
    assert f.embeddings[f.here].shape[0] == packed.position.shape[0]


def test_integrated_gradients_of_captum_are_ours_and_complete(opened):
    f, model, packed = opened
    target = explained(model, packed)
    found, gap = attr.IntegratedGradients(f).attribute(
        f.embeddings, baselines=f.baselines, target=target, n_steps=50, return_convergence_delta=True
    )
    ours = IntegratedGradients(share=0.5, steps=50)(model, packed).scores
    free = ~packed.fixed
    torch.testing.assert_close(found.sum(-1)[f.here][free], ours[free], atol=1e-10, rtol=1e-8)
    assert found[~f.here].abs().sum() == found[f.here][packed.fixed].abs().sum() == 0
    change = (f(f.embeddings) - f(f.baselines)).gather(1, target[:, None])[:, 0]
    # A maximum has kinks, beside which the points of the quadrature lie.
    torch.testing.assert_close(found.sum((1, 2)), change, atol=5e-3, rtol=0)
    assert gap.abs().max() < 5e-3
    assert change.abs().max() > 0.02


def test_saliency_of_captum_is_ours(opened):
    f, model, packed = opened
    found = attr.Saliency(f).attribute(f.embeddings, target=explained(model, packed), abs=False)
    ours = Saliency(share=0.5)(model, packed).scores
    torch.testing.assert_close(found.norm(dim=-1)[f.here][~packed.fixed], ours[~packed.fixed])


def test_ablation_of_captum_is_ours(opened):
    f, model, packed = opened
    units = torch.arange(f.here.shape[1])[None, :, None].expand(1, -1, f.embeddings.shape[2])
    found = attr.FeatureAblation(f).attribute(
        f.embeddings.detach(),
        baselines=f.baselines,
        target=explained(model, packed),
        feature_mask=units,
        perturbations_per_eval=4,
    )
    ours = FeatureAblation(share=0.5)(model, packed).scores
    torch.testing.assert_close(found[..., 0][f.here][~packed.fixed], ours[~packed.fixed])


def test_copies_of_an_example_that_stand_together_are_named():
    model, packed = explainable("full, max")
    f = Padded(model, packed)
    settings = {"target": 1, "nt_samples": 3, "stdevs": 0.0, "nt_type": "smoothgrad", "additional_forward_args": f.rows}
    smooth = attr.NoiseTunnel(attr.Saliency(f)).attribute(f.embeddings, abs=False, **settings)
    torch.testing.assert_close(smooth, attr.Saliency(f).attribute(f.embeddings, target=1, abs=False))


def test_what_stands_behind_the_last_unit_is_not_read():
    model, packed = explainable("erm")
    f = Padded(model, packed)
    torch.testing.assert_close(f(f.embeddings.detach().masked_fill(~f.here[..., None], torch.nan)), f(f.embeddings))


def test_company_changes_nothing():
    model, packed = explainable("full, attention")
    f = Padded(model, packed)
    for row, (first, end) in enumerate(itertools.pairwise(packed.ptr.tolist())):
        alone = f(f.embeddings[row : row + 1], f.rows[row : row + 1])
        torch.testing.assert_close(alone, f(f.embeddings)[row : row + 1])
        assert int(f.here[row].sum()) == end - first


@pytest.mark.parametrize("shape", [(4, 9, 6), (3, 8, 6), (3, 9, 5)])
def test_other_shapes_are_refused(shape):
    model, packed = explainable("full, max")
    f = Padded(model, packed)
    with pytest.raises(ValueError, match=r"expected copies of embeddings \(3, .*, got \(.*additional_forward_args=rows"):
        f(torch.zeros(shape))


def test_a_model_in_training_and_nothing_to_embed_are_refused():
    model, packed = explainable("full, max")
    with pytest.raises(ValueError, match="there is no unit to embed; give at least one input"):
        Padded(model, packed.gather(torch.arange(0), torch.tensor([0]), positions="kept", rows=torch.arange(0)))
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        Padded(model.train(), packed)


def test_units_stay_at_the_places_that_they_have_in_the_batch():
    packed = batch((9, 7)).select(torch.arange(16) % 3 != 1, positions="kept")
    model = make().double()
    f = Padded(model, packed)
    torch.testing.assert_close(f(f.embeddings), model.logits(packed, torch.ones(11), absence="zero"))
