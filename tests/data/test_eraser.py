import gzip
import json
import os
from pathlib import Path

import pytest

from rationalizers.data.eraser import LABELS, Eraser

REVIEW = "a dull film\nbut  the ending\n\nis great \n"  # a b c / d e f / g h, with a blank line and empty tokens
WORDS = ("a", "dull", "film", "but", "the", "ending", "is", "great")


def span(docid, start, end, text):
    return {
        "docid": docid,
        "start_token": start,
        "end_token": end,
        "start_sentence": -1,
        "end_sentence": -1,
        "text": text,
    }


def line(annotation_id="r1", label="POS", evidences=None, **more):
    evidences = [[span("r1", 7, 8, "great")]] if evidences is None else evidences
    keys = {"annotation_id": annotation_id, "classification": label, "evidences": evidences, "query": "is it good ?"}
    return {**keys, "query_type": None, **more}


def store(path: Path, content: str, *, zipped: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content.encode()))
    else:
        path.write_text(content, encoding="utf-8")


def make(root, lines, *, name="movies", docs=None, form="docs", zipped=False):
    """A set whose only split is test; `lines` are objects or raw text."""
    folder = root / "eraser" / name
    docs = {"r1": REVIEW} if docs is None else docs
    raw = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in lines)
    store(folder / "test.jsonl", raw, zipped=zipped)
    if form == "docs":
        for docid, text in docs.items():
            store(folder / "docs" / docid, text, zipped=zipped)
    else:
        rows = [json.dumps({"docid": docid, "document": text}) for docid, text in docs.items()]
        store(folder / "docs.jsonl", "\n".join(rows) + "\n", zipped=zipped)
    return folder


def read(root, *, name="movies", **more):
    more.setdefault("splits", {"train": None, "val": None})
    return Eraser(name=name, root=str(root), download=False, **more).load()


def only(root, **more):
    (document,) = read(root, **more).splits["test"]
    return document


@pytest.mark.parametrize("form", ["docs", "docs.jsonl"])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_layout_gives_the_same_example(tmp_path, form, zipped):
    make(tmp_path, [line()], form=form, zipped=zipped)
    corpus = read(tmp_path, with_query=True)
    (document,) = corpus.splits["test"]
    assert corpus.labels == ("NEG", "POS")
    assert (document.id, document.label, document.annotated) == ("r1", "POS", True)
    assert document.words == WORDS
    assert document.spans == ((7, 8, 0),)
    assert document.query == ("is", "it", "good", "?")
    assert list(document.fields["sentence"]) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert list(document.fields["document"]) == [0] * 8
    assert dict(corpus.report) == {"test/examples": 1, "test/spans": 1}


def test_windows_newlines_leave_no_trace(tmp_path):
    folder = make(tmp_path, [line()])
    (folder / "docs" / "r1").write_bytes(REVIEW.replace("\n", "\r\n").encode())
    assert only(tmp_path).words == WORDS


def test_unusual_spaces_stay_in_their_token(tmp_path):
    make(tmp_path, [line(evidences=[])], docs={"r1": "5\u00a0km away\x0b b\u2028c"})
    assert only(tmp_path).words == ("5\u00a0km", "away\x0b", "b\u2028c")


@pytest.mark.parametrize("second", ["docs.jsonl", "docs.jsonl.gz"])
def test_two_document_stores_are_refused(tmp_path, second):
    folder = make(tmp_path, [line()])
    (folder / second).write_bytes(b"")
    with pytest.raises(ValueError, match=r"docs and .*docs\.jsonl.* remove all but one"):
        read(tmp_path)


def test_two_copies_of_a_split_are_refused(tmp_path):
    folder = make(tmp_path, [line()])
    store(folder / "test.jsonl", "", zipped=True)
    with pytest.raises(ValueError, match=r"test\.jsonl and .*test\.jsonl\.gz"):
        read(tmp_path)


