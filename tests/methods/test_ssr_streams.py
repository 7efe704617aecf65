"""SSR on its streams: labelled examples, their copies, and the rest, in turn; killed between any two, a run ends the same."""

import json
from itertools import chain, groupby

import pytest
import torch
from safetensors.torch import load_file

from rationalizers import training
from rationalizers.base import Rationalizer
from rationalizers.build import trusting
from rationalizers.data.augmentation import Augmentation
from rationalizers.data.module import TextData
from rationalizers.segment import owners
from rationalizers.training import train
from tests.test_training import at, lines, numbers, read, train_until_killed
from tests.tiny import SIZES, TinyCorpus, data_config, run_config

KNOWN = {"corpus": {"_target_": "tests.tiny.TinyCorpus", "discovered": True}}
IN_TURN = {**KNOWN, "order": "labelled_first"}
RANDOM = {"random": {"_target_": "rationalizers.data.augmentation.RandomSpans"}}
MIXED = {**RANDOM, "semantic": {"_target_": "rationalizers.data.augmentation.NearestStates"}}
LABELLED, REST = 25, 11  # round(.8 · 31) of 36
SSR = ("ssr_unif", "ssr_virt")
WEIGHTS = "model.safetensors"


class Overwritten(Augmentation):
    """Copies with one and the same unit where shortcuts were."""

    made = 0

    def __init__(self, *, unit, flags=True):
        self.unit, self.flags = unit, flags

    def units(self, batch, discovered, material):
        Overwritten.made += 1
        return batch.units.masked_fill(discovered, self.unit)


def overwritten(**units):
    return {
        name: {"_target_": "tests.methods.test_ssr_streams.Overwritten", "unit": unit, "flags": name != "cleared"}
        for name, unit in units.items()
    }


def ready(**changes):
    description = data_config(**{**KNOWN, **changes})
    del description["_target_"]
    with trusting(["tests"]):
        data = TextData(**description)
    data.setup()
    return data


def kinds(batches):
    """Of every batch, what its examples are: the set of their labels."""
    return [set(batch.labelled.tolist()) for batch in batches]


def order(data, epoch=0):
    return [(batch.index.tolist(), batch.units.tolist()) for batch in data.batches("train", epoch=epoch)]


# Streams ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_no_batch_mixes_and_labelled_examples_come_first(epoch):
    data = ready(order="labelled_first")
    batches = list(data.batches("train", epoch=epoch))
    assert kinds(batches) == [{True}] * 5 + [{False}] * 2
    assert sorted(chain(*(batch.index.tolist() for batch in batches))) == list(range(36))
    assert len(data.batches("train", epoch=epoch)) == 7


def test_shuffled_batches_mix():
    assert {True, False} in kinds(ready().batches("train"))


def test_copies_stand_between_in_the_order_of_their_names_in_the_configuration():
    data = ready(order="labelled_first", augmentation=overwritten(second=5, cleared=3, first=4))
    batches = list(data.batches("train", epoch=2))
    assert len(batches) == len(data.batches("train", epoch=2)) == 4 * 5 + 2
    own, *copies, rest = [batches[:5], batches[5:10], batches[10:15], batches[15:20], batches[20:]]
    labelled = sorted(int(row.index) for row in data.labelled)
    for stream in (own, *copies):
        assert sorted(chain(*(batch.index.tolist() for batch in stream))) == labelled
        assert kinds(stream) == [{True}] * 5
    assert kinds(rest) == [{False}] * 2
    found = {int(row.index): row.fields["discovered"] > 0 for row in data.labelled}
    originals = {int(row.index): row.units for row in data.labelled}
    for stream, unit, flags in zip(copies, (5, 3, 4), (True, False, True), strict=True):
        for batch in stream:
            owner = owners(batch.ptr, batch.units.shape[0])
            for b, row in enumerate(batch.index.tolist()):
                here = batch.units[owner == b]
                assert here.equal(originals[row].masked_fill(found[row], unit))
                assert (batch.fields["discovered"][owner == b] > 0).equal(found[row] & flags)
    assert any(bool(marks.any()) for marks in found.values())


