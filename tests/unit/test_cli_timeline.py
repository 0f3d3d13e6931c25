"""A timeline as people read it."""

from __future__ import annotations

import re

from msgspec.structs import replace

from volant.cli.timeline import MOST, lines
from volant.model.timeline import Lowest, PluginPace, Step, Timeline, Unsettled

PACE = PluginPace(plugin="hello", boot_s=5.1, boots=0, stop_s=0.25, stops=4)
FEW = Timeline(
    end="settled",
    total_s=125.0,
    looked_ahead_s=125.25,
    steps=(
        Step(at_s=0.0, kind="Deployment", name="api", what="changed"),
        Step(at_s=0.0, kind="VM", name="api-4", what="created", of="api"),
        Step(at_s=0.0, kind="VM", name="api-5", what="created", of="api"),
        Step(at_s=5.1, kind="VM", name="api-4", what="started", of="api"),
        Step(at_s=5.1, kind="VM", name="api-4", what="ready", of="api"),
        Step(at_s=5.1, kind="VM", name="api-5", what="started", of="api"),
        Step(at_s=5.1, kind="VM", name="api-5", what="ready", of="api"),
        Step(at_s=125.0, kind="VM", name="api-1", what="removed", of="api"),
        Step(at_s=125.0, kind="VM", name="db\x1b[31m", what="stopped"),
    ),
    lowest=(Lowest(deployment="api", ready=2, at_s=5.1, before=3, after=3),),
    pace=(PACE,),
)


def test_each_step_has_a_line_and_what_happens_at_once_is_one() -> None:
    assert list(lines(FEW)) == [
        "What would happen",
        "  at 0 s          deployment/api changed",
        "  at 0 s          2 of api created: api-4, api-5",
        "  at 5.1 s        2 of api started: api-4, api-5",
        "  at 5.1 s        2 of api ready: api-4, api-5",
        "  at 2 min 5 s    vm/api-1 removed",
        "  at 2 min 5 s    vm/db\\x1b[31m stopped",
        "deployment/api: never fewer than 2 ready (at 5.1 s), 3 before and 3 after",
        "done after 2 min 5 s",
        "guests of hello: 5.1 s until ready (assumed: none was seen), 0.25 s to stop (median of 4 seen)",
    ]


def test_many_lines_are_told_slice_by_slice_and_no_step_is_left_out() -> None:
    steps = [Step(at_s=0.0, kind="Deployment", name="api", what="changed")]
    for number in range(1, 51):
        at = number * 7200.0 / 50
        steps.append(Step(at_s=at - 1.0, kind="VM", name=f"api-{50 + number}", what="ready", of="api"))
        steps.append(Step(at_s=at, kind="VM", name=f"api-{number}", what="removed", of="api"))
    told = list(lines(replace(FEW, steps=tuple(steps), total_s=7200.0, lowest=(), pace=())))
    assert told[:3] == [
        "What would happen",
        "  at 0 s          deployment/api changed",
        "  to 10 min 0 s   of api: 4 ready, 4 removed",
    ]
    assert told[-1] == "done after 2 h 0 min"
    for what in ("ready", "removed"):
        assert sum(int(count) for line in told for count in re.findall(rf"(\d+) {what}", line)) == 50
    assert len(told) < MOST


def test_what_never_comes_and_what_was_cut_short_are_said() -> None:
    crash = Unsettled(kind="VM", name="db", reason="Crashed", message="its guest crashes again and again")
    stuck = replace(FEW, end="stuck", unsettled=(crash,), lowest=(), pace=())
    assert list(lines(stuck))[-2:] == [
        "nothing more after 2 min 5 s, and not everything is as asked for",
        "  vm/db: Crashed: its guest crashes again and again",
    ]
    back = replace(FEW, end="reverted", reverted="VM db: too late", lowest=(), pace=())
    assert list(lines(back))[-1] == "the set is taken back, which is over after 2 min 5 s: VM db: too late"
    cut = replace(FEW, end="cut", bound="steps", lowest=(), pace=(), unsettled=(crash,))
    assert "not done after 2 min 5 s: that is as many steps as a forecast tells of" in list(lines(cut))


def test_nothing_to_do_is_said() -> None:
    nothing = Timeline(end="settled", total_s=0.0, looked_ahead_s=0.0, steps=())
    assert list(lines(nothing)) == ["Nothing would happen", "done after 0 s"]
