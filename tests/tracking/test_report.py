"""A comparison becomes a report of W&B: what is in it, and that it is kept where W&B cannot be asked."""

import json

import pytest

from rationalizers.report import compare
from rationalizers.tracking import report as tracked_report
from rationalizers.tracking.report import build_report, publish
from tests.report.run_folders import write_run

wr = pytest.importorskip("wandb_workspaces.reports.v2")


def folders(root, *, mirrored=True, **identity):
    found = []
    for place, (method, seed) in enumerate([("full", 0), ("full", 1), ("rnp", 0), ("rnp", 1)]):
        folder = write_run(root, method=method, seed=seed)
        if mirrored:
            known = {"id": f"id{place}", "entity": "me", "project": "p", "url": None, **identity}
            (folder / "wandb.json").write_text(json.dumps(known))
        found.append(folder)
    return found


def grid_of(report):
    (grid,) = (block for block in report.blocks if isinstance(block, wr.PanelGrid))
    return grid


def test_it_has_the_tables_the_notes_and_panels_of_the_compared_runs(tmp_path):
    comparison = compare(folders(tmp_path))
    report = build_report(comparison, "me/p", reference="full")
    assert (report.entity, report.project, report.title) == ("me", "p", "Rationalizers on toy")
    (text,) = (block.text for block in report.blocks if isinstance(block, wr.MarkdownBlock))
    assert text == comparison.to_markdown(reference="full")
    assert all(note.split("*")[0][:20] in text for note in comparison.notes)
    grid = grid_of(report)
    curves = {panel.y[0]: panel.title for panel in grid.panels if isinstance(panel, wr.LinePlot)}
    bars = {panel.metrics[0]: panel.title for panel in grid.panels if isinstance(panel, wr.BarPlot)}
    assert curves == {"val/loss": "validation loss", "val/accuracy": "validation accuracy"}
    assert bars["test/token_f1"] == "test token F1"
    assert {"test/accuracy", "test/selected_share"} <= set(bars)
    places = [(panel.layout.x, panel.layout.y) for panel in grid.panels]
    assert len(set(places)) == len(places)


def test_its_runs_are_those_that_are_compared(tmp_path):
    made = folders(tmp_path)
    (made[1] / "wandb.json").unlink()
    (made[2] / "wandb.json").write_text('{"id": "never opened"}')
    report = build_report(compare(made), "me/p")
    (runset,) = tracked_report.specification(report)["spec"]["blocks"][-2]["metadata"]["runSets"]
    (condition,) = runset["filters"]["filters"]
    assert condition["key"] == {"section": "run", "name": "name"}
    assert (condition["op"], condition["value"]) == ("IN", ["id0", "id3"])
    assert runset["grouping"] == [{"section": "run", "name": "group"}]
    said = next(block for block in report.blocks if isinstance(block, wr.P)).text
    assert (
        said
        == "4 runs of 2 methods on toy. 2 of them were not mirrored to this project: they are in the tables, not in the panels."
    )


@pytest.mark.parametrize("identity", [{"project": "other"}, {"entity": "you"}])
def test_runs_of_another_project_are_not_in_it(tmp_path, identity):
    with pytest.raises(ValueError, match=r"none of the 4 compared runs was mirrored to me/p; train with logger=wandb"):
        build_report(compare(folders(tmp_path, **identity)), "me/p")


@pytest.mark.parametrize("project", ["p", "me/", "/p", "a/b/c"])
def test_a_project_that_is_none_is_refused(tmp_path, project):
    with pytest.raises(ValueError, match=f"'wandb_report' must be entity/project, got '{project}'"):
        build_report(compare(folders(tmp_path)), project)


def test_where_nobody_is_logged_in_it_is_kept(tracked, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HOME", str(tmp_path))
    # Runs that were mirrored offline do not know whose they will be.
    path = tmp_path / "page" / "wandb-report.json"
    assert publish(compare(folders(tmp_path / "runs", entity=None)), "me/p", path) == str(path)
    assert f"the report was not saved there, but in {path}" in caplog.text
    kept = json.loads(path.read_text())
    assert (kept["entity"], kept["project"], kept["title"]) == ("me", "p", "Rationalizers on toy")
    kinds = [block["type"] for block in kept["spec"]["blocks"]]
    assert [kind for kind in kinds if kind in ("heading", "markdown-block", "panel-grid")] == [
        "heading",
        "markdown-block",
        "heading",
        "panel-grid",
    ]


def test_where_somebody_is_it_is_saved(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(tracked_report, "connect", lambda: None)
    monkeypatch.setattr(wr.Report, "save", lambda self: saved.append(self.title))
    monkeypatch.setattr(wr.Report, "url", property(lambda self: "https://somewhere/report"))
    assert publish(compare(folders(tmp_path)), "me/p", tmp_path / "x.json") == "https://somewhere/report"
    assert saved == ["Rationalizers on toy"]
    assert not (tmp_path / "x.json").exists()
