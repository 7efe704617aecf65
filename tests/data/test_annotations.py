import pytest

from rationalizers.data.annotations import Evidence
from rationalizers.data.eraser import Eraser
from tests.data.eraser_folder import DOCS, REVIEWS, annotation, evidence, make, read


@pytest.mark.parametrize("form", ["docs", "docs.jsonl"])
def test_a_split_is_read_by_example_and_document(tmp_path, form):
    make(tmp_path, form=form)
    found = read(tmp_path)
    assert (found.name, found.split, found.labels) == ("movies", "test", ("NEG", "POS"))
    assert [(each.id, each.label, each.documents) for each in found.examples.values()] == [
        ("r1", "POS", ("r1",)),
        ("r2", "POS", ("r2",)),
        ("r3", "NEG", ("r3",)),
    ]
    assert found.examples["r1"].groups == ((Evidence("r1", 7, 9, "great !", 2, 3),),)
    assert [[span[1:3] for span in group] for group in found.examples["r2"].groups] == [[(1, 2)], [(1, 2), (4, 6)]]
    assert [found.documents.lengths(docid, "here") for docid in DOCS] == [(3, 3, 3), (3, 5), (4,)]
    assert found.report == {"examples": 3, "spans": 5}


def test_empty_spans_are_dropped_and_kept_apart(tmp_path):
    empty = {**evidence("r1", 3, 3), "text": ""}
    make(tmp_path, lines=[annotation("r1", "POS", [[empty, evidence("r1", 1, 2)], [empty]])])
    found = read(tmp_path)
    (only,) = found.examples.values()
    assert only.groups == ((Evidence("r1", 1, 2, "dull", -1, -1),),)
    assert only.empty == (Evidence("r1", 3, 3, "", -1, -1),) * 2
    assert (found.report["empty_spans"], found.report["empty_groups"]) == (2, 1)


def test_evidence_keeps_its_document(tmp_path):
    groups = [[evidence("r2", 0, 1), evidence("r1", 2, 3)]]
    make(tmp_path, name="fever", lines=[annotation("c", "REFUTES", groups, docids=["r3", "r1"])])
    (only,) = read(tmp_path, name="fever").examples.values()
    assert only.documents == ("r3", "r1", "r2")
    assert [span[:3] for span in only.groups[0]] == [("r1", 2, 3), ("r2", 0, 1)]


def test_a_subset_is_that_of_the_corpus(tmp_path):
    make(tmp_path, lines=REVIEWS)
    source = Eraser(name="movies", root=str(tmp_path), subset={"test": 2}, seed=3, download=False)
    assert list(source.annotations("test").examples) == [document.id for document in source.load().splits["test"]]
    assert source.names("test") == ["r1", "r2", "r3"]


def test_a_split_that_is_not_read_is_an_error(tmp_path):
    make(tmp_path)
    source = Eraser(name="movies", root=str(tmp_path), splits={"val": None}, download=False)
    with pytest.raises(ValueError, match="'split' must be one of train, test, got 'val'"):
        source.annotations("val")
