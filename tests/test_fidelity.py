"""What predictions lose without their rationale and keep with nothing else."""

import math
from itertools import pairwise

import pytest
import torch

from graph.batch import Graph
from rationalizers.base import Rationalizer
from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.fidelity import FRACTIONS, aopc, fidelity, removal
from rationalizers.rationale import Rationale
from rationalizers.segment import lengths, offsets
from tests.graph.contract import TASKS, classifier, graph


def explained(task, seed=0):
    batch = Graph.collate([graph(size, seed=place, task=task) for place, size in enumerate((7, 4, 6))])
    mask = (torch.rand(17, generator=torch.Generator().manual_seed(seed)) < 0.4).float()
    return batch, Rationale(mask, mask, batch.ptr)


@torch.no_grad()
def by_hand(model, batch, rationale, fall):
    """Each graph by itself, its parts as graphs of their own."""
    whole, alone, without = [], [], []
    for b in range(3):
        rows = torch.arange(17)
        rows = (rows >= batch.ptr[b]) & (rows < batch.ptr[b + 1])
        kept = rationale.mask.bool()
        for found, nodes in ((whole, rows), (alone, rows & kept), (without, rows & ~kept)):
            part = batch.select(nodes, positions="fresh")
            found.append(model.task.predict(model.logits(part, torch.ones(int(nodes.sum()))))[b])
    return tuple(sum(float(fall(a, c)) for a, c in zip(whole, other, strict=True)) / 3 for other in (without, alone))


@pytest.mark.parametrize(
    ("task", "fall"),
    [
        ("classification", lambda whole, other: whole.max() - other[whole.argmax()]),
        ("binary", lambda whole, other: ((whole - other) * torch.where(whole > 0.5, 1, -1)).mean()),
        ("regression", lambda whole, other: (whole - other).abs().mean()),
    ],
)
def test_it_is_the_fall_of_what_was_predicted(task, fall):
    model, (batch, rationale) = classifier(task), explained(task)
    found = fidelity(model, [(batch, rationale)])
    plus, minus = by_hand(model, batch, rationale, fall)
    assert found == {"fidelity_plus": pytest.approx(plus, abs=1e-5), "fidelity_minus": pytest.approx(minus, abs=1e-5)}
    assert abs(plus) > 1e-4


@pytest.mark.parametrize("absence", ["compact", "zero", "mask_token", "state", "message"])
def test_everything_is_enough_and_nothing_is_not_needed(absence):
    model, (batch, rationale) = classifier("classification"), explained("classification")
    ones = torch.ones_like(rationale.mask)
    everything = fidelity(model, [(batch, Rationale(ones, ones, batch.ptr))], absence=absence)
    nothing = fidelity(model, [(batch, Rationale(ones, 0 * ones, batch.ptr))], absence=absence)
    assert everything["fidelity_minus"] == nothing["fidelity_plus"] == 0
    assert everything["fidelity_plus"] == nothing["fidelity_minus"] != 0


def test_it_is_a_mean_over_examples_however_they_meet():
    model = classifier("classification")
    pairs = [explained("classification", seed) for seed in (1, 2)]
    single = [fidelity(model, [pair])["fidelity_plus"] for pair in pairs]
    assert fidelity(model, pairs)["fidelity_plus"] == pytest.approx(sum(single) / 2)
    assert math.isnan(fidelity(model, [])["fidelity_plus"])


def test_bad_arguments_are_named():
    model = classifier("classification")
    with pytest.raises(ValueError, match="evaluation mode"):
        fidelity(model.train(), [])
    with pytest.raises(ValueError, match="'absence' must be one of"):
        fidelity(model.eval(), [], absence="gone")


# Over sizes


def gru():
    return {"_target_": "rationalizers.encoders.GRUEncoder", "vocabulary": 40, "mask_id": 4, "embedding": 8, "hidden": 8}


def bert():
    from tests.encoders.tiny_transformers import VOCABULARY, architecture  # skips where there are no transformers

    return {
        "_target_": "rationalizers.encoders.PretrainedEncoder",
        "pretrained": "owner/name",
        "architecture": architecture("bert"),
        "vocabulary": VOCABULARY,
        "mask_id": 4,
        "max_length": 20,
    }


def reader(encoder):
    """A classifier of texts whose answers differ."""
    config = {
        "_target_": "rationalizers.methods.full.Full",
        "task": TASKS["classification"],
        "encoder": encoder,
        "weights": {"task": 1.0},
        "optimizer": {"lr": 0.01},
    }
    torch.manual_seed(0)
    model = build(config, Rationalizer).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model


def texts(sizes=(9, 0, 2, 26, 12, 3), seed=0):
    """Texts that begin with two fixed units and end with one, where they are long enough; scores without ties."""
    generator = torch.Generator().manual_seed(seed)
    n, ptr = sum(sizes), offsets(torch.tensor(sizes))
    fixed = torch.zeros(n, dtype=torch.bool)
    for start, end in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        fixed[start : min(start + 2, end)] = True
        fixed[max(start, end - 1) : end] = True
    batch = Packed(units=torch.randint(5, 40, (n,), generator=generator), ptr=ptr, fixed=fixed)
    return batch, scored(batch, generator)


