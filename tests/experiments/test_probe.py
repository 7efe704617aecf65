import json

import pytest

from experiments.probe import main
from tests.language.models import saved
from tests.report.page_check import Page


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [saved(tmp_path_factory.mktemp(kind), kind) for kind in ("gpt2", "marian")]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Data in the few letters that these models know."""
    for name in ("lambada", "analogies", "parallel/word_alignment", "parallel/multi30k"):
        (tmp_path / name).mkdir(parents=True)
    passage = {"lambadaIndex": 0, "text": "bad cafe face", "rationale": [[4, 8]]}
    (tmp_path / "lambada" / "annotated_lambada.json").write_text(json.dumps(passage) + "\n")
    (tmp_path / "analogies" / "questions-words.txt").write_text(": gram8-plural\ncat cats dog dogs\n")
    (tmp_path / "parallel" / "word_alignment" / "roen.src-tgt").write_text("bad cafe ||| face a\nbad cafe cafe ||| a\n")
    (tmp_path / "parallel" / "word_alignment" / "roen.gold").write_text("1-2 2-1\n1-1\n")
    (tmp_path / "sources").write_text("bad\ncafe\nface\nadd\n")
    monkeypatch.setenv("RATIONALIZERS_DATA", str(tmp_path))
    return tmp_path


def test_passages_give_a_table_a_page_and_a_file(folders, root, capsys):
    page, data = root / "page.html", root / "data.json"
    main(["passages", folders[0], "--searches", "greedy,everything", "--html", str(page), "--json", str(data)])
    printed = capsys.readouterr().out
    assert "everything" in printed
    assert "0.44 [0.44]" in printed  # everything, and a random set of the same size
    (record,) = json.loads(data.read_text())
    assert record["facts"]["passages"] == 1
    # Nine of the letters are before the last word, four of them annotated.
    assert record["numbers"]["everything"]["iou"]["value"] == pytest.approx(4 / 9)
    text = Page(page.read_text("utf-8"))
    assert "because of what people saw it in" in page.read_text("utf-8")
    assert text is not None


def test_alignments_are_of_sentences_that_are_short_enough(folders, root, capsys):
    main(["alignments", folders[1], "--searches", "everything", "--words", "2", "--json", str(root / "data.json")])
    (record,) = json.loads((root / "data.json").read_text())
    assert record["facts"] == {"sentences": 1, "words": 2}
    assert record["numbers"]["everything"]["aer"]["value"] == pytest.approx(2 * (1 - 2 / 3) / 2)


def test_crossed_sentences_are_spread_over_the_file(folders, root, capsys):
    sources = str(root / "sources")
    main(["crossed", folders[1], "--searches", "greedy", "--sources", sources, "--examples", "1", "--json", str(root / "d.json")])
    (record,) = json.loads((root / "d.json").read_text())
    assert record["facts"]["pairs"] == 1
    assert "source_share" in capsys.readouterr().out


def test_another_test_is_refused(folders, capsys):
    with pytest.raises(SystemExit):
        main(["nothing", folders[0]])
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
