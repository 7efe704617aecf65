"""Do runs that differ in their seed alone select the same?"""

import pytest

from rationalizers.report import compare, write_comparison
from rationalizers.report.result import read_results
from rationalizers.report.stability import over_seeds
from tests.report.run_folders import TEST, mean_of, record, write_evaluation, write_run

# Of five words, those that each of three seeds selects.
CHOICES = ([[0, 2]], [[1, 3]], [[0, 2]])


@pytest.fixture
def folders(tmp_path):
    found = []
    for seed, selected in enumerate(CHOICES):
        lines = [record(id="t/0", selected=selected), record(id="t/1", selected=[[4, 5]])]
        folder = write_run(tmp_path / f"rnp-s{seed}", seed=seed, examples=lines)
        write_evaluation(folder, {"accuracy": mean_of([1.0, 0.0])}, numbers=TEST, examples=lines)
        found.append(folder)
    return found


def test_the_overlap_is_a_mean_over_examples_and_pairs(folders):
    results, _ = read_results(folders)
    found = over_seeds("rnp", results)
    # t/1 is selected alike; of t/0 two pairs share one of three words, and one pair all.
    assert (found.method, found.pairs) == ("rnp", 3)
    assert found.overlap == pytest.approx(((1 + 1 / 3) / 2 + (1 + 1 / 3) / 2 + 1) / 3)
    # Two of five against two of five: 0, 1 or 2 in common in 3, 6 and 1 of 10 cases; one of five against one: 1 in 5.
    assert found.random == pytest.approx(((0.6 / 3 + 0.1) + 0.2) / 2)


def test_only_texts_that_both_runs_have_count(folders, tmp_path):
    other = record(id="t/1", words=["other"], selected=[[0, 1]], scores=[1.0], evidence=None)
    lines = [record(id="t/0", selected=[[0, 2]]), other]
    results, _ = read_results([folders[0], write_run(tmp_path / "other", seed=7, examples=lines)])
    found = over_seeds("rnp", results)
    assert (found.pairs, found.overlap, found.random) == (1, 1.0, pytest.approx(0.6 / 3 + 0.1))
    strange = write_run(tmp_path / "strange", seed=8, examples=[record(id="elsewhere")])
    assert over_seeds("rnp", [results[0], read_results([strange])[0][0]]) is None


def test_what_cannot_be_compared_is_left_out(folders):
    results, _ = read_results(folders)
    assert over_seeds("rnp", results[:1]) is None
    everything = [result.with_test({**TEST, "selected_share": 1.0}) for result in results]
    assert over_seeds("rnp", everything) is None


def test_comparisons_tell_it_of_what_was_evaluated(folders, tmp_path):
    shown = compare(folders).to_text()
    assert "Stability over seeds" in shown
    assert "0.778" in shown
    page = write_comparison(folders, tmp_path / "page.html").read_text()
    assert "Stability over seeds" in page
    for folder in folders:
        for file in (folder / "evaluation").iterdir():
            file.unlink()
    assert "Stability over seeds" not in compare(folders).to_text()
