"""Attacks by kind: what somebody else wrote (runs, weights, tables, predictions) runs nothing, breaks no page and eats no memory.

Every attack carries a canary, a file that would be there if it had worked, or asks for more than there is. More of the same
stands with what is attacked: `tests/test_build.py` (classes), `tests/test_load.py` (run folders), `tests/data/test_download.py`
(archives), `tests/graph/test_safety.py` (molecules).
"""

import base64
import gzip
import json
import os
import pickle
import re
import shutil
import struct
import time
from functools import partial

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from rationalizers.compatibility import Compatibility
from rationalizers.data.document import Document
from rationalizers.data.eraser import Eraser
from rationalizers.data.predictions import read_predictions
from rationalizers.discovery import discover
from rationalizers.encoders.states import NAME, StateCache
from rationalizers.evaluation.scoring import evaluate
from rationalizers.evaluation.store import read_evaluations
from rationalizers.interchange import from_inseq
from rationalizers.load import load_rationalizer
from rationalizers.parsing import LEVELS, VALUES, parse_yaml
from rationalizers.report import write_comparison, write_report
from rationalizers.report.compatibility import compatibility_page
from rationalizers.report.probe import probe_page
from rationalizers.report.result import read_result
from rationalizers.report.script import sorting
from rationalizers.report.sequence import sequence_html, sequence_page
from rationalizers.training import describe, train
from tests.data.eraser_folder import FULL, REVIEWS, make
from tests.report.page_check import DOWNLOADS, Page, check_page
from tests.report.run_folders import TEST, record, write_evaluation, write_run
from tests.tiny import finished_run, run_config

# No attack may take longer; a machine that is busy with other things needs some of it.
SECONDS = 60


@pytest.fixture(autouse=True)
def _soon():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that no test may leave behind; its name also lies in the environment."""
    file = tmp_path / "canary"
    monkeypatch.setenv("RATIONALIZERS_CANARY", f"the canary {file}")
    yield file
    assert not file.exists(), "code of the attack has run"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run; nobody may change it."""
    return finished_run(tmp_path_factory.mktemp("runs") / "run", max_epochs=1)


@pytest.fixture
def hostile(run, tmp_path):
    """A copy of it to do harm with."""
    return shutil.copytree(run, tmp_path / "hostile")


