"""Opening a run folder: the same numbers in a fresh process, raw input in, and nothing in a hostile folder runs."""

import json
import pickle
import shutil

import captum.attr
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from rationalizers import training
from rationalizers.attribution import IntegratedGradients
from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.data.document import Document
from rationalizers.data.words import WordFeaturizer
from rationalizers.load import Trained, load_rationalizer
from rationalizers.training import train
from tests.methods.test_sequential import CONFIG as SEQUENTIAL
from tests.tiny import TinyCorpus, finished_run, fresh_process, run_config

TEXTS = [
    "A superb story.",
    "the film , dull and bleak .",
    "Who walk home and talk about the fine people ?",
    "bright",
    "unheard words",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run; nobody may change it."""
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def trained(folder):
    return load_rationalizer(folder)


@pytest.fixture
def altered(folder, tmp_path):
    """A copy of the run to do harm to."""
    return shutil.copytree(folder, tmp_path / "altered")


def edit(folder, **entries):
    """Change entries of ``config.yaml``; ``model.x`` reaches below."""
    file = folder / "config.yaml"
    config = yaml.safe_load(file.read_text("utf-8"))
    for name, value in entries.items():
        *path, last = name.split("__")
        place = config
        for step in path:
            place = place[step]
        place[last] = value
    file.write_text(yaml.safe_dump(config), "utf-8")


# As an estimator ------------------------------------------------------------------------------------------------------


def test_it_predicts_as_estimators_do(trained):
    explained = trained(TEXTS)
    probabilities = trained.predict_proba(TEXTS, batch_size=2)
    assert probabilities.shape == (5, len(trained.classes))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    for row, found in zip(probabilities, explained, strict=True):
        np.testing.assert_allclose(row, [found.probabilities[name] for name in trained.classes], atol=1e-6)
    assert trained.predict(TEXTS).tolist() == [found.prediction for found in explained]
    assert [found.mask for found in trained.explain(TEXTS, batch_size=2)] == [found.mask for found in explained]
    assert trained.predict_proba([]).shape == (0, len(trained.classes))
    assert trained.predict([]).tolist() == trained.explain([]) == []


def test_a_column_of_a_frame_is_explained_and_keeps_its_index(trained):
    data = pd.DataFrame({"text": TEXTS, "year": range(5)}, index=list("vwxyz"))
    found = trained.frame(data, "text", batch_size=2, progress=False)
    explained = trained(TEXTS)
    assert found.index.equals(data.index)
    assert list(found.columns) == ["prediction", "probability", "rationale", "selected"]
    assert found["prediction"].tolist() == [each.prediction for each in explained]
    assert found["rationale"].tolist() == [each.rationale for each in explained]
    assert found["selected"].tolist() == [sum(each.mask) / len(each.mask) for each in explained]
    assert list(data.columns) == ["text", "year"]
    with pytest.raises(KeyError, match="there is no column 'texts' in this DataFrame, only text, year"):
        trained.frame(data, "texts")


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "explain"])
def test_one_text_is_not_a_sequence_of_its_letters(trained, ask):
    with pytest.raises(TypeError, match="must be a sequence of inputs, got the string 'bright'; give a list of one"):
        getattr(trained, ask)("bright")


@pytest.mark.parametrize(
    "held",
    [
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, index=[4, 3, 2, 1, 0]),
        pd.Series(TEXTS, index=list("vwxyz")),
        pd.Series(TEXTS, index=[0.5, 1.5, 2.5, 3.5, 4.5], dtype="string"),
        dict.fromkeys(TEXTS).keys(),
    ],
    ids=lambda held: f"{type(held).__name__}-{getattr(held, 'dtype', '')}",
)
def test_it_does_not_matter_what_holds_the_texts(trained, held):
    expected = [found.record() for found in trained(TEXTS)]
    for asked in (trained, trained.explain, trained.stream):
        assert [found.record() for found in asked(held, batch_size=2)] == expected
    assert trained.predict(held, batch_size=2).tolist() == trained.predict(TEXTS).tolist()
    np.testing.assert_allclose(trained.predict_proba(held, batch_size=2), trained.predict_proba(TEXTS), atol=1e-6)


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "explain", "__call__"])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (pd.DataFrame({"text": TEXTS}), "got DataFrame; give a column of it, or call 'frame'"),
        ({"text": TEXTS}, "got dict; give a column of it"),
        (Document("mine", ("a",)), "got Document; give a list of one"),
        (7, "got int; give a list of one"),
    ],
)
def test_what_is_no_sequence_of_inputs_is_refused(trained, ask, inputs, message):
    with pytest.raises(TypeError, match=message):
        getattr(trained, ask)(inputs)


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_has_at_least_one_input(trained, batch_size):
    for ask in (trained, trained.predict, trained.predict_proba, trained.explain):
        with pytest.raises(ValueError, match=f"'batch_size' must be at least 1, got {batch_size}"):
            ask(TEXTS, batch_size=batch_size)


def test_of_no_texts_there_is_a_frame_without_rows(trained):
    found = trained.frame(pd.DataFrame({"text": []}), "text", progress=False)
    assert list(found.columns) == list(trained.frame(pd.DataFrame({"text": TEXTS}), "text", progress=False).columns)
    assert len(found) == 0


def test_explanations_come_as_they_are_made(trained, monkeypatch):
    monkeypatch.setattr(trained, "featurizer", Counting(trained.featurizer))
    stream = trained.stream(TEXTS, batch_size=2)
    assert next(stream).tokens == ("A", "superb", "story", ".")
    assert trained.featurizer.batches == 1


class Counting:
    """A featurizer that counts its batches."""

    def __init__(self, featurizer):
        self.of, self.batches = featurizer, 0

    def batch(self, inputs, *, first):
        self.batches += 1
        return self.of.batch(inputs, first=first)

    def explain(self, *arguments):
        return self.of.explain(*arguments)


def test_a_model_of_language_is_an_estimator_too():
    featurizer = WordFeaturizer(min_count=1)
    featurizer.fit([Document("d", ("bad", "good", "a", "dull", "bright", "film"))])
    rows = {word: row for row, word in enumerate(featurizer.vocabulary)}
    config = {
        **SEQUENTIAL,
        "task": {"_target_": "rationalizers.task.Classification", "labels": ["bad", "good"]},
        "encoder": {**SEQUENTIAL["encoder"], **featurizer.facts()},
        "answers": [rows["bad"], rows["good"]],
        "separator_id": rows["<sep>"],
    }
    model = Trained(build(config, Rationalizer), featurizer, {"name": "sequential"})
    texts = pd.Series(["a dull film", "bright", "a bright bright film", "film"], index=list("wxyz"))
    explained = model(texts, batch_size=3)
    assert model.predict(texts).tolist() == [found.prediction for found in explained]
    np.testing.assert_allclose(
        model.predict_proba(texts, batch_size=3).max(1), [found.probability for found in explained], atol=1e-6
    )
    found = model.frame(texts.to_frame("text"), "text", batch_size=2, progress=False)
    assert found["rationale"].tolist() == [each.rationale for each in explained]
    assert list(found.index) == list("wxyz")
    assert [len(each.targets) for each in explained] == [2, 0, 3, 0]
    assert model([]) == []
    with pytest.raises(ValueError, match="no words"):
        model(["film", ""])


def test_captum_gets_what_we_attribute_ourselves(trained):
    f = trained.captum(pd.Series(TEXTS, index=list("vwxyz")))
    target = f(f.embeddings).argmax(1)
    found = captum.attr.IntegratedGradients(f).attribute(f.embeddings, baselines=f.baselines, target=target, n_steps=32).sum(-1)
    ours = IntegratedGradients(share=0.5, steps=32)(trained.model, trained.featurizer.batch(TEXTS)).scores
    torch.testing.assert_close(found[f.here], ours, atol=1e-5, rtol=0, check_dtype=False)
    assert [int(each) for each in f.here.sum(1)] == [len(each.tokens) for each in trained(TEXTS)]
    with pytest.raises(ValueError, match="at least one input"):
        trained.captum([])


def test_an_input_without_units_is_named_by_its_place(trained):
    data = pd.DataFrame({"text": [*TEXTS, "  "]})
    with pytest.raises(ValueError, match="5"):
        trained.frame(data, "text", batch_size=4, progress=False)


# A good folder --------------------------------------------------------------------------------------------------------

FRESH = """
import json, sys
import torch
from rationalizers import load_rationalizer

torch.set_num_threads(1)
said = {}
trained = load_rationalizer(sys.argv[1])
batch = trained.featurizer.batch(json.loads(sys.argv[2]))
with torch.no_grad():
    output = trained.model(batch)
said["logits"], said["scores"] = output.logits.tolist(), output.rationale.scores.tolist()
said["records"] = [found.record() for found in trained(json.loads(sys.argv[2]))]
said["modules"] = sorted({"hydra", "tests", "rationalizers.data.module", "rationalizers.training"} & set(sys.modules))
try:
    load_rationalizer(sys.argv[3])
except ValueError as error:
    said["refused"] = str(error)
print(json.dumps(said))
"""


@pytest.mark.slow
def test_a_fresh_process_computes_the_same_bits_without_hydra_and_without_what_lies_beside_it(folder, altered, tmp_path):
    # The working directory holds a package with one of our names, and the second folder asks for it.
    here, proof = tmp_path / "here", tmp_path / "ran"
    (here / "graph").mkdir(parents=True)
    (here / "graph" / "__init__.py").write_text(f"open({str(proof)!r}, 'w')\n")
    edit(altered, model___target_="graph.Evil")
    done = fresh_process(["-c", FRESH, str(folder), json.dumps(TEXTS), str(altered)], cwd=here)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    ours = load_rationalizer(folder)
    with torch.no_grad():
        output = ours.model(ours.featurizer.batch(TEXTS))
    assert torch.tensor(said["logits"]).equal(output.logits)
    assert torch.tensor(said["scores"]).equal(output.rationale.scores)
    assert said["records"] == [found.record() for found in ours(TEXTS)]
    assert said["modules"] == []
    assert said["refused"].startswith(f"package 'graph' resolves to {here / 'graph'}")
    assert not proof.exists()


def test_saved_and_loaded_it_is_the_model_that_was_trained(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(training, "write_report", lambda _: None)
    finish = training._finish
    monkeypatch.setattr(training, "_finish", lambda model, *rest: (finish(model, *rest), kept.append(model)))
    ours = load_rationalizer(train(run_config(tmp_path / "run", max_epochs=1))).model
    (theirs,) = kept
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(value.equal(theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_it_arrives_ready_to_predict(trained):
    assert isinstance(trained, Trained)
    assert not any(module.training for module in trained.model.modules())
    assert trained.config["name"] == "rnp-tiny"
    assert repr(trained) == "Trained(rnp-tiny: RNP, bad, good)"


def test_a_path_may_be_text(folder):
    assert load_rationalizer(str(folder)).config["seed"] == 0


def test_the_data_are_not_needed(folder, altered):
    # The corpus of the run is not trusted here, and need not be.
    assert "tests" in (altered / "config.yaml").read_text()
    edit(altered, data={"_target_": "gone.Corpus"})
    assert load_rationalizer(altered)("bright").prediction == load_rationalizer(folder)("bright").prediction


def test_reports_and_checkpoints_are_not_needed(altered):
    for name in ("last.ckpt", "metrics.json", "metrics.jsonl", "rationales.jsonl", "timing.json"):
        (altered / name).unlink()
    assert load_rationalizer(altered)("bright").tokens == ("bright",)


def test_opening_and_asking_change_nothing(folder):
    before = {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in folder.rglob("*")}
    load_rationalizer(folder)(TEXTS)
    assert {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in folder.rglob("*")} == before


# Raw input ------------------------------------------------------------------------------------------------------------


def test_a_text_gets_one_explanation(trained):
    found = trained("The film is superb, not dull.")
    assert found.tokens == ("The", "film", "is", "superb", ",", "not", "dull", ".")
    assert len(found.mask) == len(found.scores) == 8
    assert all(isinstance(each, bool) for each in found.mask)
    assert found.rationale == tuple(token for token, chosen in zip(found.tokens, found.mask, strict=True) if chosen)
    assert found.mask == tuple(score > 0 for score in found.scores)
    assert found.prediction in ("bad", "good")
    assert found.probability == max(found.probabilities.values())
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert (found.label, found.evidence, found.query) == (None, None, ())


def test_it_says_what_it_learnt(trained):
    found = trained("the film , superb and fine .")
    assert found.prediction == "good"
    assert set(found.rationale) == {"superb", "fine"}


def test_an_explanation_shows_itself(trained):
    found = trained("a superb <film>")
    html = found._repr_html_()
    assert "superb" in html
    assert "<film>" not in html
    frame = found.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["token"]) == ["a", "superb", "<", "film", ">"]
    assert list(frame["selected"]) == list(found.mask)


def test_a_list_gets_a_list_in_its_order(trained):
    found = trained(TEXTS)
    assert [" ".join(each.tokens)[:4] for each in found] == ["A su", "the ", "Who ", "brig", "unhe"]
    assert trained([TEXTS[0]])[0].record() == trained(TEXTS[0]).record()
    assert trained([]) == []


@pytest.mark.parametrize("batch_size", [1, 2, 5, 99])
def test_the_batch_size_does_not_matter(trained, batch_size):
    ours, theirs = trained(TEXTS, batch_size=batch_size), trained(TEXTS)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.tokens, one.mask) == (other.tokens, other.mask)
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
        assert dict(one.probabilities) == pytest.approx(dict(other.probabilities), abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 99])
def test_every_explanation_has_the_name_of_its_own_input(trained, batch_size):
    names = [found.id for found in trained(TEXTS, batch_size=batch_size)]
    assert names == [f"text-{place}" for place in range(5)]


def test_documents_keep_name_query_and_evidence(trained):
    document = Document("mine", ("a", "dull", "end"), spans=((1, 2, 0),), query=("was", "it", "good"))
    (found,) = trained([document])
    assert (found.id, found.tokens, found.query, found.evidence) == ("mine", document.words, document.query, ((1, 2, 0),))


def test_asking_twice_gives_the_same_answer(trained):
    assert [found.record() for found in trained(TEXTS)] == [found.record() for found in trained(TEXTS)]


def test_no_gradient_is_kept(trained):
    trained(TEXTS)
    assert all(parameter.grad is None for parameter in trained.model.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ("", ValueError, r"input 0 \('text-0'\) has no words"),
        (["fine", "  "], ValueError, r"input 1 \('text-1'\) has no words"),
        ([3], TypeError, "input 0 must be a string or a Document, got int"),
    ],
)
def test_bad_input_is_named(trained, inputs, error, message):
    with pytest.raises(error, match=message):
        trained(inputs)


def test_bad_input_is_named_by_its_place_among_all_inputs(trained):
    with pytest.raises(ValueError, match="input 3 "):
        trained(["fine", "fine", "fine", ""], batch_size=2)


def test_the_test_split_can_be_explained_again(trained, folder):
    rows = [json.loads(line) for line in (folder / "rationales.jsonl").read_text("utf-8").splitlines()]
    found = trained(TinyCorpus().load().splits["test"], batch_size=5)
    assert [each.record()["selected"] for each in found] == [row["selected"] for row in rows]
    assert [each.prediction for each in found] == [row["prediction"] for row in rows]


# Incomplete folders ---------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere is not a run folder: it has no config\.yaml"):
        load_rationalizer(tmp_path / "nowhere")


@pytest.mark.parametrize("asked", ["run", "run.partial"])
def test_an_unfinished_run_says_how_to_finish_it(folder, tmp_path, asked):
    shutil.copytree(folder, tmp_path / "run.partial")
    with pytest.raises(FileNotFoundError, match="is not finished; start its training command again, it resumes"):
        load_rationalizer(tmp_path / asked)


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors", "assets/vocabulary.json"])
def test_a_missing_file_is_named(altered, name):
    (altered / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.rpartition("/")[2]):
        load_rationalizer(altered)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "weights.pkl", "model.pth"])
def test_weights_that_may_hold_objects_are_not_opened(altered, name):
    (altered / "model.safetensors").unlink()
    (altered / "last.ckpt").unlink()
    (altered / name).write_bytes(pickle.dumps(Bomb(altered / "ran")))
    with pytest.raises(FileNotFoundError, match=f"has no model.safetensors; {name} may hold pickled objects and is not opened"):
        load_rationalizer(altered)
    assert not (altered / "ran").exists()


@pytest.mark.parametrize(
    ("section", "message"),
    [("model", "expected a mapping with a '_target_'"), ("featurizer", "expected a mapping with a '_target_'")],
)
@pytest.mark.parametrize("value", [None, {}, {"share": 0.2}, [], "rationalizers.methods.full.Full"])
def test_a_section_that_describes_nothing_is_refused(altered, section, message, value):
    edit(altered, **{section: value})
    with pytest.raises((TypeError, ValueError), match=message):
        load_rationalizer(altered)


# Weights that do not fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "detail"),
    [
        ({"model__encoder__hidden": 32}, "size mismatch"),
        ({"model__encoder__embedding": 5}, "size mismatch"),
        ({"model__encoder__layers": 2}, "Missing key"),
        ({"model___target_": "rationalizers.methods.fr.FR"}, "Unexpected key"),
        ({"model__task__labels": ["a", "b", "c"]}, "size mismatch"),
    ],
)
def test_weights_of_another_model_are_refused_with_both_files(altered, entries, detail):
    edit(altered, **entries)
    with pytest.raises(
        ValueError, match=f"(?s)model.safetensors does not fit the model that .*config.yaml describes: .*{detail}"
    ):
        load_rationalizer(altered)


@pytest.mark.parametrize("change", [lambda words: words[:-1], lambda words: [*words, "more"]], ids=["shorter", "longer"])
def test_a_vocabulary_of_another_model_is_refused(altered, change):
    # A shorter one would silently read words as unknown, a longer one fail at the first word beyond the table.
    file = altered / "assets" / "vocabulary.json"
    file.write_text(json.dumps(change(json.loads(file.read_text("utf-8")))), "utf-8")
    with pytest.raises(ValueError, match="vocabulary"):
        load_rationalizer(altered)


@pytest.mark.parametrize("size", [0, 5, 200])
def test_weights_that_were_cut_off_are_refused(altered, size):
    weights = altered / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file"):
        load_rationalizer(altered)


# Hostile folders ------------------------------------------------------------------------------------------------------


class Bomb:
    """Unpickling one makes a file."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return (open, (str(self.proof), "w"))


def test_a_bomb_explodes_when_it_is_unpickled(tmp_path):
    # Otherwise the tests with one prove nothing.
    pickle.loads(pickle.dumps(Bomb(tmp_path / "ran"))).close()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("writer", [pickle.dump, torch.save])
def test_a_pickle_called_safetensors_is_not_opened(altered, tmp_path, writer):
    proof = tmp_path / "ran"
    with (altered / "model.safetensors").open("wb") as file:
        writer({"weight": Bomb(proof)}, file)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file \(.*\); nothing in it was executed"):
        load_rationalizer(altered)
    assert not proof.exists()


def test_a_hostile_checkpoint_beside_the_weights_is_not_opened(altered, tmp_path):
    proof = tmp_path / "ran"
    for name in ("last.ckpt", "model.pt", "assets/vocabulary.pkl"):
        (altered / name).write_bytes(pickle.dumps(Bomb(proof)))
    assert load_rationalizer(altered)("bright").tokens == ("bright",)
    assert not proof.exists()


@pytest.mark.parametrize("place", ["model", "featurizer", "model__encoder", "model__selector"])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os.system", "lies outside the packages rationalizers, graph"),
        ("rationalizers.x.os.system", "there is no module"),
        ("rationalizers.run.os.system", "there is no module"),
        ("rationalizers.run.os", "is not a subclass"),
        ("rationalizers.training.train", "is not a subclass"),
        ("rationalizers.run.Path", "is not a subclass"),
        ("tests.tiny.TinyCorpus", "lies outside the packages"),
    ],
)
def test_a_target_that_is_not_ours_is_refused(altered, tmp_path, place, target, message):
    proof = tmp_path / "ran"
    edit(altered, **{place: {"_target_": target, "command": f"touch {proof}"}})
    with pytest.raises(ValueError, match=message) as caught:
        load_rationalizer(altered)
    assert repr(target) in str(caught.value)
    assert not proof.exists()


