"""Run folders: written whole, read as plain data, opened once for every run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rationalizers.run import (
    FORMAT,
    close_run,
    difference,
    open_run,
    read_config,
    versions,
    write_atomically,
    write_config,
    write_json,
)
from tests.tiny import ROOT

CONFIG = {
    "format": FORMAT,
    "name": "a",
    "seed": 0,
    "model": {"task": "???", "share": 0.2, "encoder": {"vocabulary": "???", "hidden": 8}},
    "data": {"batch_size": 4},
    "versions": {"torch": "2.0"},
}


def changed(**entries):
    return {**CONFIG, **entries}


# Writing --------------------------------------------------------------------------------------------------------------


def test_an_existing_file_is_replaced_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "metrics.json"
    for text in ("old\n", "new, longer – with ümlauts\n", ""):
        write_atomically(file, text)
        assert file.read_text("utf-8") == text
        assert list(tmp_path.iterdir()) == [file]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "metrics.json"
    write_atomically(file, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, "new")
    assert file.read_text() == "old"


def test_a_reader_never_sees_a_part(tmp_path, monkeypatch):
    file = tmp_path / "metrics.json"
    write_atomically(file, "old")
    seen = []
    replace = os.replace

    def spy(source, target):
        seen.append((file.read_text(), Path(source).read_text(), Path(target) == file))
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    write_atomically(file, "new")
    assert seen == [("old", "new", True)]


def test_a_write_that_was_killed_does_not_hinder_the_next(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from rationalizers import run
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
run.write_atomically(Path({str(tmp_path / "metrics.json")!r}), "new")
"""
    write_atomically(tmp_path / "metrics.json", "old")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    assert (tmp_path / "metrics.json").read_text() == "old"
    write_atomically(tmp_path / "metrics.json", "newer")
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
    assert (tmp_path / "metrics.json").read_text() == "newer"


def test_json_is_readable_to_people_and_programs(tmp_path):
    value = {"ü": [1, 0.5, None], "nested": {"a": "b"}}
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text("utf-8")
    assert json.loads(text) == value
    assert '"ü"' in text
    assert text.endswith("}\n")
    assert text.count("\n") > 3


# config.yaml ----------------------------------------------------------------------------------------------------------


def test_a_configuration_comes_back_as_it_was(tmp_path):
    config = {
        "format": FORMAT,
        "name": "rnp – ü",
        "model": {"share": 0.15, "lr": 1e-3, "small": 1e-10, "labels": ["no", "yes", "1", "null"], "vectors": None, "on": True},
        "empty": {},
        "none": [],
    }
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config
    assert list(read_config(tmp_path)) == list(config)
    assert read_config(str(tmp_path)) == config


@pytest.mark.parametrize("value", [Path("runs"), object(), {1, 2}.__iter__(), print, (1, 2).__class__])
def test_only_plain_primitives_are_written(tmp_path, value):
    with pytest.raises(TypeError, match="must hold plain primitives only"):
        write_config(tmp_path, changed(folder=value))
    assert not (tmp_path / "config.yaml").exists()


def test_a_folder_without_configuration_is_no_run(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=f"{folder} is not a run folder: it has no config.yaml"):
            read_config(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "format: 3\nversions: {rationalizers: 0.3.0}\n",
            r"format 3 was written by a newer version of rationalizers \(0\.3\.0\), .* format 2; .*pip install -U rationalizers$",
        ),
        ("format: 3\nversions: 4\n", "format 3 was written by a newer version of rationalizers, this one"),
        ("format: 1\n", "format 1 was written by an older version .* with the version that wrote it, or train it again"),
        ("format: '2'\n", "expected format 2, got '2'; no version of rationalizers has written this file"),
        ("format: true\n", "expected format 2, got True"),
        ("name: a\n", "expected format 2, got None"),
        ("- format\n- 2\n", "expected a mapping, got list"),
        ("", "expected a mapping, got NoneType"),
        ("format: [2\n", "not plain YAML"),
        ("format: 2\nname: !!python/object/apply:os.system [true]\n", "not plain YAML"),
        ("format: 2\nname: !!python/name:os.system\n", "not plain YAML"),
        ("format: 2\nname: !custom a\n", "not plain YAML"),
    ],
)
def test_what_is_not_a_known_configuration_is_refused_with_its_file(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_config(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'config.yaml'}: ")


def test_a_yaml_tag_does_not_run_anything(tmp_path):
    proof = tmp_path / "ran"
    (tmp_path / "config.yaml").write_text(f"format: 2\nname: !!python/object/apply:os.system ['touch {proof}']\n")
    with pytest.raises(ValueError, match="not plain YAML"):
        read_config(tmp_path)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("entries", "key"),
    [
        ({"name": "${oc.env:HOME}"}, "name"),
        ({"model": {"encoder": {"vectors": "a/${runs}/b"}}}, "model.encoder.vectors"),
        ({"data": {"files": ["a", {"b": "${x}"}]}}, r"data\.files\[1\]\.b"),
    ],
)
def test_an_interpolation_is_refused_with_its_key(tmp_path, entries, key):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed(**entries)))
    with pytest.raises(ValueError, match=rf"config\.yaml: {key} holds '.*\$\{{.*'; run folders are read as they stand"):
        read_config(tmp_path)


@pytest.mark.parametrize("price", ["$5", "{a}", "$ {a}", "a$b{c}"])
def test_a_dollar_sign_alone_is_no_interpolation(tmp_path, price):
    write_config(tmp_path, changed(name=price))
    assert read_config(tmp_path)["name"] == price


