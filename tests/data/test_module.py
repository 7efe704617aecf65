"""Splits as batches: targets, labelled shares, and an order that is a pure function of seed and epoch."""

from itertools import chain

import pytest
import torch

from rationalizers.build import trusting
from rationalizers.data.document import Corpus, Document, Source
from rationalizers.data.module import TextData
from rationalizers.data.statistics import WordStatistics
from rationalizers.segment import lengths
from tests.tiny import SIZES, TinyCorpus, data_config


class Given(Source):
    """A corpus in the making: splits as ``[words, label]``, one span on the first word of each annotated one."""

    loaded = 0

    def __init__(self, *, splits, labels=("bad", "good"), annotated=True):
        self.splits, self.labels, self.annotated = splits, labels, annotated

    def load(self):
        Given.loaded += 1
        return Corpus(
            tuple(self.labels),
            {
                split: [
                    Document(
                        f"{split}-{i}", tuple(words), label, ((0, 1, 0),) if self.annotated else (), annotated=self.annotated
                    )
                    for i, (words, label) in enumerate(rows)
                ]
                for split, rows in self.splits.items()
            },
            {"seen": 3},
        )


def make(**changes):
    description = data_config(**changes)
    del description["_target_"]
    with trusting(["tests"]):
        return TextData(**description)


def ready(**changes):
    data = make(**changes)
    data.setup()
    return data


def given(**changes):
    rows = {"train": [["a", "bad"], ["ab", "good"]], "val": [["a", "bad"]], "test": [["a", "good"]]}
    return {"_target_": "tests.data.test_module.Given", "splits": rows, **changes}


def order(data, epoch, *, split="train"):
    return [batch.index.tolist() for batch in data.batches(split, epoch=epoch)]


# Setting up -----------------------------------------------------------------------------------------------------------


def test_every_document_is_packed_in_its_row():
    data, corpus = ready(), TinyCorpus().load()
    for split, size in SIZES.items():
        rows = data.splits[split]
        assert len(rows) == size
        assert [row.ids[0] for row in rows] == [document.id for document in corpus.splits[split]]
        assert [int(row.index) for row in rows] == list(range(size))
        assert [data.task["labels"][int(row.y)] for row in rows] == [document.label for document in corpus.splits[split]]
        assert [bool(row.annotated) for row in rows] == [document.annotated for document in corpus.splits[split]]


def test_facts_are_the_task_and_what_an_encoder_needs():
    data = ready()
    task = {"_target_": "rationalizers.task.Classification", "labels": ["bad", "good"]}
    assert data.facts() == {"task": task, "vocabulary": len(data.featurizer.vocabulary), "mask_id": 1, "separator_id": 2}
    assert data.report == {"train/generated": 36}


def test_labels_that_are_words_have_rows():
    corpus = {"_target_": "rationalizers.data.majority.Majority", "bits": 3, "train": 20, "val": 2, "test": 2}
    featurizer = {"_target_": "rationalizers.data.words.WordFeaturizer", "min_count": 1}
    data = TextData(corpus=corpus, featurizer=featurizer, batch_size=4)
    data.setup("fit")
    facts = data.facts()
    assert [data.featurizer.vocabulary[row] for row in facts["answers"]] == ["0", "1"]
    assert data.featurizer.vocabulary[facts["separator_id"]] == "<sep>"


def test_only_the_training_split_makes_the_vocabulary():
    rows = {"train": [[["a", "b"], "bad"]], "val": [[["a", "val"], "bad"]], "test": [[["a", "test"], "good"]]}
    data = ready(corpus=given(splits=rows), featurizer={"_target_": "rationalizers.data.words.WordFeaturizer", "min_count": 1})
    assert data.featurizer.vocabulary[3:] == ("a", "b")
    assert data.splits["test"][0].units.tolist() == [3, 0]


def test_setting_up_again_reads_nothing_again():
    before = Given.loaded
    data = make(corpus=given())
    for stage in ("fit", "validate", "test", None):
        data.setup(stage)
    assert Given.loaded == before + 1


