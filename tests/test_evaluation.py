"""Evaluating finished runs: what is asked, what is kept, and what a second time finds."""

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from rationalizers.data.predictions import read_predictions
from rationalizers.evaluation import Evaluation, evaluate, read_columns, read_evaluations
from rationalizers.evaluation.columns import columns, mean
from rationalizers.evaluation.examine import Examined, examine
from rationalizers.fidelity import FRACTIONS
from rationalizers.metrics.eraser import faithfulness_scores
from rationalizers.report import compare_results, read_results
from rationalizers.task import Regression
from rationalizers.training import train
from tests.contract import example
from tests.tiny import fresh_process, run_config

INTEGRATED = {"_target_": "rationalizers.attribution.IntegratedGradients", "share": 0.2, "steps": 4}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("trained")
    folders = [train(run_config(root / method, method=method, max_epochs=2)) for method in ("full", "rnp")]
    torch.use_deterministic_algorithms(False)
    return folders


@pytest.fixture
def runs(trained, tmp_path):
    """Copies, since evaluations are kept in the run."""
    return [shutil.copytree(folder, tmp_path / "runs" / folder.name) for folder in trained]


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    """A run, and its evaluation."""
    folder = shutil.copytree(trained[1], tmp_path_factory.mktemp("evaluated") / "rnp")
    return folder, evaluate(folder, trust=["tests"], resamples=200)


def test_the_test_split_gives_the_numbers_of_the_run(evaluated, trained):
    told = json.loads((trained[1] / "metrics.json").read_text())["test"]
    numbers = evaluated[1].numbers
    assert {name: numbers[name] for name in told} == pytest.approx(told, abs=1e-6)


def test_predictions_on_whole_inputs_are_those_of_the_run_and_have_an_interval(evaluated, trained):
    folder, found = evaluated
    told = json.loads((trained[1] / "metrics.json").read_text())["test"]
    assert found.numbers["whole_input/accuracy"] == pytest.approx(told["whole_input/accuracy"])
    low, high = found.intervals["whole_input/accuracy"]
    assert low <= found.numbers["whole_input/accuracy"] <= high
    # Nothing is absent from the whole input, so that the test of shift asks the same.
    for row in read_columns(folder, found.name).values():
        assert row["whole_input/accuracy"] == row["right_on_all"]


def test_another_split_gives_that_splits_numbers(runs):
    told = json.loads((runs[1] / "metrics.json").read_text())["val"]
    found = evaluate(runs[1], split="val", tests=[], trust=["tests"], resamples=50)
    assert {name: found.numbers[name] for name in told} == pytest.approx(told, abs=1e-6)
    assert found.name == "val-own-compact"
    results, notes = read_results(runs[1:])
    shown = compare_results([results[0].with_test(found.numbers)], notes=notes, split="val").to_text()
    assert shown.startswith("Val split, mean ± standard deviation")


def test_everything_is_asked_with_floors_and_intervals(evaluated):
    _, found = evaluated
    asked = {
        "accuracy",
        "whole_input/accuracy",
        "whole_input/macro_f1",
        "token_f1",
        "auprc",
        "comprehensiveness",
        "sufficiency_aopc",
        "sufficiency@0.5",
        "comprehensiveness_kl",
        "leakage",
        "right_on_human",
        "full_text_gap",
        "edit_overlap",
        "label_signal",
        "floor/random/comprehensiveness_aopc",
        "floor/all/token_f1",
        "floor/majority/label_signal",
    }
    assert asked <= found.numbers.keys()
    for name, (low, high) in found.intervals.items():
        if not math.isnan(low):
            assert low - 1e-9 <= found.numbers[name] <= high + 1e-9, name
    assert {"accuracy", "leakage", "floor/random/token_f1", "comprehensiveness_aopc"} <= found.intervals.keys()
    assert set(found.curve) >= {"fractions", "comprehensiveness", "floor/random/sufficiency"}
    assert found.curve["comprehensiveness"] == [found.numbers[f"comprehensiveness@{each:g}"] for each in found.curve["fractions"]]