def test_no_document_store_is_an_error(tmp_path):
    make(tmp_path, [line()], docs={})
    with pytest.raises(FileNotFoundError, match=r"neither docs/ nor docs\.jsonl"):
        read(tmp_path)


TWO = {"b": "one two\nthree", "a": "four five"}


def claim(**more):
    return line("7", "SUPPORTS", [[span("b", 2, 3, "three"), span("a", 0, 1, "four")]], **more)


def test_documents_are_joined_in_the_order_of_docids(tmp_path):
    make(tmp_path, [claim(docids=["b", "a"])], name="fever", docs=TWO)
    document = only(tmp_path, name="fever")
    assert document.words == ("one", "two", "three", "four", "five")
    assert document.spans == ((2, 3, 0), (3, 4, 0))
    assert list(document.fields["document"]) == [0, 0, 0, 1, 1]
    assert list(document.fields["sentence"]) == [0, 0, 1, 2, 2]
    assert document.query == ("is", "it", "good", "?")


@pytest.mark.parametrize("docids", [None, []])
def test_without_docids_the_evidence_names_them_in_alphabetical_order(tmp_path, docids):
    make(tmp_path, [claim(docids=docids)], name="fever", docs=TWO)
    corpus = read(tmp_path, name="fever")
    (document,) = corpus.splits["test"]
    assert document.words == ("four", "five", "one", "two", "three")
    assert document.spans == ((0, 1, 0), (4, 5, 0))
    assert "test/evidence_elsewhere" not in corpus.report


def test_evidence_outside_docids_is_appended_and_counted(tmp_path):
    make(tmp_path, [claim(docids=["b"])], name="fever", docs=TWO)
    corpus = read(tmp_path, name="fever")
    assert corpus.splits["test"][0].words == ("one", "two", "three", "four", "five")
    assert corpus.report["test/evidence_elsewhere"] == 1


def test_an_example_without_evidence_is_on_the_document_it_is_named_after(tmp_path):
    make(tmp_path, [line(evidences=[])])
    corpus = read(tmp_path)
    (document,) = corpus.splits["test"]
    assert (document.words, document.spans, document.annotated) == (WORDS, (), False)
    assert corpus.report["test/without_evidence"] == 1


def test_multirc_names_its_document_before_the_first_colon(tmp_path):
    make(tmp_path, [line("r1:0:3", "True", [])], name="multirc")
    assert only(tmp_path, name="multirc").words == WORDS


def test_esnli_shows_the_premise_even_if_all_evidence_is_in_the_hypothesis(tmp_path):
    docs = {"7_premise": "a man sleeps", "7_hypothesis": "a man runs"}
    make(tmp_path, [line("7", "contradiction", [[span("7_hypothesis", 2, 3, "runs")]])], name="esnli", docs=docs)
    document = only(tmp_path, name="esnli")
    assert document.words == ("a", "man", "sleeps", "a", "man", "runs")
    assert document.spans == ((5, 6, 0),)


def test_examples_on_one_document_share_its_words(tmp_path):
    make(tmp_path, [line("r1:0:0", "True", []), line("r1:0:1", "False", [])], name="multirc")
    first, second = read(tmp_path, name="multirc").splits["test"]
    assert first.words is second.words


def test_numbers_as_ids_are_names(tmp_path):
    make(tmp_path, [line(7, "True", [[span(12, 0, 1, "a")]], docids=[12])], name="boolq", docs={"12": REVIEW})
    document = only(tmp_path, name="boolq")
    assert (document.id, document.spans) == ("7", ((0, 1, 0),))


