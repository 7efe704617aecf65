"""HardKuma: two constraints, and the multipliers that training finds for them."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save_model

from rationalizers import losses, training
from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.methods.hardkuma import Multiplier
from rationalizers.training import train
from tests.contract import ENCODER, LABELS, TextContract, batch
from tests.tiny import ENCODER as TINY
from tests.tiny import run_config


def config(**changes):
    return {
        "_target_": "rationalizers.methods.hardkuma.HardKuma",
        "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
        "encoder": ENCODER,
        "weights": {"task": 1.0, "sparsity": 1.0, "continuity": 1.0, "evidence": 1.0},
        "optimizer": {"lr": 1e-3},
        "share": 0.2,
        "transitions": 0.1,
        "multiplier": {"initial": 0.5},
        **changes,
    }


class TestHardKuma(TextContract):
    def config(self):
        return config()


class TestHardKumaOverMaskTokens(TextContract):
    def config(self):
        return config(absence="mask_token")


# The terms ------------------------------------------------------------------------------------------------------------


def expected_rates(model, packed):
    """Mean share and transitions over examples, one example after another, from the scores alone."""
    shares, changes = [], []
    scores = model(packed).rationale.scores
    for start, end in pairwise(packed.ptr.tolist()):
        q = scores[start:end].sigmoid()
        shares.append(q.mean())
        pairs = (1 - q[:-1]) * q[1:] + q[:-1] * (1 - q[1:])
        changes.append(pairs.sum() / max(1, pairs.numel()))
    return torch.stack(shares).mean(), torch.stack(changes).mean()


def test_terms_are_the_losses_by_name():
    model = build(config(), Rationalizer).eval()
    packed = batch()
    output = model(packed)
    share, transitions = expected_rates(model, packed)
    torch.testing.assert_close(output.terms["task"], torch.nn.functional.cross_entropy(output.logits, packed.y))
    torch.testing.assert_close(output.terms["sparsity"], 0.5 * (share - 0.2))
    torch.testing.assert_close(output.terms["continuity"], 0.5 * (transitions - 0.1))
    torch.testing.assert_close(output.terms["evidence"], losses.evidence(output.rationale, packed))


def test_the_task_reaches_the_generator_through_the_mask_only():
    model = build(config(), Rationalizer).train()
    model(batch((7, 6, 12, 5))).terms["task"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.generator.parameters())
    assert model.selector.score.weight.grad.abs().sum() > 0


def test_the_constraints_pull_at_the_generator_and_not_at_the_predictor():
    for name in ("sparsity", "continuity"):
        model = build(config(), Rationalizer).train()
        model(batch((7, 6, 12, 5))).terms[name].backward()
        assert model.selector.score.weight.grad.abs().sum() > 0
        assert all(p.grad is None for p in model.predictor.parameters())


def test_generator_and_predictor_share_nothing():
    model = build(config(), Rationalizer)
    ours, theirs = ({id(p) for p in part.parameters()} for part in (model.generator, model.predictor))
    assert ours
    assert not ours & theirs


def test_each_constraint_has_its_own_multiplier():
    model = build(config(share=0.01, transitions=1.0), Rationalizer).train()
    for _ in range(3):
        model(batch())
    assert model.size_multiplier.value > 0.5  # too much is selected
    assert model.transition_multiplier.value < 0.5  # there is always room


# The multipliers ------------------------------------------------------------------------------------------------------


def test_a_multiplier_follows_its_formula():
    # C_ma = .2, .2, −.2 from C = .4, .2, −.6 and ρ = ½; λ = 10⁻⁵ · exp(.05 · ΣC_ma) = 10⁻⁵ · exp(.01), exp(.02), exp(.01).
    multiplier = Multiplier().train()
    expected = [(0.2, 1.010050e-5), (0.2, 1.020201e-5), (-0.2, 1.010050e-5)]
    for constraint, (average, value) in zip((0.4, 0.2, -0.6), expected, strict=True):
        c = torch.tensor(constraint, requires_grad=True)
        term = multiplier(c)
        assert float(multiplier.average) == pytest.approx(average, rel=1e-5)
        assert float(multiplier.value) == pytest.approx(value, rel=1e-5)
        # The value of the smoothed constraint with the gradient of the batch's own.
        assert float(term.detach()) == pytest.approx(value * average, rel=1e-5)
        assert float(torch.autograd.grad(term, c)[0]) == pytest.approx(value, rel=1e-5)


def test_without_smoothing_the_constraint_counts_as_it_is():
    multiplier = Multiplier(initial=1.0, rate=math.log(2), smoothing=0.0, maximum=9.0).train()
    values = [float(multiplier(torch.tensor(c))) for c in (1.0, -2.0, 3.0)]
    assert values == pytest.approx([2.0 * 1, 0.5 * -2, 4.0 * 3])


def test_a_multiplier_grows_under_violation_and_falls_where_there_is_room():
    grown, fallen = (Multiplier(initial=0.1).train() for _ in range(2))
    values = [(float(grown.value), float(fallen.value))]
    for _ in range(5):
        grown(torch.tensor(0.3))
        fallen(torch.tensor(-0.1))
        values.append((float(grown.value), float(fallen.value)))
    assert all(before[0] < after[0] and before[1] > after[1] for before, after in pairwise(values))


@pytest.mark.parametrize(("constraint", "end"), [(1.0, 2.0), (-1.0, 0.5)])
def test_a_multiplier_stays_within_its_bounds(constraint, end):
    multiplier = Multiplier(initial=1.0, rate=10.0, minimum=0.5, maximum=2.0).train()
    for _ in range(3):
        multiplier(torch.tensor(constraint))
    assert float(multiplier.value) == end
    multiplier(torch.tensor(-3 * constraint))
    assert float(multiplier.value) != end  # and can leave them


def test_evaluation_moves_no_multiplier():
    model = build(config(), Rationalizer).train()
    model(batch())
    before = {name: tensor.clone() for name, tensor in model.named_buffers() if "multiplier" in name}
    assert len(before) == 4
    model.eval()
    model(batch())
    assert all(dict(model.named_buffers())[name].equal(tensor) for name, tensor in before.items())
    constraint = torch.tensor(0.3)
    assert model.size_multiplier(constraint).equal(model.size_multiplier.value * constraint)


def test_texts_without_targets_move_no_multiplier():
    model = build(config(), Rationalizer).train()
    model(TestHardKuma().bare(batch()))
    assert float(model.size_multiplier.value) == 0.5
    assert float(model.size_multiplier.average) == 0


def test_two_forward_passes_may_precede_the_backward_pass_of_the_first():
    model = build(config(), Rationalizer).train()
    first, second = (model(batch()).terms for _ in range(2))
    for terms in (first, second):
        model.loss(terms, model.weights).backward()
    assert model.selector.score.weight.grad.isfinite().all()


def test_multipliers_are_saved_and_loaded(tmp_path):
    model = build(config(), Rationalizer).train()
    for _ in range(3):
        model(batch())
    save_model(model, str(tmp_path / "model.safetensors"))
    twin = build(config(), Rationalizer)
    load_model(twin, str(tmp_path / "model.safetensors"))
    for name in ("size_multiplier", "transition_multiplier"):
        ours, theirs = (getattr(each, name) for each in (model, twin))
        assert ours.value.equal(theirs.value)
        assert ours.average.equal(theirs.average)
        assert float(ours.value) != 0.5


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_resumed_run_continues_its_multipliers(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))
    model = config(task="???", encoder=TINY, optimizer={"lr": 0.02}, multiplier={"initial": 0.01, "rate": 0.2})

    def described(name):
        return {**run_config(tmp_path / name), "method": {"name": "hardkuma", "model": model}}

    step = Rationalizer.training_step

    def dying(self, packed, batch_idx):
        if (self.current_epoch, batch_idx) == (1, 3):
            raise Killed
        return step(self, packed, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Rationalizer, "training_step", dying)
        with pytest.raises(Killed):
            train(described("killed"))
    folders = [train(described(name)) for name in ("killed", "whole")]
    torch.use_deterministic_algorithms(False)
    for file in ("metrics.jsonl", "metrics.json", "model.safetensors"):
        killed, whole = ((Path(folder) / file).read_bytes() for folder in folders)
        assert killed == whole
    ours, theirs = (torch.load(Path(folder) / "last.ckpt", weights_only=True)["state_dict"] for folder in folders)
    assert float(ours["size_multiplier.value"]) != pytest.approx(0.01)
    assert all(ours[name].equal(theirs[name]) for name in ours)


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.0}, r"'share' must be in \(0, 1\], got 0.0"),
        ({"share": 1.5}, r"'share' must be in \(0, 1\], got 1.5"),
        ({"transitions": -0.1}, r"'transitions' must be in \[0, 1\], got -0.1"),
        ({"transitions": 1.1}, r"'transitions' must be in \[0, 1\], got 1.1"),
        ({"absence": "compact"}, "'absence' of HardKuma must be 'zero' or 'mask_token'"),
        ({"absence": "gone"}, "'absence' must be one of"),
        ({"multiplier": {"rate": 0.0}}, "'rate' of a multiplier must be positive, got 0.0"),
        ({"multiplier": {"smoothing": 1.0}}, r"'smoothing' of a multiplier must be in \[0, 1\), got 1.0"),
        ({"multiplier": {"minimum": 0.0}}, "must be positive and rise in this order, got 0.0, 1e-05 and 5.0"),
        ({"multiplier": {"initial": 6.0}}, "must be positive and rise in this order, got 1e-12, 6.0 and 5.0"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(config(**change), Rationalizer)
