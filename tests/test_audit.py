"""What a rationalizer can hide: constructed cheaters, honest models, and real ones."""

import math

import pytest
import torch

from graph.batch import Graph
from rationalizers.attribution import IntegratedGradients
from rationalizers.audit import leak, leakage, shift, stability
from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.data.document import Document
from rationalizers.data.words import WordFeaturizer
from rationalizers.metrics.signal import answers, mask_looks, mask_signal
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets, segment_sum
from tests.graph.contract import ENCODER as GIN
from tests.graph.contract import TASKS, graph

CLASSES = {"_target_": "rationalizers.task.Classification", "labels": ["bad", "good"]}


class Scripted(Rationalizer):
    """Adds up what words say for the one class or the other, from a rationale that a rule selects.

    Args:
        task: what is predicted.
        says: of each unit, a column for every output.
        leaky: sees everything, whatever the mask.
    """

    def __init__(self, *, says, task=CLASSES, leaky=False):
        super().__init__(task=task, weights={}, optimizer={"lr": 1.0}, absence="zero")
        self.says, self.leaky = torch.tensor(says, dtype=torch.float), leaky

    def select(self, batch):
        """Whatever says something."""
        return self.says[batch.units].abs().sum(1) > 0

    def forward(self, batch):
        mask = (self.select(batch) & ~batch.fixed).float()
        return Output(self.logits(batch, mask), Rationale(mask.masked_fill(batch.fixed, -torch.inf), mask, batch.ptr))

    def logits(self, batch, mask, *, absence=None):
        seen = torch.ones_like(mask) if self.leaky else torch.where(batch.fixed, torch.ones_like(mask), mask)
        return segment_sum(self.says[batch.units] * seen[:, None], batch.ptr)


class Cheater(Scripted):
    """Reads the class from everything, selects the first word for one and the last for the other, and predicts by the place."""

    def select(self, batch):
        last = segment_sum(self.says[batch.units], batch.ptr).argmax(1) == 1
        return torch.zeros_like(batch.fixed).index_fill(0, torch.where(last, batch.ptr[1:] - 1, batch.ptr[:-1]), True)

    def logits(self, batch, mask, *, absence=None):
        first = torch.zeros_like(mask).index_fill(0, batch.ptr[:-1], 1.0)
        last = torch.zeros_like(mask).index_fill(0, batch.ptr[1:] - 1, 1.0)
        return torch.stack([segment_sum(mask * first, batch.ptr), segment_sum(mask * last, batch.ptr)], 1)


# Unit 0 says nothing, 1 says bad and 2 says good.
SAYS = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]


