"""The last lines of a test run: what tests have counted, summed up over all of them and all worker processes.

test ──record_property("fault plans", 412)──▶ report ──▶ "20122 fault plans, 0 void plans, 88.0 s, 44.0 s in each of 2"
"""

from __future__ import annotations

from collections import Counter

import pytest

COUNTED = (
    ("fault plans", "void plans"),
    ("machine examples",),
    ("kill rounds",),
    ("fuzz cases",),
)
"""What stands on one line. The first of each line is what a test must have counted to be summed up there."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each thing that was counted: how many, and how many seconds of tests it took, over all processes."""
    sums: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        counted = dict(getattr(report, "user_properties", ()))
        if getattr(report, "when", None) != "call":
            continue
        for names in COUNTED:
            if names[0] in counted:
                sums.update({name: counted.get(name, 0) for name in names})
                seconds[names[0]] += report.duration
    processes = terminalreporter.config.getoption("numprocesses", None) or 1
    for names in COUNTED:
        if names[0] in sums:
            said = ", ".join(f"{sums[name]} {name}" for name in names)
            shared = f", {seconds[names[0]] / processes:.1f} s in each of {processes}" if processes > 1 else ""
            terminalreporter.write_line(f"{said}, {seconds[names[0]]:.1f} s{shared}")
