"""The page of several runs: the same texts side by side, links that lead somewhere, and nothing but text from the runs."""

import cProfile
import pstats
import re
from urllib.parse import unquote

import pytest

from rationalizers.report import write_report
from rationalizers.report.comparison import compare
from rationalizers.report.comparison_page import (
    CARRIED,
    downloads,
    links,
    pair_rows,
    scales,
    side_by_side,
    write_comparison,
    write_page,
)
from rationalizers.report.export import exports
from rationalizers.report.script import sorting
from rationalizers.report.seeds import Difference
from tests.report.page_check import check_page
from tests.report.run_folders import PREDICTION, TEST, mean_of, record, records, write_evaluation, write_many, write_run

HOSTILE = "<script>alert(1)</script>"
NAN = float("nan")


@pytest.fixture
def folders(tmp_path):
    right = [record(id=f"t/{place}") for place in range(8)]
    return [
        write_run(
            tmp_path,
            method=method,
            seed=seed,
            test={**TEST, "accuracy": 0.8 + seed / 10},
            examples=right if method == "full" else None,
        )
        for method in ("full", "rnp")
        for seed in (0, 1)
    ]


def comparison_page(folders, path, **options):
    return check_page(write_comparison(folders, path, **options).read_text("utf-8"))


def test_page(folders, tmp_path):
    page = comparison_page(folders, tmp_path / "new" / "comparison.html")
    assert page.row("rnp")[:4] == ["rnp", "2", "0.850 ± 0.071", "0.545 ± 0.000"]
    assert page.row("rnp − full")[1] == "+0.000 the same in all 2 seeds"
    text = " ".join(page.text.split())
    assert "Right by some methods, wrong by others 2 of 2" in text
    assert "Right by every method 4 of 6" in text
    assert page.tags.count("article") == 6
    assert text.count("of 5 words selected") == 12
    assert "seed 0" in text


def test_equal_runs_have_equal_pages(folders, tmp_path):
    first = write_comparison(folders, tmp_path / "comparison.html").read_bytes()
    assert first == write_comparison(reversed(folders), tmp_path / "comparison.html").read_bytes()


def test_notes_stand_at_the_top(folders, tmp_path):
    odd = write_run(tmp_path, method="noise", data={"batch_size": 8})
    text = " ".join(comparison_page([*folders, odd, tmp_path / "x.partial"], tmp_path / "c.html").text.split())
    told = text.partition("Test split")[0]
    assert "x.partial is unfinished" in told
    assert "data.batch_size is 32 for full-toy-s0, full-toy-s1, rnp-toy-s0, rnp-toy-s1; 8 for noise-toy-s0." in told


def test_links_lead_to_the_reports_that_exist(tmp_path):
    folder = write_run(tmp_path / "runs", folder="a #1 & <b>")
    other = write_run(tmp_path / "runs", seed=1)
    write_report(folder)
    page = tmp_path / "pages" / "c.html"
    results = compare([folder, other]).results
    assert links(results, page) == [(0, "../runs/a%20%231%20%26%20%3Cb%3E/report.html"), (1, None)]
    found = comparison_page([folder, other], page)
    addresses = [value for name, value in found.attributes if name == "href" and not value.startswith("data:")]
    assert addresses == ["../runs/a%20%231%20%26%20%3Cb%3E/report.html"]


def test_only_texts_that_are_the_same_are_shown_side_by_side(tmp_path):
    other = [{**line, "words": ["other", *line["words"][1:]]} for line in records()[:4]]
    folders = [write_run(tmp_path, method="a"), write_run(tmp_path, method="b", examples=[*other, *records()[4:]])]
    groups = side_by_side(compare(folders), "toy", 99)["groups"]
    assert sorted(example["id"] for each in groups for example in each["examples"]) == ["t/4", "t/5", "t/6", "t/7"]


def test_the_first_common_seed_is_shown(tmp_path):
    folders = [write_run(tmp_path, method="a", seed=seed) for seed in (0, 1, 2)] + [
        write_run(tmp_path, method="b", seed=seed) for seed in (2, 1)
    ]
    assert side_by_side(compare(folders), "toy", 1)["seed"] == 1
    assert side_by_side(compare([folders[0], folders[3]]), "toy", 1)["seed"] is None


def test_what_comparisons_are_sorted_by_is_what_the_cells_show(folders, tmp_path):
    html = write_comparison(folders, tmp_path / "c.html").read_text("utf-8")
    assert html.count("data-value") > 12
    assert '<td class="model" data-value="0.85">0.850<span' in html
    assert re.search(r'<td data-value="0">\s*\+0\.000', html)
    floors = re.findall(r'<tr class="floor.*?</tr>', html, flags=re.DOTALL)
    assert floors
    assert not any("data-value" in each for each in floors)
    assert "nan" not in html.replace("nanum", "").lower().partition("<script>")[0].partition("<main>")[2]