def test_every_stream_has_an_order_of_its_own_in_every_epoch():
    data = ready(order="labelled_first", augmentation=overwritten(first=4, second=4))
    orders = [
        [batch.index.tolist() for batch in list(data.batches("train", epoch=epoch))[5 * stream : 5 * stream + 5]]
        for epoch in (0, 1)
        for stream in (0, 1, 2)
    ]
    assert len({str(each) for each in orders}) == 6


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    settings = {"order": "labelled_first", "augmentation": {**overwritten(first=4), **RANDOM}, "seed": 5}
    first = ready(**settings)
    expected = {epoch: order(first, epoch) for epoch in (0, 1, 2)}
    torch.manual_seed(1234)
    second = ready(**settings)
    assert {epoch: order(second, epoch) for epoch in (2, 0, 1)} == expected
    assert order(ready(**{**settings, "seed": 6})) != expected[0]


def test_copies_are_made_once_and_only_for_training():
    before = Overwritten.made
    data = ready(order="labelled_first", augmentation=overwritten(first=4))
    list(data.batches("val"))
    assert Overwritten.made == before
    for epoch in range(3):
        data.batches("train", epoch=epoch)
    assert Overwritten.made == before + 1


def test_without_labels_streams_are_the_shuffled_order():
    in_turn, shuffled = (ready(order=how, labelled_share=0.0) for how in ("labelled_first", "shuffled"))
    assert order(in_turn, 3) == order(shuffled, 3)


def test_the_labelled_are_in_the_order_of_the_corpus():
    rows = [int(row.index) for row in ready().labelled]
    assert rows == sorted(rows)
    assert len(rows) == LABELLED


# Parts --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["shuffled", "labelled_first"])
@pytest.mark.parametrize(("part", "labelled", "count"), [("labelled", True, LABELLED), ("unlabelled", False, REST)])
def test_a_part_is_trained_on_and_known_by_all(how, part, labelled, count):
    data, whole = ready(part=part, order=how), ready()
    batches = list(data.batches("train"))
    assert kinds(batches) == [{labelled}] * -(-count // 6)
    rows = [row for batch in batches for row in batch.index.tolist()]
    assert sorted(rows) == [int(row.index) for row in whole.splits["train"] if bool(row.labelled) == labelled]
    # Discovery looks at the labelled examples of a model that was trained on the others.
    assert [row.ids for row in data.labelled] == [row.ids for row in whole.labelled]
    assert len(data.splits["train"]) == 36
    assert data.featurizer.vocabulary == whole.featurizer.vocabulary
    assert data.statistics.words == whole.statistics.words
    assert data.statistics.probability.equal(whole.statistics.probability)


def test_the_labelled_part_has_copies():
    data = ready(part="labelled", order="labelled_first", augmentation=overwritten(first=4))
    assert kinds(data.batches("train")) == [{True}] * 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part": "annotated"}, "'part' must be one of all, labelled, unlabelled; got 'annotated'"),
        ({"order": "sorted"}, "'order' must be one of shuffled, labelled_first; got 'sorted'"),
        ({"augmentation": RANDOM}, "needs order='labelled_first' and a 'part' that has them; got order='shuffled', part='all'"),
        (
            {"augmentation": RANDOM, "order": "labelled_first", "part": "unlabelled"},
            "got order='labelled_first', part='unlabelled'",
        ),
        ({"part": "labelled", "labelled_share": 0.0}, r"no training example is in part='labelled': 0 of 36 are labelled"),
    ],
)
@pytest.mark.parametrize("how", [{}, {"order": "labelled_first"}])
def test_bad_arguments_are_named(changes, message, how):
    if "order='shuffled'" in message and how:
        return
    with pytest.raises(ValueError, match=message):
        ready(**{**how, **changes})


# Shortcuts ----------------------------------------------------------------------------------------------------------------


def shortcut_spans(document):
    """Runs of the word that the corpus is known to have for a shortcut."""
    runs = groupby(enumerate(document.words), key=lambda each: each[1] == "Who")
    return [[places[0], places[-1] + 1] for found, run in runs if found for places in [[place for place, _ in run]]]


