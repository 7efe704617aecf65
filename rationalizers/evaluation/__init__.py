"""Evaluations of finished runs: asked once, kept in the run folder, compared with their intervals and floors."""

from rationalizers.evaluation.scoring import evaluate
from rationalizers.evaluation.store import Evaluation, read_columns, read_evaluations

__all__ = ["Evaluation", "evaluate", "read_columns", "read_evaluations"]
