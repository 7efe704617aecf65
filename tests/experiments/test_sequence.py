import json

import pytest

from experiments.sequence import main
from rationalizers.sequence import explain_text, open_language_model
from tests.language.models import saved


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("gpt2"))


def test_it_prints_a_row_for_each_token_and_writes_what_is_asked_for(folder, tmp_path, capsys):
    page, data = tmp_path / "page.html", tmp_path / "data.json"
    main(["--model", folder, "--generate", "4", "bad cafe", "--html", str(page), "--json", str(data)])
    expected = explain_text(*open_language_model(folder), "bad cafe", generate=4)
    assert json.loads(data.read_text("utf-8")) == json.loads(json.dumps(expected.record()))
    assert "because of, in order of addition" in page.read_text("utf-8")
    printed = capsys.readouterr().out
    for each in expected.rationales:
        assert f"{len(each.order)} of {each.target}" in printed
    assert printed.count("yes") == 4


def test_targets_are_places(folder, capsys):
    main(["--model", folder, "--targets", "3,5", "--max-size", "2", "bad cafe"])
    printed = capsys.readouterr().out
    assert " of 3" in printed
    assert " of 5" in printed
    assert " of 4" not in printed


def test_nothing_is_written_unasked(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["--model", folder, "bad"])
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        main(["--model", str(tmp_path / "nothing"), "bad"])


def test_an_encoder_decoder_translates(tmp_path, capsys):
    folder, page = saved(tmp_path / "marian", "marian"), tmp_path / "page.html"
    main(["--model", folder, "bad cafe", "--target", "face", "--html", str(page)])
    printed = capsys.readouterr().out
    for place in range(1, 5):
        assert f" of {8 + place} " in printed
    assert page.read_text("utf-8").count('<div class="text">') == 2
    with pytest.raises(ValueError, match="--targets is for models of one text"):
        main(["--model", folder, "bad cafe", "--targets", "2"])


def test_a_target_is_for_encoder_decoders(folder):
    with pytest.raises(ValueError, match="--target is for encoder-decoders"):
        main(["--model", folder, "bad cafe", "--target", "face"])