def test_defects_are_dropped_and_counted(tmp_path):
    great, dull = span("r1", 7, 8, "great"), span("r1", 1, 2, "dull")
    groups = [
        [great, span("r1", 3, 3, ""), great],  # an empty span, a duplicate
        [span("r1", 8, 8, "")],  # nothing is left of this group
        [],
        [dull, great],
        [great, dull],  # the group before in another order
        [span("r1", 1, 2, "dul")],  # the text of another tokenization
    ]
    make(tmp_path, [line(evidences=groups), ""], docs={"r1": REVIEW, "spare": "x"})
    corpus = read(tmp_path)
    assert corpus.splits["test"][0].spans == ((7, 8, 0), (1, 2, 1), (7, 8, 1), (1, 2, 2))
    assert dict(corpus.report) == {
        "test/examples": 1,
        "test/spans": 4,
        "test/empty_spans": 2,
        "test/duplicate_spans": 1,
        "test/empty_groups": 2,
        "test/duplicate_groups": 1,
        "test/text_mismatches": 1,
        "test/blank_lines": 1,
        "unreferenced_documents": 1,
    }


def without(key):
    record = line("r2")
    del record[key]
    return record


BROKEN = {
    "truncated": (json.dumps(line("r2"))[:-9], "expected one JSON object"),
    "no object": ("[1, 2]", "expected one JSON object"),
    "no id": (without("annotation_id"), "expected the key 'annotation_id', got classification, evidences, query"),
    "no label": (without("classification"), "expected the key 'classification'"),
    "no evidence": (without("evidences"), "expected the key 'evidences'"),
    "flat evidence": (line("r2", evidences=[span("r1", 0, 1, "a")]), "should be a list of objects"),
    "span without end": (line("r2", evidences=[[{"docid": "r1", "start_token": 0}]]), "expected the key 'end_token'"),
    "textual offset": (line("r2", evidences=[[span("r1", "0", 1, "a")]]), "'start_token' should be int, got '0'"),
    "unknown label": (line("r2", "MAYBE"), r"label 'MAYBE' is not one of NEG, POS; give 'labels'"),
    "label of another type": (line("r2", ["POS"]), r"label \['POS'\] is not one of"),
    "negative start": (line("r2", evidences=[[span("r1", -1, 1, "a")]]), r"span \[-1, 1\) .* within the 8 tokens"),
    "late end": (line("r2", evidences=[[span("r1", 7, 9, "great")]]), r"span \[7, 9\) .* within the 8 tokens"),
    "reversed": (line("r2", evidences=[[span("r1", 3, 2, "")]]), r"span \[3, 2\)"),
    "missing document": (line("r2", evidences=[]), "document 'r2' is not in .*docs; unpack the set again"),
    "missing evidence document": (line("r2", evidences=[[span("r9", 0, 1, "a")]]), "document 'r9' is not in"),
    "empty document": (line("r2", evidences=[], docids=["void"]), "document 'void' in .*docs has no words"),
    "same id twice": (line("r1"), r"annotation_id 'r1' was already at .*test\.jsonl(\.gz)?:1; remove one"),
}


@pytest.mark.parametrize("defect", BROKEN)
@pytest.mark.parametrize("zipped", [False, True])
def test_errors_name_file_and_line(tmp_path, defect, zipped):
    second, message = BROKEN[defect]
    make(tmp_path, [line("r1"), second], docs={"r1": REVIEW, "void": " \n\n"}, zipped=zipped)
    file = r"movies/test\.jsonl\.gz" if zipped else r"movies/test\.jsonl"
    with pytest.raises(ValueError, match=rf"{file}:2: .*{message}"):
        read(tmp_path)


def test_a_file_cut_off_within_its_compression_is_an_error(tmp_path):
    folder = make(tmp_path, [line(f"r{i}", evidences=[], docids=["r1"]) for i in range(300)], zipped=True)
    path = folder / "test.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"test\.jsonl\.gz:\d+: expected gzip data, got .*end-of-stream"):
        read(tmp_path)


def test_a_document_in_another_encoding_is_an_error(tmp_path):
    folder = make(tmp_path, [line()])
    (folder / "docs" / "r1").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(ValueError, match=r"docs/r1: expected text in UTF-8"):
        read(tmp_path)