def graphs(task="classification", query=1, sizes=(7, 0, 4, 6)):
    batch = Graph.collate([graph(size, seed=place, query=query, task=task) for place, size in enumerate(sizes)])
    return batch, scored(batch, torch.Generator().manual_seed(0))


def scored(batch, generator):
    n = batch.units.shape[0]
    scores = torch.randperm(n, generator=generator).float().masked_fill(batch.fixed, -torch.inf)
    return Rationale(scores, torch.zeros(n), batch.ptr)


def tops(batch, rationale, fraction):
    """The best-scored units, example by example."""
    top = torch.zeros(batch.units.shape[0], dtype=torch.bool)
    for start, end in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True):
        n = int((~batch.fixed[start:end]).sum())
        if n and fraction:
            top[start + rationale.scores[start:end].argsort(descending=True)[: max(1, round(fraction * n))]] = True
    return top


@torch.no_grad()
def one_at_a_time(model, batch, rationale, absence, fractions=FRACTIONS):
    """A forced mask for each fraction and side, for classes."""
    ones = torch.ones_like(rationale.mask)
    whole = model.task.predict(model.logits(batch, ones, absence=absence))
    predicted, falls = whole.argmax(1), [[], []]
    for fraction in fractions:
        top = tops(batch, rationale, fraction)
        for found, mask in zip(falls, (~top, top), strict=True):
            part = model.task.predict(model.logits(batch, mask.float(), absence=absence))
            found.append((whole - part)[torch.arange(len(whole)), predicted].mean())
    return [float(torch.stack(found).mean()) for found in falls]


def named(numbers):
    return dict(zip(("comprehensiveness_aopc", "sufficiency_aopc"), [pytest.approx(x, abs=1e-5) for x in numbers], strict=True))


@pytest.mark.parametrize("absence", ["compact", "remove", "mask_token", "zero", "state"])
@pytest.mark.parametrize("encoder", [gru, bert])
def test_all_parts_of_texts_together_are_one_forced_mask_at_a_time(encoder, absence):
    model, (batch, rationale) = reader(encoder()), texts()
    expected = one_at_a_time(model, batch, rationale, absence)
    assert aopc(model, [(batch, rationale)], absence=absence) == named(expected)
    assert min(abs(number) for number in expected) > 1e-4


@pytest.mark.parametrize("absence", ["compact", "remove", "mask_token", "zero", "state", "message"])
def test_all_parts_of_graphs_together_are_one_forced_mask_at_a_time(absence):
    model, (batch, rationale) = classifier("classification"), graphs()
    expected = one_at_a_time(model, batch, rationale, absence, fractions=(0.2, 0.5))
    assert aopc(model, [(batch, rationale)], absence=absence, fractions=(0.2, 0.5)) == named(expected)
    assert min(abs(number) for number in expected) > 1e-4


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_single_size_is_the_fidelity_of_a_rationale_of_that_size(task):
    model, (batch, rationale) = classifier(task), graphs(task)
    top = Rationale(rationale.scores, tops(batch, rationale, 0.4).float(), batch.ptr)
    found, expected = aopc(model, [(batch, rationale)], fractions=[0.4]), fidelity(model, [(batch, top)])
    assert found == named([expected["fidelity_plus"], expected["fidelity_minus"]])
    assert expected["fidelity_plus"] != 0


@pytest.mark.parametrize("absence", ["compact", "zero"])
@pytest.mark.parametrize("query", [0, 1])
def test_everything_is_enough_nothing_is_not_needed_and_fixed_units_are_always_there(query, absence):
    model, (batch, rationale) = classifier("classification"), graphs(query=query, sizes=(7, 4, 6))
    everything = aopc(model, [(batch, rationale)], fractions=[1.0], absence=absence)
    nothing = aopc(model, [(batch, rationale)], fractions=[0.0], absence=absence)
    ones = torch.ones_like(rationale.mask)
    with torch.no_grad():
        # What is left without all selectable nodes: the fixed ones, or nothing.
        whole, left = (model.task.predict(model.logits(batch, mask, absence=absence)) for mask in (ones, 0 * ones))
    expected = float((whole - left).gather(1, whole.argmax(1, keepdim=True)).mean())
    assert everything == named([expected, 0])
    assert nothing == named([0, expected])


@pytest.fixture
def passes(monkeypatch):
    """A classifier of graphs and the batches that it is asked about."""
    model, seen = classifier("classification"), []
    logits = type(model).logits

    def watched(self, batch, mask, *, absence=None):
        seen.append(batch)
        return logits(self, batch, mask, absence=absence)

    monkeypatch.setattr(type(model), "logits", watched)
    return model, seen