def test_making_the_module_reads_nothing():
    before = Given.loaded
    make(corpus=given())
    assert Given.loaded == before


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_a_split_without_documents_is_named(split, how):
    splits = given()["splits"]
    if how == "absent":
        del splits[split]
    else:
        splits[split] = []
    with pytest.raises(ValueError, match=f"the corpus has no documents in its split '{split}'; it has"):
        ready(corpus=given(splits=splits))


def test_an_example_without_label_is_named():
    splits = given()["splits"]
    splits["val"].append(["b", None])
    with pytest.raises(ValueError, match="document 'val-1' has no label"):
        ready(corpus=given(splits=splits))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "'batch_size' must be at least 1, got 0"),
        ({"labelled_share": -0.1}, ValueError, r"'labelled_share' must be in \[0, 1\], got -0.1"),
        ({"labelled_share": 1.1}, ValueError, r"'labelled_share' must be in \[0, 1\], got 1.1"),
        ({"corpus": {"_target_": "rationalizers.data.words.WordFeaturizer"}}, ValueError, "not a subclass of .*Source"),
        ({"featurizer": {"_target_": "tests.tiny.TinyCorpus"}}, ValueError, "not a subclass of .*TextFeaturizer"),
        ({"corpus": {}}, TypeError, "naming a Source"),
        ({"statistics": {"per": "word"}}, ValueError, "'per' must be one of document, sentence; got 'word'"),
        ({"statistics": {"pre": "word"}}, TypeError, "pre"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        make(**changes)


# Evidence that may be trained on --------------------------------------------------------------------------------------


def labelled(data, split="train"):
    return {int(row.index) for row in data.splits[split] if bool(row.labelled)}


WITH_EVIDENCE = {row for row in range(SIZES["train"]) if row % 7 != 6}  # 31 of 36


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.01, 0), (0.1, 3), (0.5, 16), (0.8, 25), (1.0, 31)])
def test_the_labelled_share_is_exact(share, count):
    # round(0.5 · 31) = 16, round(0.8 · 31) = 25
    found = labelled(ready(labelled_share=share))
    assert len(found) == count
    assert found <= WITH_EVIDENCE


def test_all_means_all_that_have_evidence():
    assert labelled(ready(labelled_share=1.0)) == WITH_EVIDENCE


def test_the_labelled_examples_are_drawn_by_the_seed():
    assert labelled(ready(seed=3)) == labelled(ready(seed=3))
    assert labelled(ready(seed=3)) != labelled(ready(seed=4))


def test_a_larger_share_contains_a_smaller_one():
    few, many = (labelled(ready(labelled_share=share)) for share in (0.3, 0.6))
    assert few < many


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_splits_are_never_labelled(split):
    assert labelled(ready(labelled_share=1.0), split) == set()


def test_without_annotation_nothing_is_labelled():
    assert labelled(ready(corpus=given(annotated=False), labelled_share=1.0)) == set()


# Words to replace -----------------------------------------------------------------------------------------------------


def test_training_documents_say_how_replaceable_their_words_are():
    data, corpus = ready(), TinyCorpus().load()
    statistics = WordStatistics(per="document")
    statistics.fit(corpus.splits["train"])
    for row, document in zip(data.splits["train"], corpus.splits["train"], strict=True):
        assert row.fields["replaceable"].tolist() == pytest.approx(list(statistics.replacement(document)))
    for split in ("val", "test"):
        assert all("replaceable" not in row.fields for row in data.splits[split])


def test_a_query_is_never_replaced():
    data = ready(corpus={"_target_": "tests.tiny.TinyCorpus", "query": True})
    for row in data.splits["train"]:
        assert row.fixed[:5].all()
        assert not row.fields["replaceable"][row.fixed].any()
    assert "was" not in data.statistics.words


