"""Reports of finished runs: a page for one, a table and a page for several, highlighted text for a notebook."""

from rationalizers.comparison import Comparison, compare
from rationalizers.comparison_report import write_comparison
from rationalizers.highlight import highlight
from rationalizers.result import find_runs, read_runs
from rationalizers.run_report import write_report

__all__ = ["Comparison", "compare", "find_runs", "highlight", "read_runs", "write_comparison", "write_report"]
