"""What the tests of the twins took, at the end of a run."""

from collections import defaultdict


def pytest_terminal_summary(terminalreporter):
    seconds, count = defaultdict(float), defaultdict(int)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        folder, _, rest = report.nodeid.partition("tests/kernels/cuda/")
        if rest and not folder.strip("./"):
            kind = "ahead of time" if rest.startswith("test_ahead_of_time") else "run against their references"
            seconds[kind] += report.duration
            count[kind] += report.when == "call"
    for kind in sorted(seconds):
        terminalreporter.write_line(f"twins {kind}: {count[kind]} tests in {seconds[kind]:.0f} s")
