import gzip
import json

import pytest

from rationalizers.data.texts import ParallelFiles, TextFiles, Together


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_files_are_texts_and_lines_of_json_files_are(tmp_path):
    write(tmp_path / "a" / "one.txt", "eins\n\nzwei")
    write(tmp_path / "a" / "two.jsonl.gz", '{"text": "drei"}\n{"text": "vier ü"}\n')
    corpus = TextFiles(train=["a/one.txt", "a/two.jsonl.gz"], val=[str(tmp_path / "a" / "one.txt")], root=str(tmp_path))
    assert corpus.texts() == {"train": [("eins\n\nzwei",), ("drei",), ("vier ü",)], "val": [("eins\n\nzwei",)], "test": []}


def test_pairs_are_lines_of_two_files_and_empty_ones_do_not_count(tmp_path):
    write(tmp_path / "x.de.gz", "ein Hund\n\n eine Katze \n")
    write(tmp_path / "x.en.gz", "a dog\nnothing\na cat\n")
    files = ["x.de.gz", "x.en.gz"]
    found = ParallelFiles(train=files, val=files, test=files, root=str(tmp_path)).texts()
    assert found["train"] == found["test"] == [("ein Hund", "a dog"), ("eine Katze", "a cat")]


def test_several_corpora_are_one(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / f"{name}.txt", name)
    part = {"_target_": "rationalizers.data.texts.TextFiles", "root": str(tmp_path)}
    corpus = Together(parts={"a": {**part, "train": ["one.txt"]}, "b": {**part, "train": ["two.txt"], "test": ["one.txt"]}})
    assert corpus.texts() == {"train": [("one",), ("two",)], "val": [], "test": [("one",)]}


def test_what_is_wrong_with_a_file_is_named_with_its_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*a\.txt; .*RATIONALIZERS_DATA"):
        TextFiles(train=["a.txt"], root=str(tmp_path)).texts()
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match=r"b\.txt: expected text in UTF-8"):
        TextFiles(train=["b.txt"], root=str(tmp_path)).texts()
    write(tmp_path / "c.jsonl", json.dumps({"text": "one"}) + "\n" + json.dumps({"words": 2}) + "\n")
    with pytest.raises(ValueError, match=r"c\.jsonl:2: expected the key 'text', got words"):
        TextFiles(train=["c.jsonl"], root=str(tmp_path)).texts()
    write(tmp_path / "d.de", "eins\nzwei\n")
    write(tmp_path / "d.en", "one\n")
    with pytest.raises(ValueError, match=r"d\.en:2: .*d\.de has 2 lines, this 1"):
        ParallelFiles(train=["d.de", "d.en"], val=["d.de", "d.de"], test=["d.de", "d.de"], root=str(tmp_path)).texts()
    with pytest.raises(ValueError, match=r"'val' must be the paths of source and target, got \['d\.de'\]"):
        ParallelFiles(train=["d.de", "d.en"], val=["d.de"], test=["d.de", "d.en"])