def test_a_document_listed_twice_is_an_error(tmp_path):
    folder = make(tmp_path, [line()], form="docs.jsonl")
    path = folder / "docs.jsonl"
    path.write_text(path.read_text() * 2)
    with pytest.raises(ValueError, match=r"docs\.jsonl:2: document 'r1' is there twice"):
        read(tmp_path)


def test_an_example_in_two_splits_is_an_error(tmp_path):
    folder = make(tmp_path, [line()])
    store(folder / "train.jsonl", json.dumps(line()) + "\n")
    with pytest.raises(ValueError, match=r"test\.jsonl:1: annotation_id 'r1' was already at .*train\.jsonl:1"):
        read(tmp_path, splits={"val": None})


def test_the_query_of_movies_is_left_out_by_default(tmp_path):
    make(tmp_path, [line()])
    assert only(tmp_path).query == ()


@pytest.mark.parametrize("query", [None, ""])
def test_an_absent_query_is_empty(tmp_path, query):
    make(tmp_path, [line(query=query)])
    assert only(tmp_path, with_query=True).query == ()


def test_a_split_may_lie_under_another_name(tmp_path):
    folder = make(tmp_path, [line()])
    (folder / "test.jsonl").rename(folder / "test_part.jsonl")
    assert only(tmp_path, splits={"train": None, "val": None, "test": "test_part"}).id == "r1"


def test_an_absent_split_is_an_error_that_says_how_to_leave_it_out(tmp_path):
    make(tmp_path, [line()])
    with pytest.raises(FileNotFoundError, match=r"movies/val\.jsonl or .*gz, but neither exists.*splits=\{val: null\}"):
        read(tmp_path, splits={"train": None})


def test_a_split_left_out_is_not_in_the_corpus(tmp_path):
    make(tmp_path, [line()])
    assert list(read(tmp_path).splits) == ["test"]


def test_labels_open_other_sets(tmp_path):
    make(tmp_path, [line(label="odd")], name="mine")
    corpus = read(tmp_path, name="mine", labels=["even", "odd"])
    assert corpus.labels == ("even", "odd")
    assert corpus.splits["test"][0].query == ("is", "it", "good", "?")


def test_subsets_are_seeded_nested_and_in_file_order(tmp_path):
    make(tmp_path, [line(f"r{i}", evidences=[], docids=["r1"]) for i in range(50)])

    def ids(size, seed=0):
        drawn = read(tmp_path, subset={"test": size}, seed=seed).splits["test"]
        return [int(document.id[1:]) for document in drawn]

    assert ids(None) == list(range(50))
    assert len(ids(10)) == 10
    assert ids(10) == ids(10) == sorted(ids(10))
    assert set(ids(10)) < set(ids(20))
    assert ids(10) != list(range(10))
    assert ids(10) != ids(10, seed=1)


def test_a_subset_larger_than_its_split_is_an_error(tmp_path):
    make(tmp_path, [line()])
    with pytest.raises(ValueError, match=r"asks for 2 examples of test, .*test\.jsonl has 1"):
        read(tmp_path, subset={"test": 2})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mine"}, "'name' must be one of boolq, .*, got 'mine'; give 'labels'"),
        ({"labels": ["NEG", "NEG"]}, "'labels' must be different"),
        ({"labels": []}, "'labels' must be different"),
        ({"splits": {"dev": "val"}}, "'splits' must name train, val, test, got dev"),
        ({"splits": {"train": None, "val": None, "test": None}}, "leaves every split out"),
        ({"subset": {"dev": 3}}, "'subset' must name train, val, test, got dev"),
        ({"subset": {"train": 0}}, "at least one example"),
        ({"subset": {"train": 5}, "splits": {"train": None}}, "of a split that is read"),
    ],
)
def test_contradictory_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Eraser(**{"name": "movies", **arguments})