def write_shortcuts(folder, data, spans):
    documents = {document.id: document for document in TinyCorpus().load().splits["train"]}
    rows = [documents[row.ids[0]] for row in data.labelled]
    written = [json.dumps({"id": row.id, "words": len(row.words), "spans": spans(row)}) for row in rows]
    (folder / "shortcuts.jsonl").write_text("\n".join(written) + "\n")


@pytest.fixture(scope="module")
def discovered(tmp_path_factory):
    """The run of an unsupervised rationalizer, and beside it the shortcuts of the labelled examples as if it had found them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "unlabelled"
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        train(run_config(folder, method="fr", data={"part": "unlabelled"}, max_epochs=1))
    torch.use_deterministic_algorithms(False)
    write_shortcuts(folder, ready(), shortcut_spans)
    return folder


def quick(patch):
    patch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))


@pytest.fixture(autouse=True)
def _quick_report(monkeypatch):
    quick(monkeypatch)


@pytest.mark.parametrize("query", [False, True])
def test_discovered_shortcuts_reach_the_batches(discovered, query):
    corpus = {"_target_": "tests.tiny.TinyCorpus", "query": query}
    data = ready(corpus=corpus, order="labelled_first", shortcuts=str(discovered))
    words = data.featurizer.vocabulary.index("who")
    seen = 0
    for batch in data.batches("train"):
        marks = batch.fields["discovered"] > 0
        owner = owners(batch.ptr, batch.units.shape[0])
        assert marks.equal((batch.units == words) & ~batch.fixed & batch.labelled[owner])  # the others were not looked at
        assert not (marks & batch.fields["evidence"].bool()).any()
        seen += int(marks.sum())
    assert seen > 5
    assert all("discovered" not in row.fields for split in ("val", "test") for row in data.splits[split])


def test_shortcuts_of_a_run_take_the_place_of_the_corpus_own(discovered, tmp_path):
    data = ready()
    assert any(bool((row.fields["discovered"] > 0).any()) for row in data.labelled)
    write_shortcuts(tmp_path, data, lambda document: [])
    assert not any(bool((row.fields["discovered"] > 0).any()) for row in ready(shortcuts=str(tmp_path)).labelled)


def test_a_run_without_shortcuts_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} .*rationalize-discover run="):
        ready(shortcuts=str(tmp_path))


def test_a_finished_run_is_evaluated_without_the_run_of_its_shortcuts(tmp_path):
    with trusting(["tests"]):
        data = TextData(**{key: value for key, value in data_config(shortcuts=str(tmp_path)).items() if key != "_target_"})
        data.setup("test")
    assert len(data.splits["test"]) == SIZES["test"]


# Training -----------------------------------------------------------------------------------------------------------------


def ssr_config(folder, method, *, data=None, **changes):
    return run_config(folder, method=method, data={**IN_TURN, **(data or {})}, **changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, discovered):
    """Finished, never interrupted runs by method and whether they have copies; each is made when first asked for."""
    place, found = tmp_path_factory.mktemp("ssr"), {}

    def run(method, mixed=False):
        if (method, mixed) not in found:
            data = {"augmentation": MIXED, "shortcuts": str(discovered)} if mixed else {}
            found[method, mixed] = train(ssr_config(place / f"{method}-{mixed}", method, data=data))
        return found[method, mixed]

    return run


@pytest.fixture
def rates(monkeypatch):
    """Learning rates of every training step from here on, by group."""
    seen, step = [], Rationalizer.training_step

    def watching(self, batch, batch_idx):
        (optimizer,) = self.trainer.optimizers
        seen.append({group["name"]: group["lr"] for group in optimizer.param_groups})
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Rationalizer, "training_step", watching)
    return seen


@pytest.mark.parametrize("method", SSR)
@pytest.mark.parametrize(("augmentation", "steps"), [({}, 5 + 2), (RANDOM, 5 + 5 + 2), (MIXED, 5 + 5 + 5 + 2)])
def test_the_schedule_counts_all_passes(tmp_path, rates, discovered, method, augmentation, steps):
    data = {"augmentation": augmentation, "shortcuts": str(discovered)}
    folder = train(ssr_config(tmp_path / "run", method, data=data, max_epochs=2))
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == len(rates) == 2 * steps
    groups = {"model"} if method == "ssr_unif" else {"model", "imitator"}
    for place, rate in enumerate(rates):
        assert rate == pytest.approx(dict.fromkeys(groups, 0.05 * (1 - place / (2 * steps))))
        assert min(rate.values()) > 0
    assert set(checkpoint["lr_schedulers"][0]["_last_lr"]) == {0.0}


@pytest.mark.parametrize("method", SSR)
def test_every_term_is_told(runs, method):
    terms = {"ssr_unif": {"shortcut"}, "ssr_virt": {"imitation", "shortcut_task", "virtual"}}[method]
    for row in lines(runs(method) / "metrics.jsonl"):
        assert all(row[f"train/{name}"] > 0 for name in terms)


@pytest.mark.parametrize("method", SSR)
def test_trained_without_shortcuts_it_is_its_parent_to_the_bit(tmp_path, method):
    data = ready()
    write_shortcuts(tmp_path, data, lambda document: [])
    without = {"shortcuts": str(tmp_path)}
    weights = {"ssr_unif": {}, "ssr_virt": {"virtual": 0.0}}[method]
    description = run_config(tmp_path, method=method)["method"]["model"]
    model = {"weights": {**description["weights"], **weights}}
    ours = train(ssr_config(tmp_path / "ssr", method, data=without, model=model))
    parent = train(ssr_config(tmp_path / "parent", "fr", data=without))
    weights_of = {folder: load_file(folder / WEIGHTS) for folder in (ours, parent)}
    assert all(weights_of[ours][name].equal(value) for name, value in weights_of[parent].items())
    extra = set(weights_of[ours]) - set(weights_of[parent])
    assert all(name.startswith("imitator.") for name in extra)
    assert bool(extra) == (method == "ssr_virt")
    assert numbers(ours) == numbers(parent)


@pytest.mark.parametrize("method", SSR)
def test_trained_with_shortcuts_it_is_not(runs, method):
    ours, parent = (load_file(runs(each) / WEIGHTS) for each in (method, "fr"))
    assert not any(ours[name].equal(value) for name, value in parent.items() if name.startswith("predictor.head"))


def same(ours, theirs):
    """Equal weights to the bit, and whatever else is reproduced to the byte."""
    weights = [load_file(folder / WEIGHTS) for folder in (ours, theirs)]
    assert weights[0].keys() == weights[1].keys()
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())
    files = [{name: content for name, content in read(folder).items() if name != WEIGHTS} for folder in (ours, theirs)]
    assert files[0] == files[1]


# Killed and started again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SSR)
@pytest.mark.parametrize(
    ("mixed", "epoch", "batch"),
    [
        pytest.param(False, 1, 5, id="after the labelled stream"),
        pytest.param(False, 2, 6, id="within the last stream"),
        pytest.param(True, 1, 5, id="before the first copies"),
        pytest.param(True, 1, 10, id="between the copies"),
        pytest.param(True, 1, 15, id="after the copies"),
    ],
)
def test_a_run_killed_between_streams_ends_the_same(runs, tmp_path, discovered, method, mixed, epoch, batch):
    data = {"augmentation": MIXED, "shortcuts": str(discovered)} if mixed else {}
    config = ssr_config(tmp_path / "run", method, data=data)
    train_until_killed(config, Rationalizer, "training_step", at(epoch, batch))
    same(train(config), runs(method, mixed))


@pytest.mark.parametrize("method", SSR)
def test_the_same_run_elsewhere_is_the_same_to_the_byte(runs, tmp_path, method):
    # Two modules with one encoder have two names for every weight of it.
    assert read(train(ssr_config(tmp_path / "again", method))) == read(runs(method))


def test_sizes_are_those_that_are_counted_here():
    data = ready()
    assert (len(data.labelled), SIZES["train"] - len(data.labelled)) == (LABELLED, REST)