def test_statistics_can_be_told_how():
    corpus = {"_target_": "rationalizers.data.toy.ToyReviews", "train": 20, "val": 4, "test": 4}
    by_document, by_sentence = (ready(corpus=corpus, statistics={"per": per}) for per in ("document", "sentence"))
    assert by_document.statistics.words == by_sentence.statistics.words
    for whole, part in zip(by_document.splits["train"], by_sentence.splits["train"], strict=True):
        assert whole.fields["replaceable"].mean().item() == pytest.approx(1, abs=1e-5)
        for sentence in part.fields["sentence"].unique():
            q = part.fields["replaceable"][part.fields["sentence"] == sentence]
            assert q.mean().item() == pytest.approx(1, abs=1e-5) or not q.any()
    with pytest.raises(ValueError, match="does not say where its sentences are"):
        ready(corpus=given(), statistics={"per": "sentence"})


def test_replacements_are_the_words_of_the_training_split():
    data = ready()
    table = data.replacements()
    assert table.probability is data.statistics.probability
    assert [data.featurizer.vocabulary[row] for row in table.units.tolist()] == [
        word.lower() if word.lower() in data.featurizer.vocabulary else "<unk>" for word in data.statistics.words
    ]
    with pytest.raises(ValueError, match="call 'setup' first"):
        make().replacements()


# Order ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_has_every_example_once(epoch):
    batches = order(ready(), epoch)
    assert sorted(chain(*batches)) == list(range(36))
    assert [len(batch) for batch in batches] == [6] * 6


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    # Neither what was drawn before, nor in which order epochs are asked for, nor the global generator matters.
    first = ready(seed=5)
    expected = {epoch: order(first, epoch) for epoch in (0, 1, 2)}
    torch.manual_seed(1234)
    second = ready(seed=5)
    assert {epoch: order(second, epoch) for epoch in (2, 0, 1)} == expected
    assert order(second, 2) == expected[2]


def test_other_epochs_and_seeds_have_another_order():
    data = ready(seed=0)
    assert order(data, 0) != order(data, 1)
    assert order(data, 1) != order(ready(seed=1), 0)
    assert order(data, 0) != order(ready(seed=1), 0)


def test_training_batches_come_in_the_order_of_the_trainers_epoch():
    class Trainer:
        current_epoch = 3

    data = ready()
    assert [batch.index.tolist() for batch in data.train_dataloader()] == order(data, 0)
    data.trainer = Trainer()
    assert [batch.index.tolist() for batch in data.train_dataloader()] == order(data, 3)


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_starts_with_the_longest_and_is_always_the_same(split):
    data = ready(batch_size=5)
    batches = list(data.batches(split))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    size = torch.cat([lengths(batch.ptr) for batch in batches])
    assert size.equal(size.sort(descending=True).values)
    assert len(set(size.tolist())) > 1
    assert order(data, 0, split=split) == order(data, 9, split=split)
    assert sorted(chain(*order(data, 0, split=split))) == list(range(12))


@pytest.mark.parametrize(
    ("loader", "split"), [("val_dataloader", "val"), ("test_dataloader", "test"), ("predict_dataloader", "test")]
)
def test_loaders_are_those_splits(loader, split):
    data = ready()
    found = [name for batch in getattr(data, loader)() for name in batch.ids]
    assert sorted(found) == sorted(f"{split}-{i}" for i in range(12))


def test_a_batch_keeps_rows_targets_and_evidence_together():
    data = ready()
    for batch in data.batches("train", epoch=1):
        assert len(batch) == 6
        for b, row in enumerate(batch.index.tolist()):
            alone = data.splits["train"][row]
            units = slice(int(batch.ptr[b]), int(batch.ptr[b + 1]))
            assert batch.units[units].equal(alone.units)
            assert batch.y[b] == alone.y[0]
            assert batch.fields["evidence"][units].equal(alone.fields["evidence"])
            assert batch.spans[batch.spans[:, 0] == b][:, 1:].equal(alone.spans[:, 1:])
            assert batch.ids[b] == alone.ids[0]