def test_tables_can_be_taken_along(folders, tmp_path):
    page = comparison_page(folders, tmp_path / "c.html")
    links = [value for name, value in page.attributes if name == "href" and value.startswith("data:")]
    names = [value for name, value in page.attributes if name == "download"]
    carried = {name: unquote(each.partition(",")[2]) for name, each in zip(names, links, strict=True)}
    assert carried == exports(compare(folders))
    assert downloads({"large.csv": "x" * (CARRIED + 1), "a.b.tex": "é %"}) == {
        "a.b": [("LaTeX", "a.b.tex", "data:text/x-tex;charset=utf-8,%C3%A9%20%25")]
    }


def test_what_methods_were_set_to_stands_below_them(tmp_path):
    folders = [
        write_run(tmp_path, method="a", seed=seed, model={"rate": 0.1, "from": f"runs/x-s{seed}"}) for seed in (0, 1)
    ] + [write_run(tmp_path, method="b", model={"share": 0.3})]  # fmt: skip
    page = comparison_page(folders, tmp_path / "c.html")
    assert page.row("model.share") == ["model.share", "0.15", "0.3"]
    assert page.row("model.rate") == ["model.rate", "0.1", "absent"]
    assert page.row("model.from") == ["model.from", "runs/x", "absent"]
    assert not any(row and row[0] == "data.batch_size" for row in page.rows)


def test_means_that_differ_from_the_reference_are_marked(tmp_path):
    values = {"a": (0.5, 0.52, 0.51), "b": (0.9, 0.92, 0.912), "c": (0.5, 0.6, 0.4)}
    folders = [
        write_run(tmp_path, method=method, seed=seed, test={**TEST, "accuracy": value})
        for method, found in values.items()
        for seed, value in enumerate(found)
    ]
    page = comparison_page(folders, tmp_path / "c.html", reference="a")
    assert [page.row(method)[2].endswith("*") for method in "abc"] == [False, True, False]
    assert "* differs from a on the same seeds" in page.text
    assert "differs from" not in comparison_page(folders, tmp_path / "c.html").text


def test_many_methods_are_folded(tmp_path, monkeypatch):
    folders = [write_run(tmp_path, method=f"m{place:02d}", model={"rate": place}) for place in range(13)]
    page = comparison_page(folders, tmp_path / "c.html", examples=1)
    text = " ".join(page.text.split())
    assert "78 pairs of methods" in text
    assert "Shown are the first 12 methods of the table; 1 are left out." in text
    assert text.count("of 5 words selected") == 12
    monkeypatch.setattr("rationalizers.report.tradeoff.CHARTED", 12)
    monkeypatch.setattr("rationalizers.report.comparison_page.CHARTED", 12)
    monkeypatch.setattr("rationalizers.report.comparison.MOST_PAIRS", 77)
    crowded = comparison_page(folders, tmp_path / "d.html")
    assert "78 pairs of methods are too many to compare each; with a reference" in crowded.text
    assert "Paired differences" not in crowded.text
    assert "figure" not in crowded.tags
    assert "13 methods are too many for a chart" in crowded.text


def test_no_text_in_common_is_said(tmp_path):
    folders = [write_run(tmp_path, method="a"), write_run(tmp_path, method="b", examples=[record(id="other")])]
    assert "no test text in common" in comparison_page(folders, tmp_path / "c.html").text


def test_runs_without_evidence_or_labels_have_a_page(tmp_path):
    lines = [record(evidence=None, label=None, scores=[None] * 5)]
    folders = [write_run(tmp_path, method=method, test=PREDICTION, examples=lines) for method in ("a", "b")]
    page = comparison_page(folders, tmp_path / "c.html")
    assert page.tags.count("figure") == 1  # accuracy against the selected share
    assert "Texts without a label" in page.text


def test_a_single_run_has_a_page(tmp_path):
    page = comparison_page([write_run(tmp_path)], tmp_path / "c.html")
    assert "Paired differences" not in page.text
    assert page.row("rnp")[1] == "1"


