"""What a watch and a wait make of what they are told, without a connection and without a clock."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from volant.client.address import silence
from volant.client.failures import ApiError, NoAnswer
from volant.client.following import LONGEST_PAUSE_S, SLICE_S, Change, Pauses, Wait, Watch
from volant.client.tailing import BACK, BROKE, Tailing
from volant.model.meta import Key
from volant.model.views import VMView

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


def test_a_wait_outlives_a_daemon_that_goes_before_it_has_answered_anything() -> None:
    wait = Wait(RNG, 100.0, None, 0.0)
    assert wait.failed(NoAnswer("it hung up", is_reached=True), 1.0) > 0
    assert wait.failed(NoAnswer("nobody"), 2.0) > 0
    with pytest.raises(NoAnswer):
        wait.failed(NoAnswer("still nobody"), 100.0)


def test_what_a_system_says_of_a_connection_is_told_in_one_way() -> None:
    bare = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")
    wrapped = OSError("All connection attempts failed")
    wrapped.__cause__ = ExceptionGroup("several", [bare, bare])
    for error in (bare, wrapped):
        said = silence("http://a", error, is_reached=False)
        assert (said.message, said.is_reached) == ("cannot reach the daemon at http://a: Connection refused", False)
    assert "not known" in silence("http://a", OSError(-2, "Name or service not known"), is_reached=False).message
    assert silence("http://a", ValueError(), is_reached=True).is_reached


def a_vm_view(uid: str) -> VMView:
    return msgspec.convert({**json.loads(state("web", 1)), "uid": uid}, VMView)


def test_a_guest_is_followed_from_then_on_once_the_daemon_is_back() -> None:
    heard: list[str] = []
    tailing = Tailing(RNG, "web", 5, heard.append)
    first = tailing.follow(a_vm_view("u"), 0.0)
    assert first is not None
    assert first.query == {"tail": "5", "follow": "true"}
    assert not tailing.failed(NoAnswer("it broke", is_reached=True))
    pauses = [tailing.pause_s(1.0)]
    for _ in range(20):
        assert not tailing.failed(NoAnswer("nobody"))
        pauses.append(tailing.pause_s(1.0))
    assert 0 < pauses[0] < LONGEST_PAUSE_S / 2 < max(pauses) <= LONGEST_PAUSE_S
    again = tailing.follow(a_vm_view("u"), 2.0)
    assert again is not None
    assert again.query == {"tail": "0", "follow": "true"}
    assert heard == [BROKE, BACK]
    assert tailing.follow(a_vm_view("another of that name"), 3.0) is None
    assert tailing.failed(ApiError(404, "vm_not_found", ""))


@pytest.mark.parametrize("error", [NoAnswer("nobody"), ApiError(404, "vm_not_found", ""), BUSY])
def test_a_guest_that_cannot_be_followed_to_begin_with_is_not_waited_for(error: NoAnswer | ApiError) -> None:
    with pytest.raises(type(error)):
        Tailing(RNG, "web", None, None).failed(error)
