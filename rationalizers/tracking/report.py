"""A comparison of runs as a report of W&B: its tables and notes as text, and panels that W&B draws of the runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rationalizers.extras import require
from rationalizers.report.comparison import Comparison
from rationalizers.report.result import Result
from rationalizers.run import write_json
from rationalizers.tracking.offline import IDENTITY
from rationalizers.tracking.service import connect

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import Report

log = logging.getLogger(__name__)

EXTRA = "wandb-report"
WIDE, HIGH, COLUMNS = 8, 6, 3


def publish(comparison: Comparison, project: str, path: Path, *, reference: str | None = None) -> str:
    """Save the report of a comparison on W&B, or, where that cannot be asked, what would have been saved in a file.

    Args:
        comparison: of runs that were mirrored.
        project: ``entity/project`` that they were mirrored to.
        path: the file to write where W&B cannot be asked.
        reference: as in `Comparison.differences`.

    Returns:
        the address of the report, or of the file.

    Raises:
        ImportError: the extra ``wandb-report`` is not installed.
        ValueError: as `build_report`.
    """
    from wandb.errors import Error

    report = build_report(comparison, project, reference=reference)
    try:
        connect()
        report.save()
    except (Error, OSError) as error:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, specification(report))
        log.warning("W&B: the report was not saved there, but in %s: %s", path, error)
        return str(path)
    return str(report.url)


def build_report(comparison: Comparison, project: str, *, reference: str | None = None) -> Report:
    """The report of a comparison, not yet saved; no server is asked.

    Args:
        comparison: of runs that were mirrored.
        project: ``entity/project`` that they were mirrored to.
        reference: as in `Comparison.differences`.

    Raises:
        ImportError: the extra ``wandb-report`` is not installed.
        ValueError: ``project`` is not of that form, or none of the runs was mirrored to it.
    """
    blocks, expressions = (require(f"wandb_workspaces.{name}", extra=EXTRA) for name in ("reports.v2", "expr"))
    entity, _, name = project.partition("/")
    if not entity or not name or "/" in name:
        raise ValueError(f"'wandb_report' must be entity/project, got {project!r}")
    # An evaluated run is compared once for each of its evaluations.
    known = {result.folder: identity(result) for result in comparison.results}
    ids = [one["id"] for one in known.values() if one is not None and one["project"] == name and one["entity"] in (None, entity)]
    if not ids:
        raise ValueError(
            f"none of the {len(known)} compared runs was mirrored to {project}; train with logger=wandb logger.project={name}, "
            "or name the project that they were mirrored to"
        )
    told = f"{len(known)} runs of {len(set(comparison.methods))} methods on {', '.join(comparison.datasets)}."
    if len(ids) < len(known):
        told += f" {len(known) - len(ids)} of them were not mirrored to this project: they are in the tables, not in the panels."
    runset = blocks.Runset(name="Compared runs", filters=expressions.And(expressions.Metric("ID").isin(ids)), groupby=["group"])
    report: Report = blocks.Report(
        entity=entity,
        project=name,
        title=f"Rationalizers on {', '.join(comparison.datasets)}",
        description=told,
        width="fluid",
        blocks=[
            blocks.P(text=told),
            blocks.H2(text="Numbers and notes"),
            blocks.MarkdownBlock(text=comparison.to_markdown(reference=reference)),
            blocks.H2(text="Runs"),
            # It has no project: the report's own is meant, and W&B need not be asked what it is.
            blocks.PanelGrid(runsets=[runset], panels=[*_panels(blocks, comparison)]),
        ],
    )
    return report


def identity(result: Result) -> dict[str, Any] | None:
    """The W&B run that mirrors a run: ``id``, ``entity``, ``project`` and ``url``; ``None`` where none was opened."""
    file = result.folder / IDENTITY
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return found if "project" in found else None


def specification(report: Report) -> dict[str, Any]:
    """What is sent when a report is saved, as JSON-ready primitives."""
    # Private, and the only way to it: saving begins with this and goes on to the server.
    model = report._to_model()  # type: ignore[no-untyped-call]
    spec = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
    return {
        "entity": report.entity,
        "project": report.project,
        "title": report.title,
        "description": report.description,
        "spec": spec,
    }


def _panels(blocks: Any, comparison: Comparison) -> Iterator[Any]:
    """Curves of validation numbers over epochs, then the test numbers of all runs."""
    learnt = _logged(comparison.results)
    curves = [(f"val/{name}", title) for name, title in {"loss": "loss", **comparison.metrics}.items() if f"val/{name}" in learnt]
    finals = [
        (f"test/{name}", title)
        for name, title in comparison.metrics.items()
        if any(name in result.test for result in comparison.results)
    ]
    for place, (name, title) in enumerate(curves + finals):
        row, column = divmod(place, COLUMNS)
        layout = blocks.Layout(x=column * WIDE, y=row * HIGH, w=WIDE, h=HIGH)
        if place < len(curves):
            yield blocks.LinePlot(title=f"validation {title}", x="Step", title_x="epoch", y=[name], layout=layout)
        else:
            yield blocks.BarPlot(title=f"test {title}", metrics=[name], layout=layout)


def _logged(results: Sequence[Result]) -> set[str]:
    """Names that the epochs of any run have."""
    return {name for result in results for row in result.epochs[-1:] for name in row}