def test_the_run_keeps_it_per_example(evaluated):
    folder, found = evaluated
    rows = read_columns(folder, found.name)
    told = [json.loads(line) for line in (folder / "rationales.jsonl").read_text().splitlines()]
    assert list(rows) == [each["id"] for each in told]
    for name in ("accuracy", "token_f1", "floor/last/token_recall", "sufficiency", "leakage", "edit_overlap"):
        whole = sum(row[name][1] for row in rows.values())
        expected = sum(row[name][0] for row in rows.values()) / whole if whole else math.nan
        assert found.numbers[name] == pytest.approx(expected, abs=1e-6, nan_ok=True)
    explained = (folder / "evaluation" / f"{found.name}.rationales.jsonl").read_text()
    assert explained == (folder / "rationales.jsonl").read_text()
    assert read_evaluations(folder)[found.name].numbers == pytest.approx(found.numbers, rel=1e-8, nan_ok=True)
    published = json.loads((folder / "metrics.json").read_text())["evaluation"][found.name]
    assert published["numbers"]["token_f1"] == pytest.approx(found.numbers["token_f1"])
    assert not (folder / "evaluation" / f"{found.name}.partial").exists()


def test_the_run_keeps_it_in_erasers_format(evaluated):
    folder, found = evaluated
    predictions = read_predictions(folder / "evaluation" / f"{found.name}.predictions.jsonl")
    whole, without, alone = (
        torch.tensor([list(each.values()) for each in column], dtype=torch.float64)
        for column in zip(*((one.probabilities, one.without, one.alone) for one in predictions), strict=True)
    )
    at = [
        [[list(getattr(each, side).values()) for each in one.thresholded] for one in predictions] for side in ("without", "alone")
    ]
    without_at, alone_at = (torch.tensor(each, dtype=torch.float64).transpose(0, 1) for each in at)
    labels = list(predictions[0].probabilities)
    predicted = torch.tensor([labels.index(one.label) for one in predictions])
    numbers = faithfulness_scores(
        whole, without, alone, predicted=predicted, without_at=without_at, alone_at=alone_at, thresholds=FRACTIONS
    )
    assert len(numbers) > 10
    assert numbers == pytest.approx({name: found.numbers[name] for name in numbers}, abs=1e-6)


def test_errors_of_numbers_on_whole_inputs_are_in_the_unit_of_the_data():
    packed = example(5, seed=0)
    model = SimpleNamespace(task=Regression(targets=["length"], mean=[3.0], std=[2.0]), unit="token")
    packed = replace(packed, y=torch.tensor([[4.0]]))
    rationale, parts = torch.tensor([1.0, 0, 1, 0, 0]), {name: torch.tensor([[7.5]]) for name in ("whole", "without", "alone")}
    asked = {f"{floor}{name}": value for floor in ("", "floor/random/") for name, value in parts.items()}
    asked |= {f"{floor}{name}_at": torch.zeros(0, 1, 1) for floor in ("", "floor/random/") for name in ("without", "alone")}
    tensors = {"logits": torch.tensor([[0.0]]), "scores": rationale, "mask": rationale, **asked}
    found = columns(model, packed, Examined(tensors, "unit"), fractions=())
    assert [float(found[name][0]) for name in ("mae", "whole_input/mae")] == [1.0, 3.5]


def test_an_infinite_number_stays_infinite_and_an_unknown_one_does_not_count():
    above, below = mean(torch.tensor([math.inf, math.nan, 1.0]))
    assert above.tolist() == [math.inf, 0, 1]
    assert below.tolist() == [1, 0, 1]


def test_a_second_time_reads_it_back(evaluated, monkeypatch):
    folder, found = evaluated
    monkeypatch.setattr("rationalizers.evaluation.scoring.examine", None)
    again = evaluate(folder, trust=["tests"], resamples=200)
    assert isinstance(again, Evaluation)
    assert again.numbers == pytest.approx(found.numbers, rel=1e-8, nan_ok=True)


