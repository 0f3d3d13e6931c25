"""The last lines of a test run: what tests have counted, summed up over all of them and all worker processes.

test ──record_property("fault plans", 412)──▶ report ──▶ "fault plans: 1930 played, ..."
"""

from __future__ import annotations

from collections import Counter

import pytest

COUNTED = ("fault plans", "void plans")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on the enumerated faults: how many were played, how many of them never fired, and how long it took.

    One more on the soak: how often a real daemon was killed, and how long that took; and one on the fuzzing: how many
    requests were made up.
    """
    sums: Counter[str] = Counter()
    soak: Counter[str] = Counter()
    fuzz: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        counted = dict(getattr(report, "user_properties", ()))
        if "fault plans" in counted and getattr(report, "when", None) == "call":
            sums.update({name: counted.get(name, 0) for name in COUNTED})
            sums["tenths"] += round(report.duration * 10)
        if "kill rounds" in counted and getattr(report, "when", None) == "call":
            soak.update({"rounds": counted["kill rounds"], "tenths": round(report.duration * 10)})
        if "fuzz cases" in counted and getattr(report, "when", None) == "call":
            fuzz.update({"cases": counted["fuzz cases"], "tenths": round(report.duration * 10)})
    if fuzz:
        terminalreporter.write_line(f"{fuzz['cases']} fuzz cases, {fuzz['tenths'] / 10:.1f} s")
    if soak:
        terminalreporter.write_line(f"{soak['rounds']} kill rounds, nothing lost, {soak['tenths'] / 10:.1f} s")
    if sums:
        said = f"{sums['fault plans']} fault plans, {sums['void plans']} void, {sums['tenths'] / 10:.1f} s"
        terminalreporter.write_line(said)
