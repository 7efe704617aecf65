import gzip
import json

import pytest

from rationalizers.data.lambada import Lambada, annotated_passages


def write(root, rows, annotated):
    folder = root / "lambada"
    folder.mkdir()
    with gzip.open(folder / "lambada_test.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": row}) + "\n" for row in rows)
    lines = [json.dumps(each) + "\n" for each in annotated]
    (folder / "annotated_lambada.json").write_text("".join(lines), "utf-8")


def passage(**changes):
    return {"lambadaIndex": 1, "text": "a b\nc d", "rationale": [[4, 5], [0, 1]], **changes}


def test_annotated_passages_are_for_testing_and_one_in_twenty_of_the_others_for_validation(tmp_path):
    rows = [f"passage {number}" for number in range(42)]
    write(tmp_path, rows, [passage(text="other words"), passage(lambadaIndex=3)])
    found = Lambada(root=str(tmp_path)).texts()
    others = [(row,) for number, row in enumerate(rows) if number not in (1, 3)]
    assert found["val"] == [others[0], others[20]]
    assert found["train"] == [row for row in others if row not in found["val"]]
    assert found["test"] == [("other words",), ("a b\nc d",)]


def test_the_last_word_is_the_target(tmp_path):
    write(tmp_path, [], [passage(), passage(text="one\ntwo", rationale=[[0, 3]])])
    first, second = annotated_passages(str(tmp_path))
    assert (first.index, first.target, first.spans) == (1, 6, ((4, 5), (0, 1)))
    assert second.text[second.target :] == "two"


def test_a_span_of_the_last_word_is_named_with_its_line(tmp_path):
    write(tmp_path, [], [passage(), passage(rationale=[[6, 7]])])
    with pytest.raises(ValueError, match=r"annotated_lambada\.json:2: expected spans .* in the 6 characters .*, got \[6, 7\]"):
        annotated_passages(str(tmp_path))


def test_the_published_set(data_root):
    found = annotated_passages(str(data_root))
    assert len(found) == 107
    assert sum(len(each.spans) for each in found) == 750
    # In every one the first span is the word right before the target.
    assert all(each.text[each.spans[0][0] : each.target].split() == [each.text[slice(*each.spans[0])]] for each in found)
    texts = Lambada(root=str(data_root)).texts()
    assert {split: len(rows) for split, rows in texts.items()} == {"train": 4793, "val": 253, "test": 107}
