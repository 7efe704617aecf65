import re
from itertools import product

import pytest

from rationalizers.data.analogies import DISTRACTORS, HELD_OUT, HELD_OUT_DISTRACTORS, KINDS, Analogies, agreements


def write(root, text):
    (root / "analogies").mkdir()
    (root / "analogies" / "questions-words.txt").write_text(text, "utf-8")
    return str(root)


QUESTIONS = ": currency\nJapan yen Peru sol\nPeru sol Japan yen\n: gram8-plural\ncat cats dog dogs\n"


def test_every_pair_is_asked_once_with_what_was_kept_for_testing(tmp_path):
    found = agreements(root=write(tmp_path, QUESTIONS))
    assert [each.kind for each in found] == ["currency", "currency", "gram8-plural", "gram8-plural"]
    for each, given, wanted in zip(found, ("Japan", "Peru", "cat", "dog"), ("yen", "sol", "cats", "dogs"), strict=True):
        kind = KINDS[each.kind]
        assert each.text[slice(*each.antecedent)] == given
        assert each.text[each.target :] == wanted
        distractor = each.text[slice(*each.distractor)]
        assert distractor[1:-2] in HELD_OUT_DISTRACTORS
        assert each.text.replace(f"{distractor} ", "") == each.short
        opening, closing = kind.openings[HELD_OUT[0]], kind.closings[HELD_OUT[1]]
        assert each.short == f"{opening.format(given)} {closing} {wanted}"


def test_training_has_all_other_combinations_with_and_without_a_distractor(tmp_path):
    found = Analogies(root=write(tmp_path, QUESTIONS)).texts()
    trained = [text for split in ("train", "val") for (text,) in found[split]]
    assert len(trained) == 4 * 5 * 2
    assert len(found["val"]) == 2
    plain = [re.sub(r" \(.*\)", "", text) for text in trained]
    for opening, closing in product(range(3), range(2)):
        kind = KINDS["currency"]
        text = f"{kind.openings[opening].format('Peru')} {kind.closings[closing]} sol"
        assert plain.count(text) == (0 if (opening, closing) == HELD_OUT else 2)
    assert all(between[1:-2] in DISTRACTORS for text in trained for between in re.findall(r"\(.*\)", text))
    assert not set(DISTRACTORS) & set(HELD_OUT_DISTRACTORS)
    assert [text for (text,) in found["test"]] == [each.text for each in agreements(root=str(tmp_path))]


def test_what_is_no_question_is_named_with_its_line(tmp_path):
    root = write(tmp_path, ": currency\nJapan yen Peru\n")
    with pytest.raises(ValueError, match=r"questions-words\.txt:2: expected four words below a section, got 'Japan yen Peru'"):
        agreements(root=root)
    (tmp_path / "analogies" / "questions-words.txt").write_text(": animals\n")
    with pytest.raises(ValueError, match=r"questions-words\.txt:1: expected a section of capital-common-countries, .*'animals'"):
        agreements(root=root)


def test_the_published_questions(data_root):
    found = agreements(root=str(data_root))
    assert len(found) == 550
    assert {each.kind for each in found} == set(KINDS)