def test_all_copies_go_through_in_passes_of_similar_length_that_fit(passes):
    model, seen = passes
    pair = graphs()  # of 17 nodes and 4 queries: 21 units whole, 25 for each fraction
    whole = aopc(model, [pair])
    assert [lengths(batch.ptr).numel() for batch in seen] == [44]
    assert seen[0].x.shape[0] == 21 + 5 * 25
    for units in (60, 20, 1):
        seen.clear()
        assert aopc(model, [pair], units=units) == named(whole.values())
        sizes = [lengths(batch.ptr) for batch in seen]
        assert all(int(size.max()) * size.numel() <= units or size.numel() == 1 for size in sizes)
        assert all(int(before.min()) >= int(after.max()) for before, after in pairwise(sizes))
        assert sum(int(size.sum()) for size in sizes) == 21 + 5 * 25
    seen.clear()
    aopc(model, [pair], absence="zero")
    assert [batch.x.shape[0] for batch in seen] == [11 * 21]


@pytest.mark.parametrize(("absence", "places"), [("compact", [0, 1, 2, 3, 4]), ("remove", [0, 1, 3, 5, 6])])
def test_what_is_left_closes_up_or_stays_in_place(passes, absence, places):
    model, seen = passes
    batch, _ = graphs(query=0, sizes=(7,))
    scores = torch.tensor([0.1, 0.2, 0.9, 0.3, 0.8, 0.0, 0.4])
    aopc(model, [(batch, Rationale(scores, scores, batch.ptr))], fractions=[0.3], absence=absence)
    # The longest first: the whole graph, then the graph without its top.
    assert seen[0].position[7:12].tolist() == places


def test_the_own_size_and_others_come_from_one_reading():
    model, (batch, rationale) = reader(gru()), texts()
    chosen = Rationale(rationale.scores, tops(batch, rationale, 0.3).float(), batch.ptr)
    found = removal(model, batch, chosen, fractions=(0.3, 0.5))
    assert found.without.equal(found.without_at[0])
    assert found.alone.equal(found.alone_at[0])
    with torch.no_grad():
        whole, without = (
            model.task.predict(model.logits(batch, mask, absence="compact"))
            for mask in (torch.ones_like(chosen.mask), 1 - chosen.mask)
        )
    torch.testing.assert_close(found.whole, whole)
    torch.testing.assert_close(found.without, without)
    assert found.without_at.shape == found.alone_at.shape == (2, 6, whole.shape[1])
    assert removal(model, batch, chosen, fractions=()).alone_at.shape == (0, 6, whole.shape[1])


@pytest.mark.parametrize("absence", ["compact", "zero"])
def test_no_example_depends_on_its_company(absence):
    model, (batch, rationale) = reader(gru()), texts()
    alone = []
    for start, end in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True):
        one = Packed(units=batch.units[start:end], ptr=torch.tensor([0, end - start]), fixed=batch.fixed[start:end])
        alone.append((one, Rationale(rationale.scores[start:end], rationale.mask[start:end], one.ptr)))
    together, apart = (aopc(model, pairs, absence=absence) for pairs in ([(batch, rationale)], alone))
    each = [aopc(model, [pair], absence=absence) for pair in alone]
    assert apart == named(together.values())
    assert together == named([sum(one[name] for one in each) / 6 for name in together])
    # An example without selectable units has nothing to lose.
    assert set(each[1].values()) == set(each[2].values()) == {0.0}


def test_scores_decide_even_where_they_are_infinite_or_of_fixed_units():
    model, (batch, rationale) = reader(gru()), texts()
    expected = aopc(model, [(batch, rationale)])
    odd = rationale.scores.masked_fill(batch.fixed, 99.0)
    assert aopc(model, [(batch, Rationale(odd, rationale.mask, batch.ptr))]) == expected
    # Of the longest text, all but the best three as well as its fixed units are −∞, which counts as a tie.
    rows = slice(11, 37)
    cut, tied = rationale.scores.clone(), rationale.scores.clone()
    low = ~batch.fixed[rows] & (cut[rows] < cut[rows].topk(3).values[-1])
    cut[rows] = cut[rows].masked_fill(low, -torch.inf)
    tied[rows] = tied[rows].masked_fill(low, -1.0)
    assert aopc(model, [(batch, Rationale(cut, cut, batch.ptr))]) == aopc(model, [(batch, Rationale(tied, tied, batch.ptr))])


def test_without_examples_it_is_unknown():
    model = reader(gru())
    assert all(math.isnan(value) for value in aopc(model, []).values())
    empty = Packed(units=torch.zeros(3, dtype=torch.long)[:0], ptr=torch.tensor([0, 0, 0]))
    none = torch.zeros(0)
    for absence in ("compact", "zero"):
        assert set(aopc(model, [(empty, Rationale(none, none, empty.ptr))], absence=absence).values()) == {0.0}


def test_bad_arguments_of_sizes_are_named():
    model = classifier("classification")
    with pytest.raises(ValueError, match="evaluation mode"):
        aopc(model.train(), [])
    model.eval()
    with pytest.raises(ValueError, match="'absence' must be one of"):
        aopc(model, [], absence="gone")
    for fractions in ((), (0.1, 1.5), (-0.1,), (float("nan"),)):
        with pytest.raises(ValueError, match=r"'fractions' must be .* in \[0, 1\]"):
            aopc(model, [], fractions=fractions)
    with pytest.raises(ValueError, match="'units' must be positive, got 0"):
        aopc(model, [], units=0)
