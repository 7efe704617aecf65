from rationalizers.probes.probe import Probe
from rationalizers.report.probe import probe_page
from tests.report.page_check import Page


def probe(model):
    rows = [("greedy", {"length": (float(x), 1.0), "iou": (0.5, 1.0)}) for x in (1, 2, 3, 4)]
    rows += [("last_attention", {"length": (x + 2.0, 1.0)}) for x in (1, 2, 3, 4)]
    return Probe.of("passages", model, {"passages": 4, "said": 1}, rows).record()


def test_a_table_for_each_model_marks_what_differs_from_greedy_search():
    html = str(probe_page([probe("one"), probe("two <b>")]))
    page = Page(html)
    assert "because of what people saw it in" in page.text
    assert page.rows[0] == ["search", "length", "iou"]
    greedy, attention = page.rows[1:3]
    assert greedy[0] == "greedy"
    assert greedy[1].startswith("2.5")
    assert attention[0] == "last attention"
    assert attention[1].startswith("4.5")
    assert attention[2] == ""
    # One coloured cell in each table: the length of attention.
    assert html.count('class="beaten"') == 2
    assert "two &lt;b&gt;" in html