def texts(examples=60, seed=0):
    """Texts of nothing but one word that says something, which is the evidence and never at an end."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(6, 20, (examples,), generator=generator)
    ptr = offsets(sizes)
    label = torch.randint(2, (examples,), generator=generator)
    cue = ptr[:-1] + 1 + (torch.rand(examples, generator=generator) * (sizes - 2)).long()
    units = torch.zeros(int(ptr[-1]), dtype=torch.long).index_put((cue,), label + 1)
    return Packed(units=units, ptr=ptr, y=label, fields={"evidence": units > 0})


def means(found):
    return {name: float(each.nanmean()) for name, each in found.items()}


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), equal_nan=True, atol=atol, rtol=0)


# Leakage ----------------------------------------------------------------------------------------------------------------


def test_what_is_hidden_cannot_move_a_prediction_and_what_is_seen_does():
    batch = texts()
    honest, leaky = Scripted(says=SAYS).eval(), Scripted(says=SAYS, leaky=True).eval()
    rationale = honest(batch).rationale
    assert leak(honest, batch, rationale, seed=0).equal(torch.zeros(60))
    moved = leak(leaky, batch, rationale, seed=0)
    assert moved.shape == (60,)
    assert ((moved >= 0) & (moved <= 1)).all()
    assert float(moved.mean()) > 0.1


def test_leakage_by_hand():
    batch = Packed(units=torch.tensor([1, 1, 1, 0]), ptr=torch.tensor([0, 3, 4]))
    mask = torch.tensor([1.0, 1, 1, 0])
    leaky = Scripted(says=SAYS, leaky=True).eval()
    found = torch.stack([leak(leaky, batch, Rationale(mask, mask, batch.ptr), seed=seed) for seed in range(40)])
    # The one hidden word becomes `bad` or, one time in four, itself: p moves from ½ to σ(4), or stays.
    assert found[:, 0].equal(torch.zeros(40))
    assert {round(each, 5) for each in found[:, 1].tolist()} == {0.0, round(1 / (1 + math.exp(-4)) - 0.5, 5)}
    assert 0.5 < float((found[:, 1] > 0).double().mean()) < 0.95


def test_fixed_units_are_neither_replaced_nor_put_elsewhere():
    # What could be put in their place says good, what they could be put in place of says bad.
    batch = Packed(units=torch.tensor([1, 2, 1, 2, 1]), ptr=torch.tensor([0, 3, 5]), fixed=torch.tensor([0, 1, 0, 1, 0]).bool())
    mask = torch.zeros(5)
    assert leak(Scripted(says=SAYS, leaky=True).eval(), batch, Rationale(mask, mask, batch.ptr), seed=3).equal(torch.zeros(2))


def test_draws_depend_on_row_and_seed_and_not_on_the_order_of_the_batch(monkeypatch):
    seen = []
    monkeypatch.setattr(Scripted, "logits", lambda self, batch, mask, absence=None: seen.append(batch.units) or torch.zeros(2, 2))
    model, none = Scripted(says=SAYS).eval(), torch.zeros(8)

    def replaced(index, seed):
        batch = Packed(units=torch.arange(8), ptr=torch.tensor([0, 4, 8]), index=torch.tensor(index))
        leak(model, batch, Rationale(none, none, batch.ptr), seed=seed)
        return seen[-1].view(2, 4).tolist()

    first = replaced([3, 9], seed=0)
    assert replaced([3, 9], seed=0) == first
    assert replaced([9, 3], seed=0) == first[::-1]
    assert replaced([4, 9], seed=0)[1] == first[1]
    assert replaced([4, 9], seed=0)[0] != first[0]
    assert replaced([3, 9], seed=1) != first


def test_of_answers_and_numbers_it_is_the_mean_change():
    batch = texts()
    for task in ("binary", "regression"):
        targets = TASKS[task]["targets"]
        says = [[0.0] * len(targets), [2.0] * len(targets), [-2.0] * len(targets)]
        honest = Scripted(says=says, task=TASKS[task]).eval()
        leaky = Scripted(says=says, task=TASKS[task], leaky=True).eval()
        rationale = honest(batch).rationale
        assert leak(honest, batch, rationale, seed=0).equal(torch.zeros(60))
        assert float(leak(leaky, batch, rationale, seed=0).mean()) > 0.05


def graph_model(method, **more):
    config = {
        "_target_": f"graph.methods.{method}",
        "task": TASKS["classification"],
        "encoder": GIN,
        "optimizer": {"lr": 0.01},
        **more,
    }
    torch.manual_seed(0)
    return build(config, Rationalizer).eval()


def nothing(batch):
    none = torch.zeros(batch.position.shape[0])
    return Rationale(none, none, batch.ptr)


def test_leakage_of_a_run_is_the_mean_over_its_examples():
    model = graph_model("gsat.GSAT", weights={"task": 1.0, "information": 1.0})
    batches = [Graph.collate([graph(size, seed=size) for size in sizes]) for sizes in ((7, 4), (6,))]
    model.forward = lambda batch: Output(torch.zeros(0, 3), nothing(batch))
    each = torch.cat([leak(model, batch, nothing(batch), seed=0) for batch in batches])
    assert leakage(model, batches) == pytest.approx(float(each.mean()))
    assert float(each.mean()) > 0
    assert math.isnan(leakage(model, []))


def test_a_batch_without_anything_to_replace_does_not_move():
    model = Scripted(says=SAYS, leaky=True).eval()
    batch = Packed(units=torch.tensor([1, 2]), ptr=torch.tensor([0, 2]), fixed=torch.ones(2).bool())
    none = torch.zeros(2)
    assert leak(model, batch, Rationale(none - torch.inf, none, batch.ptr), seed=0).equal(torch.zeros(1))


# Signals ----------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_cheater_has_no_leak_but_a_signal_and_shift_gives_it_away():
    batch = texts(120)
    cheater, honest = Cheater(says=SAYS).eval(), Scripted(says=SAYS).eval()
    told = {}
    for name, model in (("cheater", cheater), ("honest", honest)):
        output = model(batch)
        looks, label = mask_looks(output.rationale, batch), answers(model.task.predict(output.logits), task=model.task)
        told[name] = {
            "leak": float(leak(model, batch, output.rationale, seed=0).mean()),
            **means(mask_signal(looks, label, seed=0)),
            **means(shift(model, batch, output.rationale)),
        }
    assert told["cheater"]["own"] == told["honest"]["own"] == 1
    assert told["cheater"]["leak"] == told["honest"]["leak"] == 0
    assert told["cheater"]["mask_signal"] == 1
    assert told["honest"]["mask_signal"] < 0.7
    assert all(told[name]["floor/random/mask_signal"] < 0.7 for name in told)
    # The predictor of the cheater has never read a word.
    assert told["honest"]["oracle"] == told["honest"]["human"] == told["honest"]["all"] == 1
    assert all(told["cheater"][mask] < 0.7 for mask in ("random", "oracle", "human", "all"))


# Shift ------------------------------------------------------------------------------------------------------------------


def test_shift_by_hand():
    # Two texts: one whose rationale is the wrong word, one without evidence.
    batch = Packed(
        units=torch.tensor([1, 2, 2, 1, 0, 0]),
        ptr=torch.tensor([0, 4, 6]),
        y=torch.tensor([1, 0]),
        fields={"evidence": torch.tensor([0, 1, 1, 0, 0, 0]).bool()},
    )
    mask = torch.tensor([1.0, 0, 0, 0, 1, 0])
    found = shift(Scripted(says=SAYS).eval(), batch, Rationale(mask, mask, batch.ptr))
    assert set(found) == {"own", "random", "oracle", "human", "all"}
    close(found["own"], [0.0, 1.0])
    close(found["oracle"], [1.0, math.nan])
    close(found["human"], [1.0, math.nan])
    close(found["all"], [0.0, 1.0])  # two against two: the first class
    assert all(each.shape == (2,) for each in found.values())


def test_without_evidence_human_masks_are_unknown():
    batch = texts(4)
    batch = Packed(units=batch.units, ptr=batch.ptr, y=batch.y)
    model = Scripted(says=SAYS).eval()
    found = shift(model, batch, model(batch).rationale)
    assert found["human"].isnan().all()
    assert found["oracle"].isnan().all()
    assert found["own"].equal(torch.ones(4))


def test_numbers_have_the_distance_and_unknown_targets_are_unknown():
    model = Scripted(says=[[0.0], [1.0], [2.0]], task=TASKS["regression"]).eval()  # the answer is 3 z + 2
    batch = Packed(units=torch.tensor([1, 2, 1]), ptr=torch.tensor([0, 2, 3]), y=torch.tensor([[6.0], [math.nan]]))
    mask = torch.tensor([1.0, 0.0, 1.0])
    found = shift(model, batch, Rationale(mask, mask, batch.ptr))
    close(found["own"], [-1.0, math.nan])
    close(found["all"], [-5.0, math.nan])


def test_soft_masks_are_shown_as_they_are():
    seen = []
    model = graph_model("gsat.GSAT", weights={"task": 1.0, "information": 1.0})
    batch = Graph.collate([graph(size, seed=size) for size in (7, 4)])
    rationale = model(batch).rationale
    logits = model.logits
    model.logits = lambda batch, mask, absence=None: seen.append(mask) or logits(batch, mask)
    found = shift(model, batch, rationale)
    assert seen[0].equal(rationale.mask)
    assert all(((mask == 0) | (mask == 1)).all() for mask in seen[1:])
    assert found["own"].equal((model(batch).logits.argmax(1) == batch.y).float())


def test_company_changes_nothing_that_is_not_drawn_from_it():
    batch = texts(6)
    model = Scripted(says=SAYS).eval()
    together = shift(model, batch, model(batch).rationale)
    for b in range(6):
        rows = slice(int(batch.ptr[b]), int(batch.ptr[b + 1]))
        one = Packed(
            units=batch.units[rows],
            ptr=torch.tensor([0, batch.units[rows].shape[0]]),
            y=batch.y[b : b + 1],
            fields={"evidence": batch.fields["evidence"][rows]},
            index=batch.index[b : b + 1],
        )
        alone = shift(model, one, model(one).rationale)
        assert all(alone[name].equal(together[name][b : b + 1]) for name in together)


# Stability --------------------------------------------------------------------------------------------------------------


def featurizer(*documents):
    words = WordFeaturizer(min_count=1)
    words.fit([Document(id="all", words=("movie", "not", "color")), *documents])
    return words


REVIEWS = (
    Document(id="a", words=("A", "film", "that", "is", "good"), query=("is", "it", "good", "?")),
    Document(id="b", words=("it", "is", "bad"), query=("is", "it", "good", "?")),
    Document(id="c", words=("bad", "colour", ",", "good", "film"), query=("good", "?")),
)


def reader(words, **says):
    """A model to which some words say something."""
    ids = {word: row for row, word in enumerate(words.vocabulary)}
    table = torch.zeros(len(ids), 2)
    for word, value in says.items():
        table[ids[word], int(value > 0)] = abs(value)
    return Scripted(says=table.tolist()).eval()


def test_a_rationale_that_does_not_read_the_words_that_change_stays():
    words = featurizer(*REVIEWS)
    batch = words.batch(REVIEWS)
    found = stability(reader(words, good=2.0, bad=-1.0), words, batch)
    close(found["edits"], [1.0, 0.0, 2.0])
    close(found["edit_overlap"], [1.0, math.nan, 1.0])
    close(found["edit_flip"], [0.0, math.nan, 0.0])
    close(found["edit_change"], [0.0, math.nan, 0.0])
    # One of five words, twice; and two of five.
    close(found["floor/random/edit_overlap"], [1 / 5, math.nan, 0.1 * 1 + 0.6 * 1 / 3])


def test_a_rationale_of_a_word_that_changes_is_lost_and_so_is_its_prediction():
    words = featurizer(*REVIEWS)
    found = stability(reader(words, film=3.0, bad=-1.0), words, words.batch(REVIEWS))
    # "film" is "movie" then: of (film) nothing is left, of (bad, film) the half.
    close(found["edit_overlap"], [0.0, math.nan, 0.5])
    p = [1 / (1 + math.exp(-3)) - 0.5, 1 / (1 + math.exp(-2)) - 1 / (1 + math.exp(1))]
    close(found["edit_change"], [p[0], math.nan, p[1]])
    # Without a word that says something both classes are equally likely, and the first is taken.
    close(found["edit_flip"], [1.0, math.nan, 1.0])


def test_an_attribution_is_compared_with_itself():
    words = featurizer(*REVIEWS)
    config = {
        "_target_": "rationalizers.methods.full.Full",
        "task": CLASSES,
        "encoder": {"_target_": "rationalizers.encoders.GRUEncoder", **words.facts(), "embedding": 8, "hidden": 8},
        "weights": {"task": 1.0},
        "optimizer": {"lr": 0.01},
    }
    model = build(config, Rationalizer).eval()
    batch = words.batch(REVIEWS)
    found = stability(model, words, batch, explain=IntegratedGradients(share=0.4, steps=4))
    assert found["edit_overlap"][[0, 2]].isfinite().all()
    assert set(found["edit_overlap"][[0, 2]].tolist()) <= {0.0, 1 / 3, 1.0}
    # The model itself selects everything.
    close(stability(model, words, batch)["edit_overlap"], [1.0, math.nan, 1.0])


def test_numbered_otherwise_a_graph_is_the_same():
    from graph.data.featurize import GraphFeaturizer

    graphs = GraphFeaturizer(atoms=GIN["atoms"], bonds=GIN["bonds"])
    batch = Graph.collate([graph(size, seed=size) for size in (7, 1, 6)])
    model = graph_model("erm.ERM", weights={"task": 1.0})
    attribution = IntegratedGradients(share=0.4, steps=4)
    found = stability(model, graphs, batch, explain=attribution)
    close(found["edit_overlap"], [1.0, math.nan, 1.0])
    close(found["edit_change"], [0.0, math.nan, 0.0])
    assert found["edits"].tolist()[1] == 0
    assert (found["edits"][[0, 2]] > 1).all()
    # An attribution that looks at numbers is found out.
    by_number = stability(model, graphs, batch, explain=lambda model, batch: first_two(batch))
    assert (by_number["edit_overlap"][[0, 2]] < 1).any()


def first_two(batch):
    mask = (batch.position < 2).float()
    return Rationale(mask, mask, batch.ptr)


# Arguments --------------------------------------------------------------------------------------------------------------


def test_every_test_is_of_a_model_in_evaluation_mode():
    model, batch = Scripted(says=SAYS).train(), texts(4)
    rationale = model(batch).rationale
    for ask in (
        lambda: leak(model, batch, rationale, seed=0),
        lambda: leakage(model, []),
        lambda: shift(model, batch, rationale),
        lambda: stability(model, featurizer(), batch),
    ):
        with pytest.raises(ValueError, match=r"evaluation mode; call model.eval\(\) first"):
            ask()
    with pytest.raises(ValueError, match="'batch' has no targets 'y'"):
        shift(model.eval(), Packed(units=batch.units, ptr=batch.ptr), rationale)