class Bomb:
    """Unpickling one runs a command of the shell that makes a file."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


def test_a_bomb_explodes_when_it_is_unpickled(tmp_path):
    # Otherwise the tests with one prove nothing.
    pickle.loads(pickle.dumps(Bomb(tmp_path / "proof")))
    assert (tmp_path / "proof").exists()


def put(folder, path, value):
    """Set an entry of ``config.yaml``; ``model.encoder.hidden`` reaches below."""
    file = folder / "config.yaml"
    config = yaml.safe_load(file.read_text("utf-8"))
    *steps, last = path.split(".")
    place = config
    for step in steps:
        place = place[step]
    place[last] = value
    file.write_text(yaml.safe_dump(config), "utf-8")


# Run folders: classes -------------------------------------------------------------------------------------------------

TARGETS = {
    "the shell": "os.system",
    "a process": "subprocess.Popen",
    "code as text": "builtins.eval",
    "a module that runs when it is imported": "antigravity.fly",
    "a walk over attributes": "rationalizers.build.os.system",
    "a walk over a module of ours": "rationalizers.run.os.system",
    "a function of ours": "rationalizers.training.train",
    "a class of ours that is no part of a model": "rationalizers.data.download.Resuming",
    "a standard class that a module of ours imports": "rationalizers.run.Path",
    "a package of a similar name": "rationalizers_extra.Encoder",
}


@pytest.mark.parametrize("place", ["featurizer", "model", "model.task", "model.encoder", "model.selector"])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_run_cannot_name_what_to_call(hostile, canary, place, target):
    put(hostile, place, {"_target_": target, "args": ["touch", str(canary)], "command": f"touch {canary}"})
    with pytest.raises(ValueError, match=re.escape(repr(target))):
        load_rationalizer(hostile)


@pytest.mark.parametrize("place", ["model.optimizer", "model.weights", "model.extra", "featurizer.extra"])
def test_a_target_deep_in_lists_is_never_built(hostile, canary, place):
    put(hostile, place, {"a": [[[{"_target_": "os.system", "command": f"touch {canary}"}]]]})
    if place == "model.weights":  # of the loss, which only training asks for
        assert load_rationalizer(hostile)("bright").tokens == ("bright",)
        return
    with pytest.raises(TypeError, match=r"rationalizers\."):
        load_rationalizer(hostile)


def test_a_run_cannot_vouch_for_a_package(hostile, canary, tmp_path, monkeypatch):
    installed = tmp_path / "installed" / "friends"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text(f"open({str(canary)!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(installed.parent))
    put(hostile, "trust", ["friends"])
    put(hostile, "model", {"_target_": "friends.Model", "trust": ["friends"]})
    with pytest.raises(ValueError, match=r"'friends\.Model' lies outside .* name the package: trust=\[friends\]"):
        load_rationalizer(hostile)


@pytest.mark.parametrize("ask", [lambda folder: evaluate(folder, tests=[]), lambda folder: discover(folder, min_run=1)])
def test_the_data_of_a_run_are_built_by_the_same_rules(hostile, canary, ask):
    put(hostile, "data", {"_target_": "subprocess.Popen", "args": ["touch", str(canary)]})
    with pytest.raises(ValueError, match=r"'subprocess\.Popen' lies outside the packages rationalizers, graph"):
        ask(hostile)


def test_an_augmentation_of_a_run_trusts_nobody_either(hostile, canary):
    nearest = {"_target_": "rationalizers.data.augmentation.NearestStates", "trust": ["friends"]}
    put(hostile, "data.corpus", {"_target_": "rationalizers.data.toy.ToyReviews", "train": 4, "val": 4, "test": 4})
    put(hostile, "data.augmentation", {"nearest": nearest})
    put(hostile, "data.order", "labelled_first")
    with pytest.raises(TypeError, match=r"NearestStates.*unexpected keyword argument 'trust'"):
        evaluate(hostile, split="train", tests=[])


# Run folders: what stands in their files ------------------------------------------------------------------------------


def laughs(levels):
    """YAML in which every line repeats the one before nine times."""
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


YAML = {
    "billion laughs": (laughs(10), rf"expected at most {VALUES:,} values"),
    "a hundred levels of laughs": (laughs(100), rf"expected at most {VALUES:,} values"),
    "a value within itself": ("x: &x [*x]\n", "a value contains itself"),
    "nested": ("x: " + "[" * 300 + "]" * 300 + "\n", rf"on {LEVELS} levels"),
    "nested beyond the stack": ("x: " + "[" * 5000 + "]" * 5000 + "\n", "nested too deeply"),
    "an object": ("x: !!python/object/apply:os.system ['touch {canary}']\n", "not plain YAML"),
    "an object by its state": ("x: !!python/object/new:os.system ['touch {canary}']\n", "not plain YAML"),
    "a module": ("x: !!python/module:antigravity\n", "not plain YAML"),
    "a variable of the environment": ("x: ${oc.env:RATIONALIZERS_CANARY}\n", r"x holds '\$\{oc\.env:RATIONALIZERS_CANARY\}'"),
    "a variable deep in lists": ("x: [[{y: '${oc.env:RATIONALIZERS_CANARY}'}]]\n", r"x\[0\]\[0\]\.y holds"),
    "code of a resolver": ("x: '${eval:1+1}'\n", "nothing is resolved"),
    "not UTF-8": ("x: \xff\n", "not plain YAML"),
    "null bytes": ("x: \0\n", "not plain YAML"),
    "too many bytes": ("# " + "x" * 2**22 + "\n", "expected a configuration of at most 4,194,304 bytes"),
    "two documents": ("---\nx: 1\n", "not plain YAML"),
}


@pytest.mark.parametrize(("text", "message"), YAML.values(), ids=YAML)
def test_a_configuration_is_plain_data_of_a_sensible_size(hostile, canary, text, message):
    file = hostile / "config.yaml"
    file.write_bytes(file.read_bytes() + text.replace("{canary}", str(canary)).encode("latin-1"))
    with pytest.raises(ValueError, match=rf"(?s)config\.yaml: .*{message}") as caught:
        load_rationalizer(hostile)
    assert "the canary" not in str(caught.value)


def test_aliases_that_repeat_little_are_read():
    assert parse_yaml(b"a: &a {x: 1}\nb: *a\n", "file") == {"a": {"x": 1}, "b": {"x": 1}}


@pytest.mark.parametrize("place", ["model.encoder.hidden", "model.encoder.embedding", "model.encoder.layers"])
@pytest.mark.parametrize("size", [10**5, 10**12, 10**18])
def test_a_model_larger_than_its_weights_is_not_made(hostile, place, size):
    put(hostile, place, size)
    with pytest.raises(ValueError, match=r"numbers are asked for; .*model\.safetensors holds [\d,]+, .*config\.yaml"):
        load_rationalizer(hostile)


@pytest.mark.parametrize("size", [float("nan"), float("inf"), -2, 0, "sixteen", None, [16], {"_target_": "os.system"}])
@pytest.mark.parametrize("place", ["model.encoder.hidden", "model.share"])
def test_a_size_that_is_none_is_refused(hostile, place, size):
    put(hostile, place, size)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        load_rationalizer(hostile)


WORDS = {
    "nested beyond the stack": (b"[" * 10**5, "nested too deeply"),
    "not UTF-8": (b'["\xff"]', "codec can't decode"),
    "null bytes": (b"\0" * 9, "expected a JSON list of words"),
    "a long number": (b"[" + b"9" * 5000 + b"]", "expected a JSON list of words"),
    "half a character": (b'["\\ud800"]', "surrogates not allowed"),
    "a pickle": (pickle.dumps(["<unk>"]), "codec can't decode"),
}


@pytest.mark.parametrize(("content", "message"), WORDS.values(), ids=WORDS)
def test_a_vocabulary_is_a_list_of_words(hostile, content, message):
    (hostile / "assets" / "vocabulary.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"vocabulary\.json.*{message}"):
        load_rationalizer(hostile)


@pytest.mark.parametrize("name", ["config.yaml", "assets/vocabulary.json", "model.safetensors"])
def test_a_link_out_of_the_folder_shows_nothing_of_what_is_there(hostile, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_text("root:hush:0:0\nname: [hush\n")
    (hostile / name).unlink()
    (hostile / name).symlink_to(secret)
    with pytest.raises(ValueError, match=name.rpartition("/")[2]) as caught:
        load_rationalizer(hostile)
    assert name == "config.yaml" or "hush" not in str(caught.value)


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "https://example.org/vectors"])
def test_a_run_does_not_name_files_to_read(hostile, path):
    # Vectors and pretrained weights are read before training, never when a model is opened.
    for name in ("vectors", "pretrained"):
        put(hostile, f"model.encoder.{name}", path if name == "vectors" else None)
    assert load_rationalizer(hostile)("bright").tokens == ("bright",)


# Weights and checkpoints ----------------------------------------------------------------------------------------------


def header(tensors, size=0):
    """A safetensors file that says what it likes."""
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * size


WEIGHTS = {
    "empty": b"",
    "a pickle": pickle.dumps(Bomb("canary")),
    "a header longer than the file": struct.pack("<Q", 2**62) + b"{}",
    "a header that is not JSON": struct.pack("<Q", 4) + b"\0\0\0\0",
    "a header nested beyond the stack": struct.pack("<Q", 10**5) + b"[" * 10**5,
    "a tensor beyond the end": header({"w": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
    "a tensor before the beginning": header({"w": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, 4),
    "two tensors in one place": header({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "vw"}, 4),
    "another size than shape": header({"w": {"dtype": "F32", "shape": [10**6], "data_offsets": [0, 4]}}, 4),
    "an object for a dtype": header({"w": {"dtype": "O", "shape": [1], "data_offsets": [0, 4]}}, 4),
}


@pytest.mark.parametrize("content", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_are_safetensors_or_nothing(hostile, canary, content):
    (hostile / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file .*; nothing in it was executed"):
        load_rationalizer(hostile)


CHANGES = {
    "one is missing": lambda held: held.popitem(),
    "one is more": lambda held: held.update(extra=torch.zeros(2)),
    "one has another shape": lambda held: held.update({next(iter(held)): torch.zeros(2, 3)}),
    "all are missing": lambda held: held.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_tensors_that_are_not_the_models_are_refused(hostile, change):
    held = load_file(hostile / "model.safetensors")
    change(held)
    save_file(held, hostile / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit the model that .*config\.yaml describes"):
        load_rationalizer(hostile)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "last.ckpt", "model.pt", "assets/vocabulary.pkl"])
def test_a_pickle_beside_the_weights_is_not_opened(hostile, canary, name):
    (hostile / name).write_bytes(pickle.dumps(Bomb(canary)))
    assert load_rationalizer(hostile)("bright").tokens == ("bright",)


@pytest.mark.parametrize("writer", [partial(pickle.dump, protocol=2), torch.save], ids=["pickle", "torch"])
def test_training_does_not_resume_a_checkpoint_that_holds_objects(tmp_path, canary, writer):
    config = run_config(tmp_path / "run")
    checkpoints = tmp_path / "run.partial" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (tmp_path / "run.partial" / "config.yaml").write_text(yaml.safe_dump(describe(config)))
    with (checkpoints / "last.ckpt").open("wb") as file:
        writer({"state_dict": Bomb(canary)}, file)
    with pytest.raises(ValueError, match=r"last\.ckpt is not a checkpoint of ours: .*nothing in it was executed"):
        train(config)


def test_states_of_an_encoder_are_tensors_or_made_again(tmp_path, canary, monkeypatch, caplog):
    monkeypatch.setenv("RATIONALIZERS_CACHE", str(tmp_path / "cache"))
    cache = StateCache("encoder", width=2)
    cache.write("key", torch.ones(3, 2))
    assert cache.read("key", 3).tolist() == [[1, 1]] * 3
    lie = header({NAME: {"dtype": "F16", "shape": [3, 10**12], "data_offsets": [0, 6 * 10**12]}})
    for content in (pickle.dumps({NAME: Bomb(canary)}), lie, b"\0" * 99):
        cache.path("key").write_bytes(content)
        assert cache.read("key", 3) is None
    assert caplog.text.count("its states are computed again") == 3


# ERASER's files -------------------------------------------------------------------------------------------------------


def eraser(root, lines, *, raw=None):
    """A data set of three reviews whose test split is ``lines``, read."""
    folder = make(root, lines=lines)
    (root / "secret").write_text("hush hush")
    if raw is not None:
        (folder / "test.jsonl").write_bytes(raw)
    return Eraser(name="movies", root=str(root), download=False).load().splits["test"]


def spanning(**changes):
    """A review whose evidence is changed."""
    (span,) = REVIEWS[0]["evidences"][0]
    return {**REVIEWS[0], "evidences": [[{**span, **changes}]]}


LINES = {
    "a document outside": ({**REVIEWS[0], "docids": ["../../../secret"]}, r"document '\.\./\.\./\.\./secret' is not in"),
    "a document by its path": ({**REVIEWS[0], "docids": ["/etc/passwd"]}, "document '/etc/passwd' is not in"),
    "an example named after a file outside": (
        {**REVIEWS[0], "annotation_id": "../../../secret", "evidences": []},
        r"document '\.\./\.\./\.\./secret' is not in",
    ),
    "evidence of an unknown document": (spanning(docid="r9"), "document 'r9' is not in"),
    "evidence of a document outside": (spanning(docid="../train.jsonl"), r"document '\.\./train\.jsonl' is not in"),
    "a huge span": (spanning(end_token=10**15), "should lie within the 9 tokens"),
    "a span far away": (spanning(start_token=10**30, end_token=10**31), "should lie within the 9 tokens"),
    "a negative span": (spanning(start_token=-3), "should lie within the 9 tokens"),
    "a reversed span": (spanning(start_token=9, end_token=7), "should lie within the 9 tokens"),
    "text for a place": (spanning(start_token="7"), "'start_token' should be int"),
    "a label that is none": ({**REVIEWS[0], "classification": ["POS"]}, r"label \['POS'\] is not one of NEG, POS"),
    "half a character": ({**REVIEWS[0], "annotation_id": "\ud800"}, "surrogates not allowed"),
}


@pytest.mark.parametrize(("line", "message"), LINES.values(), ids=LINES)
def test_a_line_reaches_nothing_outside_its_data_set(tmp_path, line, message):
    with pytest.raises(ValueError, match=rf"test\.jsonl:1: .*{message}") as caught:
        eraser(tmp_path, [line])
    assert "hush" not in str(caught.value)


RAW = {
    "no JSON": b"annotation_id: r1\n",
    "not UTF-8": b'{"annotation_id": "\xff"}\n',
    "null bytes": b"\0\0\0\n",
    "nested beyond the stack": b'{"a":' * 10**5 + b"\n",
    "a number of 5,000 digits": b'{"a": ' + b"9" * 5000 + b"}\n",
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_a_line_that_is_none_is_named(tmp_path, raw):
    with pytest.raises(ValueError, match=r"test\.jsonl:1: expected one JSON object, got '.{0,80}' \("):
        eraser(tmp_path, [], raw=raw)


def test_an_example_that_is_there_twice_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"test\.jsonl:2: annotation_id 'r1' was already at .*test\.jsonl:1"):
        eraser(tmp_path, [REVIEWS[0], REVIEWS[0]])


@pytest.mark.parametrize("name", ["../../etc", "/etc", "movies/../../x", "a b"])
def test_the_name_of_a_set_is_no_path_to_unpack_to(tmp_path, name):
    with pytest.raises(ValueError, match="'name' must"):
        Eraser(name=name, root=str(tmp_path), labels=["a"], download=True).load()
    assert list(tmp_path.iterdir()) == []


# What other tools predicted -------------------------------------------------------------------------------------------


def predicted(**changes):
    """A line of a prediction file whose first document is changed."""
    return {**FULL[0], "rationales": [{**FULL[0]["rationales"][0], **changes}]}


PREDICTIONS = {
    "text for a score": (predicted(soft_rationale_predictions=["<b>"] * 9), "should be a list of numbers, got '<b>'"),
    "a number too large": (predicted(soft_rationale_predictions=[10**400] * 9), "holds a number that is too large"),
    "not a number": (predicted(soft_rationale_predictions=[float("nan")] * 9), "should be finite, got nan"),
    "a probability too large": ({**FULL[0], "classification_scores": {"NEG": 10**400, "POS": 0}}, "a number that is too large"),
    "a threshold too large": (
        {**FULL[0], "thresholded_scores": [{**FULL[0]["thresholded_scores"][0], "threshold": 10**400}]},
        "large",
    ),
    "a reversed span": (predicted(hard_rationale_predictions=[{"start_token": 5, "end_token": 2}]), r"span \[5, 2\)"),
    "a negative span": (predicted(hard_rationale_predictions=[{"start_token": -1, "end_token": 2}]), r"span \[-1, 2\)"),
    "objects for documents": ({**FULL[0], "rationales": {"r1": []}}, "'rationales' should be list"),
}


@pytest.mark.parametrize(("line", "message"), PREDICTIONS.values(), ids=PREDICTIONS)
def test_a_prediction_is_checked_before_it_is_scored(tmp_path, line, message):
    file = tmp_path / "predictions.jsonl"
    file.write_text(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=rf"predictions\.jsonl:1: .*{message}"):
        read_predictions(file)


SEQUENCE = {
    "source": ["a", "b"],
    "target": ["c"],
    "attr_pos_start": 0,
    "attr_pos_end": 1,
    "source_attributions": [[1.0], [2.0]],
    "target_attributions": None,
}


def packed(content, **changes):
    return {
        "__ndarray__": f"b64.gz:{base64.b64encode(gzip.compress(content)).decode()}",
        "dtype": "float32",
        "shape": [2, 1],
        **changes,
    }


ATTRIBUTIONS = {
    "a class to look up": ({"__instance_type__": ["os", "system"], "attributes": {"command": "touch canary"}}, "should have"),
    "objects for numbers": (packed(b"\0" * 16, dtype="object"), "is no number"),
    "a structured dtype": (packed(b"\0" * 16, dtype={"names": ["a"], "formats": ["O"]}), "is no number"),
    "a huge shape": ({"__ndarray__": [1], "dtype": "float32", "shape": [10**15]}, "cannot reshape"),
    "a hundred megabytes in a hundred kilobytes": (packed(b"\0" * 10**8), "cannot reshape"),
    "garbage for safetensors": (base64.b64encode(b"\xff" * 99).decode(), "deserializing"),
    "a pickle for safetensors": (base64.b64encode(pickle.dumps(Bomb("canary"))).decode(), "deserializing"),
}


@pytest.mark.parametrize(("given", "message"), ATTRIBUTIONS.values(), ids=ATTRIBUTIONS)
def test_what_inseq_saved_is_numbers(tmp_path, canary, given, message):
    whole = given if "__instance_type__" in given else {"sequence_attributions": [{**SEQUENCE, "source_attributions": given}]}
    file = tmp_path / "out.json"
    file.write_text(json.dumps(whole))
    with pytest.raises(ValueError, match=message):
        from_inseq(file, share=0.5)


@pytest.mark.parametrize("place", ["0", -5, 1.5, None])
def test_a_place_that_is_none_is_named(place):
    with pytest.raises(ValueError, match="sequence 0: 'attr_pos_start' should be a place in the target"):
        from_inseq({"sequence_attributions": [{**SEQUENCE, "attr_pos_start": place}]}, share=0.5)


def test_a_file_nested_beyond_the_stack_is_named(tmp_path):
    file = tmp_path / "out.json"
    file.write_bytes(b"[" * 10**5)
    with pytest.raises(ValueError, match=r"out\.json: expected JSON as inseq saves it, got values are nested too deeply"):
        from_inseq(file, share=0.5)


# Pages ----------------------------------------------------------------------------------------------------------------

TEXTS = {
    "a script": "<script>alert(1)</script>",
    "an attribute": '"><img src=x onerror=alert(1)>',
    "another attribute": "' onmouseover='alert(1)",
    "an address": "javascript:alert(1)",
    "the end of a style": "</style></title><script>alert(1)</script>",
    "a comment": "<!-- --!><svg/onload=alert(1)>",
    "a template": "{{ 7 * 7 }}{% for x in y %}",
    "formulas": "$\\input{x}$ =1+1",
    "the other way round": "\u202etxt.exe\u202c",
    "control characters": "\x1b[31m\x07",
}
STRANGERS = ("img", "svg/onload", "iframe")


def shows(page, text):
    """The page has the text as text, and nothing that it would have made."""
    assert " ".join(text.split()) in " ".join(page.text.split())
    assert not [tag for tag in page.tags if tag in STRANGERS]
    assert page.scripts in ([], [str(sorting().text)])  # one of our own, which the page's policy names
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not [
        value
        for name, value in page.attributes
        if name.endswith("href") and not value.startswith(("#", "./", *DOWNLOADS)) and ":" in value
    ]


def lines(text):
    """Examples that have it wherever text can be."""
    words = [text, "truly", "awful", "film", text]
    said = {"label": text, "prediction": text, "probabilities": {text: 0.9, "other": 0.1}, "fields": {text: [[0, 1]]}}
    return [record(id=f"{text}{place}", words=words, query=[text], **said) for place in range(3)]


def hostile_run(root, text, **more):
    numbers = {**TEST, text: 0.5, f"floor/{text}/token_f1": 0.4}
    return write_run(
        root, method=text, dataset=text, examples=lines(text), test=numbers, model={text: text}, data={text: {text: text}}, **more
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_page_of_a_run_shows_text_as_text(tmp_path, text):
    page = check_page(write_report(hostile_run(tmp_path, text, folder="run")).read_text("utf-8"))
    shows(page, text)


@pytest.mark.filterwarnings("ignore:Glyph")  # fonts have no pictures of control characters
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_comparison_and_its_links_show_text_as_text(tmp_path, text):
    # The folder has the name of the attack, and its report is what the page links to.
    folder = hostile_run(tmp_path, text, folder=text.replace("/", "_"))
    write_report(folder)
    page = check_page(write_comparison([folder], tmp_path / "page.html").read_text("utf-8"))
    shows(page, text)
    (link,) = [value for name, value in page.attributes if name == "href" and not value.startswith(DOWNLOADS)]
    assert re.fullmatch(r"[\w%./~-]+/report\.html", link, re.ASCII)


@pytest.mark.parametrize("text", list(TEXTS.values())[:3], ids=list(TEXTS)[:3])
def test_evaluations_show_text_as_text(tmp_path, text):
    folder = hostile_run(tmp_path, text, folder="run")
    columns = {"token_f1": [(0.5, 1.0)] * 3}
    settings = {"explained_by": text, "absence": text, "notes": [text], "numbers": {text: 0.5}, "examples": lines(text)}
    write_evaluation(folder, columns, name="mine", **settings)
    shows(check_page(write_report(folder).read_text("utf-8")), text)
    shows(check_page(write_comparison([folder], tmp_path / "page.html").read_text("utf-8")), text)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_an_explanation_in_a_notebook_shows_text_as_text(run, text):
    (found,) = load_rationalizer(run)([Document(text, (text, "bright"), query=(text,))])
    shows(Page(found._repr_html_()), text)


@pytest.mark.filterwarnings("ignore:Glyph")  # fonts have no pictures of control characters
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_pages_of_language_models_show_text_as_text(text):
    rationale = {"target": 1, "source": 0, "order": [0], "probability": [0.6], "certified": True, "reached_argmax": True}
    sequence = {"tokens": [text, text], "generated": 1, "source": 0, "rationales": [rationale]}
    shows(Page(sequence_html(sequence)), text)
    shows(check_page(sequence_page(sequence, title=text)), text)
    row = {text: {"value": 0.5, "low": 0.4, "high": 0.6}}
    probed = {"name": "passages", "model": text, "facts": {text: text}, "numbers": {text: row}}
    shows(check_page(probe_page([probed])), text)
    shows(check_page(compatibility_page([Compatibility(text, 1.8, 1.8, (0.5,), (0.6,))])), text)


RECORDS = {
    "a rationale without end": {"selected": [[0, 10**12]]},
    "evidence without end": {"evidence": [[0, 10**12, 0]]},
    "a mark without end": {"fields": {"shortcut": [[0, 10**12]]}},
    "a negative place": {"selected": [[-3, 2]]},
    "a reversed stretch": {"selected": [[3, 1]]},
    "text for a place": {"selected": [["0", "2"]]},
    "text for words": {"words": "<b>awful</b>"},
    "numbers for words": {"words": [1, 2, 3, 4, 5]},
    "text for a score": {"scores": ["<b>"] * 5},
    "a score too large": {"scores": [10**400] * 5},
    "too few scores": {"scores": [1.0]},
    "text for a probability": {"probabilities": {"bad": "<b>"}},
    "a list for an id": {"id": ["t"]},
    "a list for a label": {"label": ["bad"]},
    "a list for fields": {"fields": [1]},
    "text for a query": {"query": "<b>"},
    "text for a number": {"values": {"a": "<b>"}, "truth": {}, "unit": ""},
    "numbers without a unit": {"values": {"a": 1.0}, "truth": {}},
    "a list for a class": {"_target_": ["os.system"]},
}


@pytest.mark.parametrize("changes", RECORDS.values(), ids=RECORDS)
def test_an_example_that_is_none_is_named_by_its_line(tmp_path, changes):
    folder = write_run(tmp_path, examples=[record(), record(**changes)])
    with pytest.raises(ValueError, match=r"rationales\.jsonl:2: "):
        write_report(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_an_example_cannot_name_what_draws_it(tmp_path, canary, target):
    folder = write_run(tmp_path, examples=[record(_target_=target, command=f"touch {canary}")])
    with pytest.raises(ValueError, match=rf"example 't/0': _target_ {re.escape(repr(target))}"):
        write_report(folder)


METRICS = {
    "nested beyond the stack": ('{"a":' * 10**5, "nested too deeply"),
    "a list": ("[1]", "expected a mapping, got list"),
    "a list of numbers": ('{"best_epoch": 0, "epochs": 1, "val": {}, "test": [1]}', "'test' should be numbers by name"),
    "markup for a count": (
        '{"best_epoch": "<b>", "epochs": 1, "val": {}, "test": {}}',
        "'best_epoch' should be a count, got '<b>'",
    ),
    "an epoch without end": (f'{{"best_epoch": 1{"0" * 400}, "epochs": 1, "val": {{}}, "test": {{}}}}', "should be a count"),
}


@pytest.mark.parametrize(("text", "message"), METRICS.values(), ids=METRICS)
def test_numbers_of_a_run_are_numbers(tmp_path, text, message):
    folder = write_run(tmp_path)
    (folder / "metrics.json").write_text(text)
    with pytest.raises(ValueError, match=rf"metrics\.json: .*{message}"):
        read_result(folder)


def test_what_is_no_number_is_in_no_table(tmp_path):
    odd = {"accuracy": "<script>", "token_f1": [1], "loss": 10**400, "floor/random/token_f1": "x", "iou_f1@0.5": True}
    folder = write_run(tmp_path, test={**TEST, **odd})
    (folder / "timing.json").write_text('{"fit_seconds": "<script>", "seconds_per_epoch": [1]}')
    (folder / "metrics.jsonl").write_text('{"epoch": 0, "val/loss": "<script>"}\n')
    page = check_page(write_report(folder).read_text("utf-8"))
    assert "Accuracy" not in [row[0] for row in page.rows if row]
    assert "script" not in page.text


EVALUATIONS = {
    "a name outside of the folder": {"name": "../../../secret"},
    "text for a number": {"numbers": {"token_f1": "<b>"}},
    "an interval of three": {"intervals": {"token_f1": [1, 2, 3]}},
    "a list of settings": {"settings": []},
    "a curve of text": {"curve": {"fractions": ["<b>"]}},
    "a number for notes": {"notes": 3},
}


@pytest.mark.parametrize("changes", EVALUATIONS.values(), ids=EVALUATIONS)
def test_an_evaluation_that_is_none_is_named(tmp_path, changes):
    folder = write_run(tmp_path)
    write_evaluation(folder, {"token_f1": [(0.5, 1.0)] * 8}, name="mine")
    file = folder / "evaluation" / "mine.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(ValueError, match=r"mine\.json: expected .*; delete the file and evaluate again"):
        read_evaluations(folder)
