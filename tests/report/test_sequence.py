import pytest

from rationalizers.report.sequence import SHADES, sequence_html, sequence_page, shade
from tests.report.page_check import Page

RECORD = {
    "tokens": ["Once", " <upon>", " a", " time", "\n"],
    "generated": 3,
    "source": 0,
    "rationales": [
        {
            "target": 3,
            "source": 0,
            "goal": 7,
            "order": [2, 0],
            "predicted": [1, 7],
            "probability": [0.1, 0.625],
            "certified": True,
            "reached_argmax": True,
        },
        {
            "target": 4,
            "source": 0,
            "goal": 8,
            "order": [3],
            "predicted": [1],
            "probability": [0.25],
            "certified": False,
            "reached_argmax": False,
        },
    ],
}


def test_pointing_at_a_token_shades_what_it_came_from():
    html = str(sequence_html(RECORD))
    Page(html)
    assert '[data-target="3"]:is(:hover, :focus)) [data-place="2"]' in html
    assert '[data-target="3"]:is(:hover, :focus)) [data-place="0"]' in html
    assert '[data-target="3"]:is(:hover, :focus)) [data-place="1"]' not in html
    assert html.count('tabindex="0"') == 2
    assert html.count('data-target="') == 2 + 3  # tokens, and a rule for each addition


def test_the_text_is_as_it_was_and_escaped():
    page = Page(sequence_html(RECORD))
    assert "Once <upon> a time\n" in page.text


def test_a_page_has_the_map_and_the_table():
    page = Page(sequence_page(RECORD, title="A <title>"))
    assert ["token", "Once", "a", "time"] in page.rows
    assert ["time", "2", "1", ""] in page.rows
    assert ["␣", "·", "·", "1"] in page.rows
    flat = [[cell.strip() for cell in row] for row in page.rows]
    assert ["time", "2 of 3", "0.625", "✓", "a · Once"] in flat
    assert ["␣", "1 of 4", "0.250", "never the most probable", "time"] in flat
    assert "A <title>" in page.text
    assert "written by the model" in page.text


def test_a_page_without_rationales_is_a_text():
    page = Page(sequence_page({**RECORD, "rationales": [], "generated": 5}, title="Nothing"))
    assert page.rows == []
    assert "written by the model" not in page.text


def test_a_source_stands_by_itself_and_places_count_on():
    rationale = {**RECORD["rationales"][0], "source": 2, "target": 1, "order": [2, 0]}
    html = str(sequence_html({**RECORD, "source": 2, "rationales": [rationale]}))
    Page(html)
    assert html.count('<div class="text">') == 2
    assert '[data-target="3"]:is(:hover, :focus)) [data-place="0"]' in html


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 17])
def test_earlier_additions_are_darker(size):
    shades = [shade(place, size) for place in range(size)]
    assert shades == sorted(shades, reverse=True)
    assert shades[0] == SHADES
    assert min(shades) >= 1
