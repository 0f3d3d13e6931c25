"""The last lines of a test run: what tests have counted, summed up over all of them and all worker processes.

test ──record_property("fault plans", 412)──▶ report ──▶ "fault plans: 1930 played, ..."
"""

from __future__ import annotations

from collections import Counter

import pytest

COUNTED = ("fault plans", "void plans")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on the enumerated faults: how many were played, how many of them never fired, and how long it took."""
    sums: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        counted = dict(getattr(report, "user_properties", ()))
        if "fault plans" in counted and getattr(report, "when", None) == "call":
            sums.update({name: counted.get(name, 0) for name in COUNTED})
            sums["tenths"] += round(report.duration * 10)
    if sums:
        said = f"{sums['fault plans']} fault plans, {sums['void plans']} void, {sums['tenths'] / 10:.1f} s"
        terminalreporter.write_line(said)
