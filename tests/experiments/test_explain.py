"""The command that explains: whatever is typed, from files and into files, and what it says of what it cannot read."""

import io
import json
import random
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_module
from rich.console import Console

from experiments.explain import LITERAL, explain, prediction, show
from experiments.inputs import literal
from rationalizers.load import Trained, load_rationalizer
from rationalizers.run import FORMAT
from tests.report.page_check import check_page
from tests.tiny import finished_run, fresh_process

TEXTS = ["the film , dull and bleak .", 'a "superb", bright\nstory', "null", "Who walk home", "fine , superb"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run; nobody may change it."""
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def molecules(tmp_path_factory):
    """A run whose model reads molecules and predicts a number."""
    pytest.importorskip("rdkit")
    from graph.data.featurize import SmilesFeaturizer
    from rationalizers.base import Rationalizer
    from rationalizers.build import build
    from tests.graph.contract import ENCODER

    featurizer = SmilesFeaturizer()
    model = {
        "_target_": "graph.methods.erm.ERM",
        "task": {"_target_": "rationalizers.task.Regression", "targets": ["o2"], "unit": "Barrer"},
        "encoder": {**ENCODER, **{name: featurizer.facts()[name] for name in ("atoms", "bonds")}},
        "weights": {"task": 1.0},
        "optimizer": {"lr": 0.01},
    }
    torch.manual_seed(0)
    described = {"_target_": "graph.data.featurize.SmilesFeaturizer"}
    config = {
        "format": FORMAT,
        "name": "erm-o2",
        "method": "erm",
        "dataset": "o2",
        "seed": 0,
        "model": model,
        "featurizer": described,
    }
    folder = tmp_path_factory.mktemp("molecules") / "run"
    Trained(build(model, Rationalizer), featurizer, config).save_pretrained(folder)
    return folder


def asked(*arguments):
    """Call the command, without a process of its own."""
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("explain", overrides=literal([str(each) for each in arguments], LITERAL))
    explain.__wrapped__(config)


# What is typed --------------------------------------------------------------------------------------------------------


def test_a_text_is_printed_with_what_was_predicted_and_why(run, tmp_path):
    text = "the film, dull and [bleak]: it's $5 ${oc.env:HOME} a=b \\"
    done = fresh_process(["-m", "experiments.explain", f"run={run}", f"text={text}"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said, words = done.stdout.splitlines()
    found = load_rationalizer(run)(text)
    assert said == f"{found.prediction} {found.probability:.3f}, {sum(found.mask)} of {len(found.tokens)} selected"
    assert words == " ".join(f"[{word}]" if chosen else word for word, chosen in zip(found.tokens, found.mask, strict=True))
    assert list(tmp_path.iterdir()) == []


def test_every_line_of_standard_input_is_explained(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("bright\ndull film\n"))
    asked(f"run={run}", "text=-")
    said = [line.split()[0] for line in capsys.readouterr().out.splitlines()[::2]]
    assert said == [found.prediction for found in load_rationalizer(run)(["bright", "dull film"])]
    monkeypatch.setattr(sys, "stdin", io.StringIO("bright\n\n"))
    with pytest.raises(SystemExit, match=r"^standard input:2: input 1 \('text-1'\) has no words"):
        asked(f"run={run}", "text=-")


@pytest.mark.parametrize(
    "value",
    [
        "a, b",
        "[C@@H](N)=O",
        "it's",
        "\\",
        "a\\'b",
        "${x}",
        "\\${x}",
        "'quoted'",
        '"quoted"',
        "{a: 1}",
        "",
        "~",
        "1",
        "true",
        "a\nb",
        "#",
        "$x ${",
    ],
)
def test_hydra_takes_what_is_typed_as_it_stands(value):
    with initialize_config_module("conf", version_base="1.3"):
        assert compose("explain", overrides=["run=a", *literal([f"text={value}"], LITERAL)]).text == value


def test_hydra_takes_any_signs_as_they_stand():
    draw = random.Random(0)
    with initialize_config_module("conf", version_base="1.3"):
        for _ in range(20):
            typed = {key: "".join(draw.choices("\\'\"${}[](),:= a.é", k=draw.randint(1, 9))) for key in LITERAL}
            config = compose(
                "explain", overrides=["run=a", *literal([f"{key}={value}" for key, value in typed.items()], LITERAL)]
            )
            assert {key: config[key] for key in LITERAL} == typed


def test_null_and_other_arguments_stay_as_they_are():
    arguments = ["run=a b", "text=null", "--help", "text", "trust=[a]"]
    assert literal(arguments, LITERAL) == arguments


@pytest.mark.parametrize("arguments", [[], ["text=a", "file=b.csv"]])
def test_either_a_text_or_a_file_is_explained(run, arguments):
    with pytest.raises(SystemExit, match="give either a text"):
        asked(f"run={run}", *arguments)


# What is shown --------------------------------------------------------------------------------------------------------

RECORD = {
    "words": ["a", "[b]", "c", "d"],
    "selected": [[1, 3]],
    "prediction": "bad",
    "probabilities": {"bad": 0.75, "good": 0.25},
}


def test_on_a_terminal_the_rationale_has_a_style_and_elsewhere_brackets():
    shown = {}
    for terminal in (True, False):
        color = "standard" if terminal else None
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80, color_system=color, legacy_windows=False)
        show(RECORD, console)
        shown[terminal] = console.file.getvalue()
    assert shown[True] == "bad 0.750, 2 of 4 selected\na \x1b[1;7m[b] c\x1b[0m d\n"
    assert shown[False] == "bad 0.750, 2 of 4 selected\na [[b] c] d\n"


def test_long_texts_stay_on_their_line_where_a_program_reads():
    console = Console(file=io.StringIO(), width=20)
    show({**RECORD, "words": ["word"] * 30, "selected": []}, console)
    assert console.file.getvalue().splitlines()[1] == " ".join(["word"] * 30)


def test_numbers_are_shown_in_their_unit():
    record = {**RECORD, "prediction": None, "probabilities": {}, "values": {"o2": 451.23, "n2": -1.0}, "unit": "Barrer"}
    assert prediction(record) == "o2 451.2 Barrer, n2 -1 Barrer, 2 of 4 selected"
    assert prediction({**record, "unit": ""}) == "o2 451.2, n2 -1, 2 of 4 selected"


# Files ----------------------------------------------------------------------------------------------------------------


def written(path, table):
    """The table as a file of the kind that its name says."""
    if path.suffix == ".jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in table.to_dict("records")), "utf-8")
    elif path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep={".csv": ",", ".tsv": "\t"}[path.suffix])
    return path


def opened(path):
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_dict("records")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found = pd.read_csv(path, sep={".csv": ",", ".tsv": "\t"}[path.suffix], keep_default_na=False)
    return found.assign(rationale=found["rationale"].map(json.loads)).to_dict("records")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_column_of_a_file_is_explained_beside_the_others(run, tmp_path, capsys, suffix):
    table = pd.DataFrame({"review": TEXTS, "year": range(5)})
    file, out = written(tmp_path / f"in put,.{suffix}", table), tmp_path / f"out.{suffix}"
    asked(f"run={run}", f"file={file}", "column=review", f"out={out}", "batch_size=2")
    assert capsys.readouterr().out == f"explained: {out}\n"
    rows, expected = opened(out), load_rationalizer(run)(TEXTS)
    assert list(rows[0]) == ["review", "year", "prediction", "probability", "rationale", "selected"]
    assert [row["review"] for row in rows] == TEXTS
    assert [row["year"] for row in rows] == list(range(5))
    assert [row["prediction"] for row in rows] == [found.prediction for found in expected]
    assert [tuple(row["rationale"]) for row in rows] == [found.rationale for found in expected]
    assert [row["probability"] for row in rows] == pytest.approx([found.probability for found in expected], abs=1e-5)
    assert [row["selected"] for row in rows] == pytest.approx([found.share for found in expected])


def test_with_neither_file_nor_page_everything_is_printed(run, tmp_path, capsys):
    asked(f"run={run}", f"file={written(tmp_path / 'in.csv', pd.DataFrame({'text': TEXTS}))}")
    assert len(capsys.readouterr().out.splitlines()) == 2 * len(TEXTS)


def test_a_text_can_be_written_too(run, tmp_path):
    asked(f"run={run}", "text=dull, bleak", f"out={tmp_path / 'out.jsonl'}")
    ((row),) = opened(tmp_path / "out.jsonl")
    assert (row["text"], row["prediction"]) == ("dull, bleak", "bad")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "in.csv",
            'n,text\n1,"fine\nfilm"\n\n2,  \n3,bright\n',
            r"in\.csv:5: input 1 \('text-1'\) has no words; .*; correct or remove it",
        ),
        ("in.csv", "text,n\nfine,1\n,2\n", r"in\.csv:3: input 1 "),
        ("in.tsv", "n\ttext\n1\tfine, or\n2\t\n", r"in\.tsv:3: input 1 "),
        ("in.jsonl", '{"text": "fine"}\n\n{"text": ""}\n', r"in\.jsonl:3: input 1 "),
        ("in.jsonl", '{"text": "fine"}\n{"text": 3}\n', r"in\.jsonl:2: input 1 must be a string or a Document, got int"),
        ("in.jsonl", '{"text": "fine"}\n{"n": 3}\n', r"in\.jsonl:2: input 1 must be a string"),
        ("in.jsonl", '{"text": "fine"}\n[1]\n', r"in\.jsonl:2: expected one JSON object"),
        ("in.csv", 'text\n"fine\n', r"in\.csv: .*EOF inside string"),
        ("in.csv", "a,text\n1,fine\n1,2,3\n", r"in\.csv: .*line 3"),
        ("in.csv", "", r"in\.csv: No columns"),
        ("in.csv", "text\n", "there is nothing to explain"),
        ("in.csv", "a,b\n1,2\n", r"in\.csv has no column 'text', only a, b; name one: column="),
        ("in.txt", "fine", r"file=.*in\.txt: expected a name that ends in \.csv, \.tsv, \.jsonl, \.parquet"),
        ("in.csv", None, r"in\.csv"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line_before_anything_is_explained(run, tmp_path, monkeypatch, name, text, message):
    monkeypatch.setattr(Trained, "stream", lambda *_, **__: pytest.fail("something was explained"))
    if text is not None:
        (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(SystemExit, match=message) as caught:
        asked(f"run={run}", f"file={tmp_path / name}", f"out={tmp_path / 'out.csv'}")
    assert str(tmp_path / name) in str(caught.value) or "nothing" in message
    assert not (tmp_path / "out.csv").exists()


def test_a_file_of_another_alphabet_than_utf_8_is_named(run, tmp_path):
    (tmp_path / "in.csv").write_bytes("text\nfiné\n".encode("latin-1"))
    with pytest.raises(SystemExit, match=rf"{tmp_path}/in\.csv: 'utf-8' codec can't decode"):
        asked(f"run={run}", f"file={tmp_path / 'in.csv'}")


def test_a_column_that_explanations_have_is_not_overwritten(run, tmp_path):
    file = written(tmp_path / "in.csv", pd.DataFrame({"text": TEXTS, "prediction": "mine"}))
    with pytest.raises(SystemExit, match="has a column prediction, as the explanations have; rename it"):
        asked(f"run={run}", f"file={file}", f"out={tmp_path / 'out.csv'}")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("out=nowhere/out.csv", "out=nowhere/out.csv: there is no folder nowhere"),
        ("page=nowhere/p.html", "page=nowhere"),
        ("out=out.xls", "out=out.xls: expected a name that ends in"),
    ],
)
def test_where_it_writes_is_looked_at_first(run, tmp_path, monkeypatch, argument, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        asked("run=nowhere", "text=fine", argument)


# Pages ----------------------------------------------------------------------------------------------------------------


def test_a_page_shows_the_first_of_them(run, tmp_path, capsys):
    file = written(tmp_path / "in.csv", pd.DataFrame({"text": [*TEXTS, "a <b>bold</b> film"]}))
    asked(f"run={run}", f"file={file}", f"page={tmp_path / 'page.html'}", "examples=2", f"out={tmp_path / 'out.csv'}")
    assert capsys.readouterr().out == f"explained: {tmp_path / 'out.csv'}\npage: {tmp_path / 'page.html'}\n"
    page = check_page((tmp_path / "page.html").read_text("utf-8"))
    assert page.tags.count("article") == 2
    assert "2 of 6 inputs" in page.text
    assert f"{file}:2" in page.text
    assert "Explained by rnp-tiny" in page.text


def test_what_an_input_says_is_no_markup(run, tmp_path):
    asked(f"run={run}", "text=a <b>bold</b> film", f"page={tmp_path / 'page.html'}")
    assert "b" not in [tag for tag in check_page((tmp_path / "page.html").read_text("utf-8")).tags if tag == "bold"]
    assert "<b>bold" not in (tmp_path / "page.html").read_text("utf-8")


def test_molecules_are_drawn(molecules, tmp_path, capsys):
    file = written(tmp_path / "in.csv", pd.DataFrame({"smiles": ["CC(=O)N", "c1ccccc1O", "CCO", "CCO"]}))
    out, page = tmp_path / "out.csv", tmp_path / "page.html"
    asked(f"run={molecules}", f"file={file}", "column=smiles", f"out={out}", f"page={page}")
    shown = check_page(page.read_text("utf-8"))
    assert shown.tags.count("svg") == 4
    ids = [value for name, value in shown.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert list(opened(out)[0]) == ["smiles", "o2", "rationale", "selected"]
    capsys.readouterr()
    asked(f"run={molecules}", "text=CC(=O)N")
    said, atoms = capsys.readouterr().out.splitlines()
    value = load_rationalizer(molecules).predict(["CC(=O)N"])[0, 0]
    assert said == f"o2 {value:.4g} Barrer, 4 of 4 selected"
    assert atoms == "[C] [C] [O] [N]"


def test_a_string_that_is_no_molecule_is_named_by_its_line(molecules, tmp_path):
    file = written(tmp_path / "in.csv", pd.DataFrame({"smiles": ["CCO", "C(C"]}))
    with pytest.raises(SystemExit, match=r"in\.csv:3: input 1: 'C\(C' is not a molecule"):
        asked(f"run={molecules}", f"file={file}", "column=smiles")


# Runs -----------------------------------------------------------------------------------------------------------------


def test_a_run_may_lie_on_the_hub(run, monkeypatch, capsys):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **_: str(run) if name == "me/name" else None)
    asked("run=hub:me/name", "text=bright")
    assert capsys.readouterr().out.startswith("good ")


def test_nothing_heavy_is_imported_for_help():
    code = "import sys, experiments.explain; print(sorted({'torch', 'pandas', 'rationalizers'} & set(sys.modules)))"
    assert fresh_process(["-c", code], cwd=Path(sys.prefix)).stdout == "[]\n"
