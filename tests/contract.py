"""What every method owes. A test class inherits a contract, says how to build its model, and gets all of these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest
import torch
from safetensors.torch import load_model, save_model

from rationalizers.absence import HIDING
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch, Packed
from rationalizers.build import build
from rationalizers.metrics.prediction import prediction_metric
from rationalizers.metrics.scores import Scores
from rationalizers.segment import lengths, offsets

EVERYWHERE = (*HIDING, "state")  # messages pass along edges, which text has not
VOCABULARY, LABELS = 50, ["no", "maybe", "yes"]
ENCODER = {
    "_target_": "rationalizers.encoders.GRUEncoder",
    "vocabulary": VOCABULARY,
    "mask_id": 1,
    "embedding": 8,
    "hidden": 8,
    "dropout": 0.3,
}


def example(length: int, *, seed: int, query: int = 0) -> Packed:
    """A random text of ``length`` words after ``query`` fixed ones, with evidence and a target."""
    generator = torch.Generator().manual_seed(seed)
    n = query + length
    start = query + int(torch.randint(0, max(1, length - 1), (1,), generator=generator))
    evidence = torch.zeros(n, dtype=torch.bool)
    evidence[start : start + 2] = True
    return Packed(
        units=torch.randint(3, VOCABULARY, (n,), generator=generator),
        ptr=torch.tensor([0, n]),
        y=torch.tensor([seed % len(LABELS)]),
        fixed=torch.arange(n) < query,
        fields={
            "evidence": evidence,
            "word": torch.arange(n),
            "sentence": torch.where(torch.arange(n) < query, -1, (torch.arange(n) - query) // 3),
            "replaceable": (torch.arange(n) >= query).float(),
        },
        labelled=torch.tensor([seed % 2 == 0]),
        spans=torch.tensor([[0, start, min(n, start + 2), 0]]),
        index=torch.tensor([seed]),
        words=(tuple(f"w{i}" for i in range(n)),),
        ids=(f"e{seed}",),
    )


def batch(sizes: tuple[int, ...] = (7, 1, 12, 5), *, query: int = 0) -> Packed:
    """Examples of different length, one of them a single word."""
    return Packed.collate([example(size, seed=place, query=query) for place, size in enumerate(sizes)])


def replace_units(packed: Packed, where: torch.Tensor) -> Packed:
    """The same batch with other words where ``where`` is true."""
    units = torch.where(where, (packed.units + 17 - 3) % (VOCABULARY - 3) + 3, packed.units)
    moved = {name: getattr(packed, name) for name in packed.__dataclass_fields__} | {"units": units}
    return Packed(**moved)


class Contract(ABC):
    """Laws of a rationalizer, whatever its units are."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """A small description of the model, as in a run folder."""

    @abstractmethod
    def example(self, size: int, *, seed: int, query: int = 0) -> Batch:
        """A random example of ``size`` units after ``query`` fixed ones, with evidence and a target."""

    @abstractmethod
    def collate(self, examples: list[Batch]) -> Batch:
        """One batch of all examples."""

    @abstractmethod
    def bare(self, packed: Batch) -> Batch:
        """The batch as raw input would give it, without targets."""

    @abstractmethod
    def replaced(self, packed: Batch, where: torch.Tensor) -> Batch:
        """The same batch with other units where ``where`` is true."""

    def batch(self, sizes: tuple[int, ...] = (7, 1, 12, 5), *, query: int = 0) -> Batch:
        """Examples of different size, one of them a single unit."""
        return self.collate([self.example(size, seed=place, query=query) for place, size in enumerate(sizes)])

    @pytest.fixture
    def model(self) -> Rationalizer:
        return build(self.config(), Rationalizer).eval()

    @staticmethod
    def example_of(output, b):
        ptr = output.rationale.ptr
        rows = slice(int(ptr[b]), int(ptr[b + 1]))
        return output.logits[b], output.rationale.scores[rows], output.rationale.mask[rows]

    # What leaves a model -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("query", [0, 3])
    def test_output_has_the_promised_shapes(self, model, query):
        packed = self.batch(query=query)
        output = model(packed)
        assert output.logits.shape == (4, len(LABELS))
        assert output.rationale.mask.shape == output.rationale.scores.shape == packed.position.shape
        assert output.rationale.ptr.equal(packed.ptr)
        assert all(term.dim() == 0 and term.isfinite() for term in output.terms.values())

    def test_every_term_has_a_weight(self, model):
        assert set(model(self.batch()).terms) == {name for phase in model.phases() for name in phase.weights}

    def test_without_targets_there_are_no_terms(self, model):
        packed = self.batch()
        output = model(self.bare(packed))
        assert output.terms == {}
        torch.testing.assert_close(output.logits, model(packed).logits)

    def test_a_forward_pass_leaves_nothing_behind(self, model):
        before = set(vars(model))
        model.train()
        model(self.batch())
        assert set(vars(model)) == before

    def test_masks_lie_between_zero_and_one_and_are_hard_in_evaluation(self, model):
        soft, hard = model.train()(self.batch()).rationale.mask, model.eval()(self.batch()).rationale.mask
        assert ((soft >= 0) & (soft <= 1)).all()
        assert ((hard >= 0) & (hard <= 1)).all()
        assert ((hard == 0) | (hard == 1)).all() or model.soft is not None

    def test_fixed_units_are_never_selected(self, model):
        packed = self.batch(query=3)
        rationale = model(packed).rationale
        assert not rationale.mask[packed.fixed].any()
        assert not rationale.selectable[packed.fixed].any()
        assert rationale.selectable[~packed.fixed].all()

    # Selections add up -------------------------------------------------------------------------------------------------

    def test_kept_and_dropped_make_the_whole(self, model):
        packed = self.batch(query=2)
        rationale = model(packed).rationale
        total = rationale.size() + rationale.complement().size()
        torch.testing.assert_close(total, lengths(packed.ptr).float() - 2)

    def test_complement_twice_is_the_identity(self, model):
        rationale = model(self.batch(query=2)).rationale
        torch.testing.assert_close(rationale.complement().complement().mask, rationale.mask)

    # Company and order -------------------------------------------------------------------------------------------------

    def test_company_changes_nothing(self, model):
        sizes = (7, 1, 12, 5)
        together = model(self.batch(sizes))
        for b, size in enumerate(sizes):
            alone = model(self.example(size, seed=b))
            for ours, theirs in zip(self.example_of(alone, 0), self.example_of(together, b), strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)

    def test_an_example_without_words_beside_it_changes_nothing(self, model):
        packed = self.batch()
        hollow = self.collate([packed, self.example(4, seed=9).select(torch.zeros(4, dtype=torch.bool), positions="kept")])
        output = model(hollow)
        assert output.logits.isfinite().all()
        torch.testing.assert_close(output.logits[:4], model(packed).logits, atol=1e-6, rtol=1e-5)

    def test_terms_are_means_over_examples(self, model):
        sizes = (7, 3, 12, 5)
        together = model(self.batch(sizes)).terms
        alone = [model(self.example(size, seed=b)).terms for b, size in enumerate(sizes)]
        for name in set(together) - set(model.coupled):
            term = together[name]
            torch.testing.assert_close(term, torch.stack([terms[name] for terms in alone]).mean(), atol=1e-6, rtol=1e-5)

    def test_metrics_do_not_depend_on_the_batch(self, model):
        sizes = (7, 3, 12, 5, 9)
        together, parts = (Scores(model.task, floors=True, unit=model.unit, whole=True) for _ in range(2))
        examples = [self.example(size, seed=b) for b, size in enumerate(sizes)]
        for scores, batches in ((together, [self.batch(sizes)]), (parts, examples)):
            for packed in batches:
                output = model(packed)
                everything = model.task.predict(model.logits(packed, torch.ones(packed.units.shape[0])))
                scores.update(output.logits, output.rationale, packed, whole=everything)
        assert together.compute() == pytest.approx(parts.compute(), abs=1e-6)

    def test_tested_it_also_tells_what_it_predicts_from_other_inputs(self, model):
        packed = self.batch((7, 3, 12, 5, 9))
        mask = model(packed).rationale.mask
        shown = {"whole_input": torch.ones_like(mask), **({} if model.sees_rest is None else {"rationale_input": mask})}
        model.validation_step(packed, 0)
        model.test_step(packed, 0)
        assert not any("_input/" in name for name in model.scores["val"].compute())
        numbers = model.scores["test"].compute()
        expected = {}
        for view, seen in shown.items():
            metric = prediction_metric(model.task)
            metric.update(model.task.predict(model.logits(packed, seen)), packed.y)
            expected |= {f"{view}/{name}": float(value) for name, value in metric.compute().items()}
        told = {name: value for name, value in numbers.items() if "_input/" in name}
        assert told == pytest.approx(expected, abs=1e-6, nan_ok=True)

    # The forced mask ---------------------------------------------------------------------------------------------------

    def test_deployed_prediction_is_the_one_under_its_own_mask(self, model):
        packed = self.batch(query=2)
        output = model(packed)
        mask = output.rationale.mask
        alone, whole = (model.logits(packed, shown) for shown in (mask, torch.ones_like(mask)))
        torch.testing.assert_close(output.logits, alone if model.sees_rest is None else whole, atol=1e-6, rtol=1e-5)
        # A model that says it sees more does.
        assert model.sees_rest is None or not torch.allclose(alone, whole)

    @pytest.mark.parametrize("absence", EVERYWHERE)
    def test_under_a_full_mask_nothing_is_absent(self, model, absence):
        packed = self.batch(query=2)
        ones = torch.ones(packed.units.shape[0])
        torch.testing.assert_close(model.logits(packed, ones, absence=absence), model.logits(packed, ones), atol=1e-6, rtol=1e-5)

    @pytest.mark.parametrize("absence", EVERYWHERE)
    def test_an_empty_and_a_full_rationale_are_the_ends(self, model, absence):
        packed = self.batch(query=2)
        ones, none = torch.ones(packed.units.shape[0]), torch.zeros(packed.units.shape[0])
        predict = model.task.predict
        full = predict(model.logits(packed, ones, absence=absence))
        empty_rationale = model(packed).rationale
        complement_of_nothing = torch.where(packed.fixed, none, 1 - none)
        comprehensiveness = full - predict(model.logits(packed, complement_of_nothing, absence=absence))
        sufficiency = full - predict(model.logits(packed, empty_rationale.selectable.float(), absence=absence))
        assert comprehensiveness.abs().max() < 1e-6
        assert sufficiency.abs().max() < 1e-6
        assert model.logits(packed, none, absence=absence).isfinite().all()

    @pytest.mark.parametrize("absence", HIDING)
    def test_unselected_units_cannot_be_seen(self, model, absence):
        packed = self.batch(query=2)
        mask = (torch.arange(packed.units.shape[0]) % 3 == 0).float()
        hidden = (mask == 0) & ~packed.fixed
        assert hidden.any()
        other = self.replaced(packed, hidden)
        ours, theirs = (model.logits(each, mask, absence=absence) for each in (packed, other))
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
        seen = self.replaced(packed, mask == 1)
        assert not torch.equal(model.logits(seen, mask, absence=absence), ours)

    def test_what_leaks_says_so(self, model):
        assert (model.leaks is None) == (model.absence in HIDING)

    def test_an_unknown_absence_is_named(self, model):
        with pytest.raises(
            ValueError, match="'absence' must be one of compact, remove, mask_token, zero, state, message; got 'gone'"
        ):
            model.logits(self.batch(), torch.ones(25), absence="gone")

    # Training and keeping ----------------------------------------------------------------------------------------------

    def test_every_learning_parameter_gets_a_gradient(self, model):
        model.train()
        packed = self.batch((7, 6, 12, 5))
        terms = model(packed).terms
        for phase in model.phases():
            model.zero_grad()
            model.loss(terms, phase.weights).backward(retain_graph=True)
            groups = model.parameter_groups()
            for name in phase.groups:
                missing = [p.shape for p in groups[name] if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())]
                assert not missing, (name, missing)

    def test_a_batch_of_one_word_trains(self, model):
        model.train()
        output = model(self.example(1, seed=1))
        loss = model.loss(output.terms, model.phases()[0].weights)
        loss.backward()
        assert loss.isfinite()

    def test_saved_and_loaded_it_is_the_same_to_the_bit(self, model, tmp_path):
        save_model(model, str(tmp_path / "model.safetensors"))
        twin = build(self.config(), Rationalizer).eval()
        load_model(twin, str(tmp_path / "model.safetensors"))
        ours, theirs = model(self.batch()), twin(self.batch())
        assert ours.logits.equal(theirs.logits)
        assert ours.rationale.mask.equal(theirs.rationale.mask)

    def test_evaluation_is_deterministic(self, model):
        assert model(self.batch()).logits.equal(model(self.batch()).logits)

    def test_permuted_examples_give_permuted_outputs(self, model):
        sizes, order = (7, 1, 12, 5), [2, 0, 3, 1]
        ours = model(self.batch(sizes))
        theirs = model(self.collate([self.example(sizes[b], seed=b) for b in order]))
        torch.testing.assert_close(theirs.logits, ours.logits[order], atol=1e-6, rtol=1e-5)
        assert theirs.rationale.ptr.equal(offsets(lengths(ours.rationale.ptr)[order]))


class TextContract(Contract):
    """The same on text."""

    def example(self, size: int, *, seed: int, query: int = 0) -> Packed:
        return example(size, seed=seed, query=query)

    def collate(self, examples: list[Batch]) -> Batch:
        return Packed.collate(examples)

    def bare(self, packed: Batch) -> Batch:
        named = {name: packed.fields[name] for name in ("word", "sentence")}
        return Packed(units=packed.units, ptr=packed.ptr, fields=named)

    def replaced(self, packed: Batch, where: torch.Tensor) -> Batch:
        return replace_units(packed, where)