def test_trust_that_the_folder_claims_for_itself_does_not_count(altered):
    edit(altered, trust=["os", "tests", "posix"], model___target_="os.system")
    with pytest.raises(ValueError, match=r"'os\.system' lies outside the packages rationalizers, graph;"):
        load_rationalizer(altered)


def test_trusting_a_package_does_not_lift_the_other_checks(altered, tmp_path):
    proof = tmp_path / "ran"
    edit(altered, model={"_target_": "subprocess.Popen", "args": ["touch", str(proof)]})
    with pytest.raises(ValueError, match=r"'subprocess\.Popen' is not a subclass of rationalizers\.base\.Rationalizer"):
        load_rationalizer(altered, trust=["subprocess"])
    assert not proof.exists()


def test_an_interpolation_is_not_resolved(altered, monkeypatch):
    monkeypatch.setenv("RATIONALIZERS_SECRET", "hush")
    edit(altered, name="${oc.env:RATIONALIZERS_SECRET}")
    with pytest.raises(ValueError, match=r"config\.yaml: name holds '\$\{oc\.env:RATIONALIZERS_SECRET\}'") as caught:
        load_rationalizer(altered)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {proof}']",
        "!!python/object/new:os.system ['touch {proof}']",
        "!!python/name:os.system",
    ],
)
def test_a_yaml_tag_is_not_executed(altered, tmp_path, tag):
    proof = tmp_path / "ran"
    with (altered / "config.yaml").open("a") as file:
        file.write(f"extra: {tag.format(proof=proof)}\n")
    with pytest.raises(ValueError, match=r"config\.yaml: not plain YAML"):
        load_rationalizer(altered)
    assert not proof.exists()


def test_a_vectors_file_that_the_run_names_is_not_read(altered):
    # Pretrained vectors are read before training, never when a model is opened.
    edit(altered, model__encoder__vectors="/etc/hostname")
    assert load_rationalizer(altered)("bright").tokens == ("bright",)
