"""Discovered shortcuts on disk, and on the documents that they are of."""

import json

import pytest

from rationalizers.data.document import Document
from rationalizers.data.shortcuts import Shortcuts

REVIEW = Document("r1", ("honestly", "a", "dull", "film", "«café»", "."), "bad", spans=((2, 4, 0),))
LINE = {"id": "r1", "words": 6, "spans": [[0, 1], [4, 6]]}


def write(folder, *lines):
    (folder / "shortcuts.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


def read(folder, *lines):
    return Shortcuts.read(write(folder, *(json.dumps(line) for line in lines)))


def test_what_is_written_is_read(tmp_path):
    given = Shortcuts(tmp_path, {"r1": 6, "größe 2": 3}, {"r1": ((0, 1), (4, 6)), "größe 2": ()})
    given.write()
    assert Shortcuts.read(tmp_path) == given
    assert [path.name for path in tmp_path.iterdir()] == ["shortcuts.jsonl"]
    assert (tmp_path / "shortcuts.jsonl").read_text("utf-8").splitlines() == [
        '{"id": "r1", "words": 6, "spans": [[0, 1], [4, 6]]}',
        '{"id": "größe 2", "words": 3, "spans": []}',
    ]


def test_marks_are_one_per_word(tmp_path):
    found = read(tmp_path, LINE, {"id": "r2", "words": 2, "spans": []})
    assert found.marks(REVIEW) == [1, 0, 0, 0, 1, 1]
    assert found.marks(Document("r2", ("a", "film"))) == [0, 0]


def test_an_example_that_is_not_listed_has_none(tmp_path):
    assert read(tmp_path, LINE).marks(Document("r3", ("honestly", "a", "film"))) == [0, 0, 0]


@pytest.mark.parametrize("words", [REVIEW.words[:5], (*REVIEW.words, "!")])
def test_another_number_of_words_is_named(tmp_path, words):
    expected = rf"shortcuts\.jsonl: example 'r1': expected the 6 words .* got {len(words)}; train on the corpus"
    with pytest.raises(ValueError, match=expected):
        read(tmp_path, LINE).marks(Document("r1", words))


@pytest.mark.parametrize(("span", "word"), [([1, 4], 2), ([3, 5], 3), ([0, 6], 2)])
def test_a_mark_on_evidence_is_named(tmp_path, span, word):
    expected = f"example 'r1': expected no evidence among its shortcuts, got its word {word}; delete shortcuts.json and"
    with pytest.raises(ValueError, match=expected):
        read(tmp_path, {**LINE, "spans": [span]}).marks(REVIEW)


def test_a_folder_without_shortcuts_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} has no shortcuts.jsonl; .*: rationalize-discover run={tmp_path}"):
        Shortcuts.read(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "r1", "words": 6', "expected one JSON object"),
        ("[0, 1]", "expected one JSON object"),
        ('{"words": 6, "spans": []}', "expected the key 'id', got spans, words"),
        ('{"id": 1, "words": 6, "spans": []}', "'id' should be str, got 1"),
        ('{"id": "r2", "words": "six", "spans": []}', "'words' should be int, got 'six'"),
        ('{"id": "r2", "words": 6, "spans": 3}', "'spans' should be list, got 3"),
        ('{"id": "r1", "words": 6, "spans": []}', "expected each example once, got 'r1' again; delete shortcuts.json and"),
        ('{"id": "r2", "words": 6, "spans": [[0, 7]]}', r"spans \[start, end\) within its 6 words, got \[0, 7\]; delete"),
        ('{"id": "r2", "words": 6, "spans": [[-1, 2]]}', r"within its 6 words, got \[-1, 2\]"),
        ('{"id": "r2", "words": 6, "spans": [[2, 2]]}', r"within its 6 words, got \[2, 2\]"),
        ('{"id": "r2", "words": 6, "spans": [[0, 1, 2]]}', r"within its 6 words, got \[0, 1, 2\]"),
        ('{"id": "r2", "words": 6, "spans": [[0, 1.5]]}', r"within its 6 words, got \[0, 1\.5\]"),
        ('{"id": "r2", "words": 6, "spans": [4]}', "within its 6 words, got 4"),
    ],
)
def test_a_broken_line_is_named_with_its_place(tmp_path, line, message):
    write(tmp_path, json.dumps(LINE), line)
    with pytest.raises(ValueError, match=rf"shortcuts\.jsonl:2: .*{message}"):
        Shortcuts.read(tmp_path)