def test_everything_from_the_runs_is_text(tmp_path):
    hostile = [record(id=HOSTILE, words=[HOSTILE] * 5, label=HOSTILE, prediction="bad", fields={HOSTILE: [[0, 1]]})]
    folders = [
        write_run(
            tmp_path, folder=str(seed), method=method, dataset=HOSTILE, seed=seed, examples=hostile, data={"x": HOSTILE * seed}
        )
        for seed, method in enumerate([HOSTILE, HOSTILE, "b"])
    ]
    page = comparison_page(folders, tmp_path / "c.html")
    assert page.scripts == [str(sorting().text)]
    assert page.text.count(HOSTILE) > 12


def test_intervals_are_drawn_around_zero_on_the_scale_of_their_metric():
    wide = Difference("b", "a", "accuracy", 3, 0.1, -0.2, 0.4, 0.3)
    constant = Difference("c", "a", "accuracy", 3, -0.4, NAN, NAN, NAN)
    zero = Difference("b", "a", "token_f1", 3, 0.0, NAN, NAN, NAN)
    first, second = pair_rows([wide, zero, constant], scales([wide, zero, constant]))
    assert first["cells"]["accuracy"]["at"] == pytest.approx({"mean": 62, "low": 26, "high": 98})
    assert first["cells"]["token_f1"]["at"]["mean"] == 50
    assert second["cells"]["accuracy"]["at"]["mean"] == pytest.approx(2)


def test_intervals_over_examples_and_corrected_p_values_stand_below_their_numbers(tmp_path):
    right = {"a": ([1] * 8, [1] * 7 + [0]), "b": ([1, 0] * 4, [0, 0] * 4), "c": ([1, 1, 0, 0] * 2, [1, 0] * 4)}
    folders = []
    for method, values in right.items():
        for seed in (0, 1):
            folders.append(write_run(tmp_path, method=method, seed=seed))
            write_evaluation(folders[-1], {"accuracy": mean_of(values[seed])})
    found = compare(folders)
    page = comparison_page(folders, tmp_path / "c.html")
    low, high = (found.table().loc[("toy", "b", "model"), ("accuracy", f"example_{end}")] for end in ("low", "high"))
    assert page.row("b")[2] == f"0.250 ± 0.354 [{low:.3f}, {high:.3f}]"
    assert "with 95 % intervals over examples" in page.text
    each = next(each for each in found.pairs()["toy"] if (each.method, each.reference) == ("b", "a"))
    interval, p = each.example_text()
    assert f"examples {interval} p {p} (Holm {3 * each.example_p:.3f})" in page.row("b − a")[1]
    alone = comparison_page(folders[:2], tmp_path / "alone.html")
    assert "Holm " not in alone.text


def test_an_attribution_stands_beside_the_model_with_its_own_explanation(tmp_path):
    folder = write_run(tmp_path, method="full")
    other = [record(id=line["id"], selected=[[0, 1]]) for line in records()]
    write_evaluation(folder, {"accuracy": mean_of([1] * 8)}, explained_by="saliency", examples=other)
    write_report(folder)
    page = comparison_page([folder], tmp_path / "c.html", examples=1)
    assert page.row("full + saliency")[2] == "1.000 [1.000, 1.000]"
    groups = side_by_side(compare([folder]), "toy", 1)["groups"]
    (cards,) = [example["cards"] for each in groups for example in each["examples"]]
    assert [card["agreement"]["hits"] for card in cards.values()] == [1, 0]


def test_what_is_within_the_noise_stands_before_the_numbers(tmp_path):
    folders = [write_run(tmp_path, method=method, seed=seed, test={**TEST, "accuracy": value})
        for method, values in {"a": (0.5, 0.9), "b": (0.8, 0.7)}.items() for seed, value in enumerate(values)]  # fmt: skip
    told = comparison_page(folders, tmp_path / "c.html").text.partition("Test split")[0]
    assert "toy: b − a is within the noise: accuracy (over seeds)." in told


def test_another_split_is_called_by_its_name(tmp_path):
    folder = write_run(tmp_path)
    write_evaluation(folder, {"accuracy": mean_of([1] * 8)}, split="val")
    assert "Val split" in comparison_page([folder], tmp_path / "c.html", split="val").text


def test_what_it_takes_grows_no_faster_than_the_examples(tmp_path):
    def calls(examples):
        folders = write_many(tmp_path / str(examples), methods=3, seeds=3, examples=examples, words=16)
        profile = cProfile.Profile()
        profile.enable()
        comparison = compare(folders)
        comparison.to_text()
        write_page(comparison, tmp_path / "c.html")
        profile.disable()
        return pstats.Stats(profile).total_calls

    calls(10)  # imports
    few, many, more = (calls(examples) for examples in (20, 120, 220))
    assert more - many < 1.7 * (many - few)  # 2.4 if it grew with their square