def test_a_killed_evaluation_goes_on_and_ends_the_same(runs, evaluated, monkeypatch):
    asked = []
    real = examine

    def dies(model, featurizer, batch, **settings):
        asked.append(batch)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(model, featurizer, batch, **settings)

    monkeypatch.setattr("rationalizers.evaluation.scoring.examine", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate(runs[1], trust=["tests"], resamples=200)
    assert len(list((runs[1] / "evaluation").glob("*.partial/*.safetensors"))) == 1
    done = []
    found = evaluate(runs[1], trust=["tests"], resamples=200, progress=lambda now, total: done.append((now, total)))
    assert len(asked) == 3
    assert done == [(1, 2), (2, 2)]
    assert found.numbers == pytest.approx(evaluated[1].numbers, nan_ok=True)
    files = [f"evaluation/{found.name}{end}" for end in (".json", ".examples.jsonl", ".rationales.jsonl")]
    assert all((runs[1] / file).read_text() == (evaluated[0] / file).read_text() for file in files)


def test_other_settings_need_another_name(runs):
    evaluate(runs[0], tests=[], trust=["tests"], resamples=50)
    with pytest.raises(FileExistsError, match=r"was made with seed = 0, now it is 1; give this evaluation another name"):
        evaluate(runs[0], tests=[], trust=["tests"], resamples=50, seed=1)
    other = evaluate(runs[0], tests=[], trust=["tests"], resamples=50, seed=1, name="mine")
    assert set(read_evaluations(runs[0])) == {"test-own-compact", "mine"}
    assert other.settings["seed"] == 1


def test_a_broken_file_is_named(runs):
    folder = runs[0] / "evaluation"
    folder.mkdir()
    (folder / "test-own-compact.json").write_text('{"format": 0')
    with pytest.raises(ValueError, match=r"test-own-compact\.json:1: not JSON"):
        evaluate(runs[0], trust=["tests"])
    (folder / "test-own-compact.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match="expected format, name, settings"):
        read_evaluations(runs[0])
    (folder / "x.examples.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(ValueError, match=r"x\.examples\.jsonl:1: expected an example"):
        read_columns(runs[0], "x")


def test_a_classifier_can_be_explained_by_an_attribution(runs):
    own = evaluate(runs[0], tests=[], trust=["tests"], resamples=50)
    found = evaluate(runs[0], attribution=INTEGRATED, explained_by="ig", trust=["tests"], resamples=50)
    assert own.numbers["accuracy"] == found.numbers["accuracy"]
    assert (own.numbers["selected_share"], found.numbers["selected_share"] < 0.5) == (1.0, True)
    assert found.numbers["token_f1"] != own.numbers["token_f1"]
    # Everything is enough for the classifier that selects all.
    assert own.numbers["sufficiency"] == 0
    assert (found.name, found.numbers["leakage"]) == ("test-ig-compact", 0)


def test_the_command_prints_one_table_and_writes_the_reports(runs, tmp_path):
    root = runs[0].parent
    done = fresh_process(
        ["-m", "experiments.evaluate", f"runs={root}", "trust=[tests]", "resamples=50", "attribution=integrated_gradients"],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Test split, mean ± standard deviation")
    assert "full + integrated_gradients" in done.stdout
    assert "rnp + integrated_gradients" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["runs"]
    assert (runs[0] / "evaluation" / "test-integrated_gradients-compact.json").is_file()
    alone = fresh_process(["-m", "experiments.evaluate", f"run={runs[1]}", "trust=[tests]", "resamples=50"], cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert "│ full " not in alone.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "dev"}, "'split' must be one of train, val, test; got 'dev'"),
        ({"tests": ["trust"]}, "'tests' must be of leakage, shift, stability, signal; got trust"),
        ({"explained_by": "saliency"}, "'explained_by' names an attribution"),
        ({"attribution": INTEGRATED}, "'explained_by' names an attribution"),
        ({"name": "../up"}, "'name' must be .* a file name"),
        ({}, "trust"),
    ],
)
def test_what_cannot_be_is_named(trained, settings, message):
    with pytest.raises(ValueError, match=message):
        evaluate(trained[0], **settings)
