"""Scoring finished runs again."""

import json

import pytest
import torch

from rationalizers.evaluation import evaluate
from rationalizers.report import compare_results, read_results
from rationalizers.training import train
from tests.tiny import fresh_process, run_config


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    folders = [train(run_config(root / method, method=method, max_epochs=2)) for method in ("full", "rnp")]
    torch.use_deterministic_algorithms(False)
    return folders


def test_the_test_split_gives_the_numbers_of_the_run(runs):
    for folder in runs:
        told = json.loads((folder / "metrics.json").read_text())["test"]
        assert evaluate(folder, trust=["tests"]) == pytest.approx(told, abs=1e-6)


def test_another_split_gives_that_splits_numbers(runs):
    told = json.loads((runs[1] / "metrics.json").read_text())["val"]
    found = evaluate(runs[1], split="val", trust=["tests"])
    assert {name: found[name] for name in told} == pytest.approx(told, abs=1e-6)
    assert any(name.startswith("floor/") for name in found)


def test_numbers_of_another_split_are_shown_as_such(runs):
    results, notes = read_results(runs)
    scored = [result.with_test(evaluate(result.folder, split="val", trust=["tests"])) for result in results]
    shown = compare_results(scored, notes=notes, split="val").to_text()
    assert shown.startswith("Val split, mean ± standard deviation")
    assert results[0].test != scored[0].test


def test_the_command_prints_one_table(runs, tmp_path):
    done = fresh_process(["-m", "experiments.evaluate", f"runs={runs[0].parent}", "trust=[tests]"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test split") == 1
    assert "│ full " in done.stdout
    assert "│ rnp " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_fidelity_is_told_where_asked_for(runs):
    results, notes = read_results(runs)
    plain = compare_results(results, notes=notes).to_text()
    scored = [result.with_test(evaluate(result.folder, fidelity_by="compact", trust=["tests"])) for result in results]
    told = ("fidelity_plus", "fidelity_minus", "comprehensiveness_aopc", "sufficiency_aopc")
    for before, after in zip(results, scored, strict=True):
        assert after.test.keys() - before.test.keys() == set(told)
        assert all(abs(after.test[name]) <= 1 for name in told)
    # Whatever is selected first, everything is enough for the classifier that selects all.
    assert scored[0].test["fidelity_minus"] == 0
    shown = compare_results(scored, notes=notes).to_text()
    flat = " ".join(shown.replace("│", " ").split())
    for word in ("token", "IoU", "fidelity", "comprehensiveness", "sufficiency"):
        assert word in flat
    assert "comprehensiveness" not in plain


def test_a_split_that_nobody_makes_is_named(runs):
    with pytest.raises(ValueError, match="'split' must be one of train, val, test; got 'dev'"):
        evaluate(runs[0], split="dev")


def test_a_stranger_needs_trust(runs):
    with pytest.raises(ValueError, match="trust"):
        evaluate(runs[0])


def test_a_classifier_can_be_explained_by_an_attribution(runs, tmp_path):
    config = {"_target_": "rationalizers.attribution.IntegratedGradients", "share": 0.2, "steps": 8}
    own, attributed = evaluate(runs[0], trust=["tests"]), evaluate(runs[0], attribution=config, trust=["tests"])
    assert own["accuracy"] == attributed["accuracy"]
    assert (own["selected_share"], attributed["selected_share"] < 0.5) == (1.0, True)
    assert attributed["token_f1"] != own["token_f1"]
    done = fresh_process(
        ["-m", "experiments.evaluate", f"runs={runs[0].parent}", "trust=[tests]", "attribution=integrated_gradients"],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "full + integrated_gradients" in done.stdout
