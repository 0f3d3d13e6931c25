"""What a watch and a wait make of what they are told, without a connection and without a clock."""

from __future__ import annotations

import json
import random

import pytest

from volant.client.failures import ApiError, NoAnswer
from volant.client.following import LONGEST_PAUSE_S, SLICE_S, Change, Pauses, Wait, Watch
from volant.model.meta import Key

RNG = random.Random(1)
LATE = ApiError(408, "wait_timeout", "not yet", details={"generation": 7})
BUSY = ApiError(503, "stopping", "")


def state(name: str, revision: int) -> str:
    return json.dumps(
        {
            "name": name,
            "status": "running",
            "plugin": "p",
            "created_at": "2025-01-15T10:00:00Z",
            "resources": {},
            "uid": "u",
            "generation": 1,
            "revision": revision,
            "restart_policy": "always",
            "restart_required": False,
            "restarts": 0,
        }
    )


def event(name: str) -> str:
    return json.dumps({"name": name, "kind": "VM", "timestamp": "2025-01-15T10:00:00Z", "new": {"status": "running"}})


def types(*changes: Change | None) -> list[str]:
    return [change.type for change in changes if change is not None]


def test_a_watch_begins_with_the_objects_and_says_which_there_are() -> None:
    watch = Watch(RNG, kinds=("VM",))
    assert watch.query == {"kinds": "VM", "initial": "true"}
    assert watch.begin() == {}
    watch.take("vm.state", "", state("a", 1))
    watch.take("vm.state", "", state("b", 2))
    mark = watch.take("bookmark", "2", "{}")
    assert mark is not None
    assert mark.keys == {Key("VM", "a"), Key("VM", "b")}
    assert watch.begin() == {"last-event-id": "2"}


def test_an_event_that_an_object_was_shown_with_is_not_told_again() -> None:
    watch = Watch(RNG)
    watch.begin()
    watch.take("vm.state", "", state("a", 9))
    watch.take("bookmark", "5", "{}")
    assert types(*(watch.take("vm.updated", str(n), event("a")) for n in (7, 9, 11, 12))) == ["vm.updated"] * 2
    assert types(watch.take("vm.updated", "8", event("b"))) == ["vm.updated"]


def test_a_state_that_broke_off_begins_anew() -> None:
    watch = Watch(RNG)
    watch.begin()
    watch.take("vm.state", "", state("a", 1))
    assert watch.begin() == {}
    watch.take("vm.state", "", state("b", 2))
    mark = watch.take("bookmark", "2", "{}")
    assert mark is not None
    assert mark.keys == {Key("VM", "b")}


def test_a_heartbeat_moves_the_place_to_resume_from() -> None:
    watch = Watch(RNG, initial=False, since=3)
    assert watch.begin() == {"last-event-id": "3"}
    assert watch.take("message", "40", "") is None
    assert watch.begin() == {"last-event-id": "40"}


def test_a_log_that_no_longer_reaches_so_far_means_the_objects_again() -> None:
    watch = Watch(RNG, since=3)
    watch.begin()
    assert watch.take("reset", "", '{"reason":"expired","oldest":9}') is None
    assert types(watch.take("vm.state", "", state("a", 1)), watch.take("bookmark", "9", "{}")) == [
        "vm.state",
        "bookmark",
    ]


def test_a_data_directory_that_is_another_one_means_beginning_anew() -> None:
    watch = Watch(RNG, since=1000)
    watch.begin()
    watch.failed(ApiError(400, "future_revision", ""))
    assert watch.begin() == {}


def test_a_wrong_filter_is_told_and_a_daemon_that_is_away_is_waited_for() -> None:
    watch = Watch(RNG)
    watch.failed(NoAnswer("gone"))
    watch.failed(BUSY)
    with pytest.raises(ApiError):
        watch.failed(ApiError(400, "invalid", ""))


def test_pauses_grow_to_a_bound_and_are_short_again_after_a_success() -> None:
    pauses = Pauses(RNG)
    waited = [pauses.next_s() for _ in range(50)]
    assert waited[0] <= 0.1
    assert LONGEST_PAUSE_S / 2 <= waited[-1] <= LONGEST_PAUSE_S
    pauses.clear()
    assert pauses.next_s() <= 0.1


def test_a_wait_is_cut_into_slices_and_pinned_to_what_the_first_one_found() -> None:
    wait = Wait(RNG, 100.0, None, 0.0)
    assert wait.slice_s(0.0) == SLICE_S
    assert wait.failed(LATE, 60.0) == 0.0
    assert wait.generation == 7
    assert wait.slice_s(60.0) == 40.0
    with pytest.raises(ApiError):
        wait.failed(LATE, 100.0)


def test_a_wait_outlives_a_restart_but_does_not_wait_for_a_first_daemon() -> None:
    wait = Wait(RNG, 100.0, None, 0.0)
    with pytest.raises(NoAnswer):
        wait.failed(NoAnswer("nobody"), 0.0)
    assert wait.failed(BUSY, 1.0) > 0
    assert wait.failed(NoAnswer("restarting"), 2.0) > 0
    with pytest.raises(NoAnswer):
        wait.failed(NoAnswer("still away"), 100.0)


def test_a_wait_that_cannot_come_true_is_over() -> None:
    with pytest.raises(ApiError):
        Wait(RNG, 100.0, None, 0.0).failed(ApiError(409, "vm_failed", ""), 1.0)
