"""The script of a page: allowed by its hash alone, and, where there is a Chromium to ask, what it does to a table."""

import re
import shutil
import subprocess

import pytest

from rationalizers.report import write_comparison
from rationalizers.report.script import Script, sorting
from tests.report.page_check import Page, check_page
from tests.report.run_folders import TEST, mean_of, write_evaluation, write_run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CLICK = "<script>for (const place of [{}]) document.querySelectorAll('table.sortable th button')[place].click();</script>"
VALUES = {"m2": 0.9, "m10": 0.5, "m1": None}


@pytest.fixture
def page(tmp_path):
    folders = []
    for place, (method, accuracy) in enumerate(VALUES.items()):
        test = {name: value for name, value in {**TEST, "accuracy": accuracy}.items() if value is not None}
        test["floor/random/token_f1"] = 0.1 + place / 100
        folders.append(write_run(tmp_path, method=method, test=test))
        write_evaluation(folders[-1], {"comprehensiveness": mean_of([0.1] * 8)}, numbers=test)
    return write_comparison(folders, tmp_path / "c.html")


def shown(page, tmp_path, html):
    """The page as the browser has it after its scripts, and what it said on its console."""
    file = tmp_path / "shown.html"
    file.write_text(html, "utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    command += ["--enable-logging=stderr", "--v=0", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, said


def order(html):
    """The first cells of the rows of the first table."""
    rows = re.search(r"<tbody>(.*?)</tbody>", html, flags=re.DOTALL)[1]
    return [Page(f"<table>{row}</table>").rows[0][0] for row in re.findall(r"<tr.*?</tr>", rows, flags=re.DOTALL)]


def test_the_source_is_the_hash_of_the_text():
    # printf 'alert(1)' | openssl dgst -sha256 -binary | base64
    assert Script("alert(1)").source == "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"


def test_the_policy_allows_the_script_of_the_page_and_no_other(page):
    html = page.read_text("utf-8")
    found = check_page(html)
    assert found.scripts == [str(sorting().text)]
    assert ("content", f"default-src 'none'; style-src 'unsafe-inline'; script-src {sorting().source}") in found.attributes


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
def test_in_a_browser_the_script_runs_and_a_foreign_one_does_not(page, tmp_path):
    html = page.read_text("utf-8")
    dom, said = shown(page, tmp_path, html)
    assert said == []
    heads = re.findall('<table class="sortable">.*?</thead>', html, flags=re.DOTALL)
    assert dom.count("<button") == sum(head.count('<th scope="col"') for head in heads) > 0
    foreign = html.replace("</main>", "</main><script>document.title = 'foreign'</script>")
    dom, said = shown(page, tmp_path, foreign)
    assert "<title>Comparison of runs</title>" in dom
    assert "Content Security Policy" in " ".join(said)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize(
    ("clicks", "methods", "sort"),
    [
        ([], ["m1", "m2", "m10"], None),
        ([0], ["m1", "m2", "m10"], "ascending"),  # names, in which numbers count as numbers
        ([0, 0], ["m10", "m2", "m1"], "descending"),
        ([2], ["m2", "m10", "m1"], "descending"),  # accuracy, of which m1 has none
        ([2, 2], ["m10", "m2", "m1"], "ascending"),
        ([2, 2, 2], ["m1", "m2", "m10"], None),
        ([2, 0], ["m1", "m2", "m10"], "ascending"),
    ],
)
def test_in_a_browser_floors_stay_with_their_method(page, tmp_path, clicks, methods, sort):
    html = re.sub("<meta http-equiv[^>]*>", "", page.read_text("utf-8"))
    dom, said = shown(page, tmp_path, html.replace("</body>", CLICK.format(", ".join(map(str, clicks))) + "</body>"))
    assert said == []
    found = order(dom)
    assert [name for name in found if name in VALUES] == methods
    assert found == [each for name in methods for each in (name, "random, same size", "oracle, same size")] + ["select all"]
    head = re.search("<thead>.*?</thead>", dom, flags=re.DOTALL)[0]
    assert re.findall('aria-sort="([a-z]*)"', head) == ([] if sort is None else [sort])