def test_an_absent_set_is_an_error_that_says_where_to_get_it(tmp_path):
    address = r"https://www\.eraserbenchmark\.com/zipped/movies\.tar\.gz"
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/eraser/movies.*{address}.*RATIONALIZERS_DATA"):
        read(tmp_path)


def test_the_environment_names_the_root(tmp_path, monkeypatch):
    make(tmp_path, [line()])
    monkeypatch.setenv("RATIONALIZERS_DATA", str(tmp_path))
    source = Eraser(name="movies", splits={"train": None, "val": None}, download=False)
    assert source.load().splits["test"][0].id == "r1"


def published(name, **more):
    root = os.environ.get("RATIONALIZERS_DATA")
    if not root:
        pytest.skip("RATIONALIZERS_DATA is not set: no published data to check against")
    if not Path(root, "eraser", name).is_dir():
        pytest.skip(f"{root}/eraser/{name} does not exist")
    return Eraser(name=name, download=False, **more).load()


def balance(documents, labels):
    return tuple(sum(document.label == label for document in documents) for label in labels)


PUBLISHED = {
    "movies": (
        {},
        {"train": (800, 800), "val": (100, 100), "test": (100, 99)},
        {
            "train/examples": 1600,
            "train/spans": 13878,
            "train/without_evidence": 1,
            "val/examples": 200,
            "val/spans": 1517,
            "test/examples": 199,
            "test/spans": 2067 - 20,
            "test/empty_spans": 20,
            "unreferenced_documents": 1,
        },
    ),
    "multirc": (
        {"splits": {"train": "train_part"}},
        {"train": (2658, 2148), "val": (1762, 1452), "test": (2773, 2075)},
        {
            "train/examples": 4806,
            "train/spans": 11298,
            "val/examples": 3214,
            "val/spans": 7498,
            "test/examples": 4848,
            "test/spans": 11286,
            "unreferenced_documents": 170,
        },
    ),
    "fever": (
        {"splits": {"train": None}},
        {"val": (3103, 3019), "test": (3078, 3033)},
        {
            "val/examples": 6122,
            "val/spans": 8672 - 6,  # three groups of two spans are there twice
            "val/duplicate_groups": 3,
            "test/examples": 6111,
            "test/spans": 8464,
            "unreferenced_documents": 2915,
        },
    ),
    "cose": (
        {},
        {
            "train": (1707, 1759, 1760, 1791, 1735),
            "val": (213, 230, 201, 222, 220),
            "test": (218, 226, 216, 215, 204),
        },
        {
            "train/examples": 8752,
            "train/spans": 8752,
            "train/text_mismatches": 136,
            "val/examples": 1086,
            "val/spans": 1086,
            "val/text_mismatches": 19,
            "test/examples": 1079,
            "test/spans": 1079,
            "test/text_mismatches": 11,
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_of_the_published_sets(name):
    arguments, balances, report = PUBLISHED[name]
    corpus = published(name, **arguments)
    assert {split: balance(documents, corpus.labels) for split, documents in corpus.splits.items()} == balances
    assert dict(corpus.report) == report
    assert corpus.labels == LABELS[name]


@pytest.mark.slow
def test_the_review_without_evidence_is_unknown_not_empty():
    corpus = published("movies", splits={"val": None, "test": None})
    assert [document.id for document in corpus.splits["train"] if not document.annotated] == ["posR_161.txt"]


@pytest.mark.slow
def test_words_and_spans_of_a_published_example():
    corpus = published("multirc", splits={"train": None, "test": None})
    first = corpus.splits["val"][0]
    assert first.id == "Fiction-stories-masc-The_Black_Willow-0.txt:0:0"
    assert first.spans == ((0, 13, 0), (13, 29, 0), (29, 57, 0))
    assert " ".join(first.words[:13]) == "Allan sat down at his desk and pulled the chair in close ."
    assert {first.fields["sentence"][word] for word in range(13, 29)} == {1}
    assert first.query[-2:] == ("||", "Eraser")
