"""What W&B was told is read back from its record file."""

import math

import pytest
import wandb

from rationalizers.report.result import keeps_run
from rationalizers.tracking.offline import read_recorded, record_of
from rationalizers.tracking.record import BLOCK
from tests.tracking.kept import kept_by
from tests.tracking.test_record import framed

LONG = "a text that is longer than a block " * 4000


@pytest.fixture
def kept(tracked):
    """A run with every kind of value, one of which fills blocks."""
    settings = wandb.Settings(silent=True, console="off")
    config = {"model": {"layers": [1, {"width": 2}], "none": {}}, "seed": None, "dotted.key": 3}
    facts = {"name": "some run", "group": "a/b", "tags": ["x", "y"], "job_type": "train"}
    run = wandb.init(project="p", id="abc", mode="offline", config=config, settings=settings, reinit="create_new", **facts)
    run.log({"epoch": 0, "val/loss": 0.1 + 0.2, "text": LONG}, step=0, commit=True)
    run.log({"epoch": 1, "val/loss": math.nan, "floor/r.x": math.inf}, step=1, commit=True)
    run.log({"shown": {"a": {"b": 1}}}, step=2, commit=True)
    run.config.update({"later": True})
    run.summary.update({"val/loss": 0.3, "test/accuracy": 1.0})
    run.finish(exit_code=3)
    (folder,) = kept_by(tracked)
    return folder


def test_a_run_is_read_back(kept):
    found = read_recorded(kept)
    assert record_of(kept).stat().st_size > 4 * BLOCK  # one record is in several blocks
    assert found.facts == {
        "id": "abc",
        "name": "some run",
        "project": "p",
        "entity": "",
        "group": "a/b",
        "job_type": "train",
        "tags": ("x", "y"),
    }
    assert found.config == {
        "model": {"layers": [1, {"width": 2}], "none": {}},
        "seed": None,
        "dotted.key": 3,
        "later": True,
    }
    assert found.epochs[0] == {"epoch": 0, "val/loss": 0.1 + 0.2, "text": LONG}
    assert math.isnan(found.epochs[1]["val/loss"])
    assert found.epochs[1]["floor/r.x"] == math.inf
    assert len(found.epochs) == 2
    assert (found.exit_code, found.notes) == (3, ())
    assert repr(read_recorded(record_of(kept))) == repr(found)  # what is not a number equals nothing


def test_it_comes_as_frames(kept):
    found = read_recorded(kept)
    history = found.history()
    assert list(history["_step"]) == [0, 1, 2]
    assert history["shown"][2] == {"a": {"b": 1}}
    assert history["val/loss"].isna().tolist() == [False, True, True]
    config = found.config_frame().set_index("key")["value"]
    assert config.to_dict() == {
        "model.layers": [1, {"width": 2}],
        "model.none": {},
        "seed": None,
        "dotted.key": 3,
        "later": True,
    }
    summary = found.summary_frame().set_index("name")["value"]
    assert (summary["val/loss"], summary["test/accuracy"], summary["epoch"]) == (0.3, 1.0, 1)
    assert not [name for name in summary.index if name.startswith("_")]


def test_a_truncated_run_is_read_up_to_the_damage_with_a_note(kept):
    file = record_of(kept)
    whole = file.read_bytes()
    place = whole.index(b"floor/r.x")  # in the second row
    file.write_bytes(whole[:place])
    found = read_recorded(kept)
    assert [row["epoch"] for row in found.epochs] == [0]
    assert found.epochs[0]["text"] == LONG
    assert found.exit_code is None
    (note,) = found.notes
    assert note.startswith(f"{file}: byte ")
    assert note.endswith("the file ends within a record; what was logged after that is lost.")


def test_a_record_that_is_something_else_is_refused(tmp_path):
    file = tmp_path / "run-a.wandb"
    file.write_bytes(framed([b"\xff\xff\xff\xff not a record"]))
    with pytest.raises(ValueError, match=r"run-a\.wandb: record 0 is not one of W&B's"):
        read_recorded(file)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no record file .*nowhere"):
        read_recorded(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds 0 record files run-\*\.wandb, expected one"):
        read_recorded(tmp_path)


def test_folders_are_told_by_their_names(tmp_path):
    names = ("offline-run-20261127_231946-idone", "run-20261127_231948-90814h2i", "offline-run-20261127_231946-same-1")
    assert all(keeps_run(tmp_path / name) for name in names)
    assert not any(keeps_run(tmp_path / name) for name in ("latest-run", "run-a", "runs", "rnp-toy_text-s0"))