def test_versions_are_plain_text():
    found = versions()
    assert set(found) == {"python", "torch", "lightning", "rationalizers"}
    assert all(isinstance(text, str) and text[0].isdigit() for text in found.values())


# Comparing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", [CONFIG, changed(versions={"torch": "9"}), json.loads(json.dumps(CONFIG))])
def test_equal_runs_do_not_differ(theirs):
    assert difference(CONFIG, theirs) is None


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (changed(seed=1), "seed is 0 now and 1 there"),
        (changed(data={"batch_size": 8}), "data.batch_size is 4 now and 8 there"),
        (changed(data={"batch_size": 4, "more": 1}), "data.more is only in the existing configuration"),
        (changed(data={}), "data.batch_size is only in the new configuration"),
        (changed(data=4), "data is {'batch_size': 4} now and 4 there"),
        ({**CONFIG, "seed": None}, "seed is 0 now and None there"),
    ],
)
def test_the_first_difference_is_named_with_both_values(theirs, expected):
    assert difference(CONFIG, theirs) == expected


@pytest.mark.parametrize("there", [{"labels": ["a"]}, "???", None, 3])
def test_what_is_left_to_the_data_agrees_with_anything(there):
    assert difference({"task": "???"}, {"task": there}) is None


def test_what_the_existing_run_left_to_the_data_is_not_what_the_new_one_sets():
    assert difference({"task": 3}, {"task": "???"}) == "task is 3 now and '???' there"


def test_left_to_the_data_must_still_exist_there():
    assert difference({"model": {"task": "???"}}, {"model": {}}) == "model.task is only in the new configuration"


def test_versions_count_below_the_top():
    assert difference({"data": {"versions": 1}}, {"data": {"versions": 2}}) == "data.versions is 1 now and 2 there"


def test_lists_are_compared_as_a_whole():
    assert difference({"a": [1, 2]}, {"a": [1, 3]}) == "a is [1, 2] now and [1, 3] there"


# Opening and closing --------------------------------------------------------------------------------------------------


def partial_of(folder):
    return folder.with_name(folder.name + ".partial")


def test_a_new_run_begins_in_a_partial_folder(tmp_path):
    folder = tmp_path / "deep" / "run.v1"
    partial = open_run(folder, CONFIG)
    assert partial == tmp_path / "deep" / "run.v1.partial"
    assert read_config(partial) == CONFIG
    assert (partial / "assets").is_dir()
    assert not folder.exists()


def test_a_partial_run_is_found_again_with_what_it_holds(tmp_path):
    folder = tmp_path / "run"
    partial = open_run(folder, CONFIG)
    filled = changed(model={"task": {"labels": ["a", "b"]}, "share": 0.2, "encoder": {"vocabulary": 9, "hidden": 8}})
    write_config(partial, filled)
    (partial / "last.ckpt").write_text("kept")
    assert open_run(folder, changed(versions={"torch": "3.0", "rationalizers": "9"})) == partial
    assert read_config(partial) == filled
    assert (partial / "last.ckpt").read_text() == "kept"


@pytest.mark.parametrize("finished", [False, True])
def test_another_run_is_not_mixed_into_an_existing_one(tmp_path, finished):
    folder = tmp_path / "run"
    partial = open_run(folder, CONFIG)
    if finished:
        close_run(partial, folder)
    place = folder if finished else partial
    message = rf"^{place} holds another run: seed is 3 now and 0 there\. Give this run another folder \(folder=…\)"
    with pytest.raises(FileExistsError, match=message):
        open_run(folder, changed(seed=3))
    assert read_config(place) == CONFIG


def test_a_finished_run_is_not_opened(tmp_path):
    folder = tmp_path / "run"
    close_run(open_run(folder, CONFIG), folder)
    before = sorted(tmp_path.rglob("*"))
    assert open_run(folder, CONFIG) is None
    assert sorted(tmp_path.rglob("*")) == before


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=f"{tmp_path} exists and is not a run; give this run another folder"):
        open_run(tmp_path, CONFIG)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]
    assert not partial_of(tmp_path).exists()


def test_a_run_that_was_killed_before_its_configuration_was_written_begins_anew(tmp_path):
    folder = tmp_path / "run"
    (partial_of(folder) / "assets").mkdir(parents=True)
    assert open_run(folder, CONFIG) == partial_of(folder)
    assert read_config(partial_of(folder)) == CONFIG


def test_an_unreadable_configuration_is_an_error_and_not_a_new_run(tmp_path):
    folder = tmp_path / "run"
    partial_of(folder).mkdir()
    (partial_of(folder) / "config.yaml").write_text("format: 99\n")
    with pytest.raises(ValueError, match="format 99 was written by a newer version"):
        open_run(folder, CONFIG)


@pytest.mark.parametrize("existing", [False, True])
def test_closing_gives_the_final_name_also_to_an_empty_folder(tmp_path, existing):
    folder = tmp_path / "run"
    partial = open_run(folder, CONFIG)
    if existing:
        folder.mkdir()
    close_run(partial, folder)
    assert not partial.exists()
    assert read_config(folder) == CONFIG


def test_closing_does_not_overwrite_what_appeared_meanwhile(tmp_path):
    folder = tmp_path / "run"
    partial = open_run(folder, CONFIG)
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        close_run(partial, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert read_config(partial) == CONFIG


def test_text_that_no_file_can_hold_is_refused_by_name(tmp_path):
    (tmp_path / "config.yaml").write_text(f'format: {FORMAT}\nname: "\\ud800"\n')
    with pytest.raises(ValueError, match=r"config\.yaml: .*surrogates not allowed"):
        read_config(tmp_path)
