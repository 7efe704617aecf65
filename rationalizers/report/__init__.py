"""Reports of finished runs: a page for one, a table and a page for several, highlighted text for a notebook."""

from rationalizers.report.comparison import Comparison, compare, compare_results
from rationalizers.report.comparison_page import write_comparison, write_page
from rationalizers.report.export import write_tables
from rationalizers.report.highlight import highlight
from rationalizers.report.result import find_runs, home_of, read_results, read_runs
from rationalizers.report.run_page import write_report

__all__ = [
    "Comparison",
    "compare",
    "compare_results",
    "find_runs",
    "highlight",
    "home_of",
    "read_results",
    "read_runs",
    "write_comparison",
    "write_page",
    "write_report",
    "write_tables",
]
