"""Events as bytes, and which of them a stream wants."""

from __future__ import annotations

import json

import pytest
from tests.builders.objects import NOW, a_deployment, a_plugin, a_vm

from volant.api.frames import LINES, NOWHERE, SSE, Wanted
from volant.model.event import Committed, Happening, committed

STARTED = committed(a_vm("web-1", plugin="hello", address="10.0.0.10"), Happening(type="vm.started"), 7, NOW)
SCALED = committed(a_deployment("web", plugin="hello"), Happening(type="deployment.scaled", message="1 → 3"), 8, NOW)
INSTALLED = committed(a_plugin("hello"), Happening(type="plugin.installed"), 9, NOW)
OTHER = committed(a_vm("db-1", plugin="postgres"), Happening(type="vm.created"), 10, NOW)
ALL = [STARTED, SCALED, INSTALLED, OTHER]


def test_an_event_is_id_type_and_one_line_of_data() -> None:
    """W5: the id is the revision."""
    lines = SSE.event(STARTED).decode().split("\n")
    assert lines[:2] == ["id: 7", "event: vm.started"]
    assert lines[2].startswith("data: {")
    assert lines[3:] == ["", ""]
    data = json.loads(lines[2][6:])
    assert data | {"name": "web-1", "ip": "10.0.0.10", "timestamp": "2023-11-14T22:13:20Z"} == data


def test_a_stream_opens_with_the_time_to_wait_before_the_next_try() -> None:
    """W5"""
    assert SSE.opening(None) == b"retry: 1000\n\n"


def test_opening_and_heartbeat_carry_an_id_and_no_data() -> None:
    """W4: a reader that was shown nothing still resumes where it is."""
    assert SSE.opening(5) == b"retry: 1000\nid: 5\n\n"
    assert SSE.beat(6) == b": beat\nid: 6\n\n"


def test_words_of_the_stream_itself_are_events_of_their_own() -> None:
    assert SSE.word("bye", {}, None) == b"event: bye\ndata: {}\n\n"
    assert SSE.word("reset", {"oldest": 3}, 9) == b'id: 9\nevent: reset\ndata: {"oldest":3}\n\n'


def test_a_line_of_json_carries_the_same() -> None:
    line = json.loads(LINES.event(STARTED))
    assert (line["id"], line["event"], line["data"]["name"]) == (7, "vm.started", "web-1")
    assert json.loads(LINES.word("bye", {}, None)) == {"id": None, "event": "bye", "data": {}}
    assert json.loads(LINES.beat(1)) == {"id": 1, "event": "beat", "data": {}}
    assert (LINES.opening(None), LINES.opening(1)) == (b"", LINES.beat(1))


def test_an_object_as_it_is_has_no_id() -> None:
    assert SSE.state("VM", b'{"name":"a"}') == b'event: vm.state\ndata: {"name":"a"}\n\n'
    assert json.loads(LINES.state("VM", b'{"name":"a"}')) == {"id": None, "event": "vm.state", "data": {"name": "a"}}


def test_a_word_can_take_away_the_id_that_a_reader_has() -> None:
    """W2: an empty id is what makes an EventSource send none when it connects again."""
    assert SSE.word("reset", {}, NOWHERE) == b"id:\nevent: reset\ndata: {}\n\n"
    assert json.loads(LINES.word("reset", {}, NOWHERE))["id"] is None


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Wanted(), ALL),
        (Wanted(kinds=frozenset({"VM"})), [STARTED, OTHER]),
        (Wanted(types=frozenset({"vm.started", "plugin.installed"})), [STARTED, INSTALLED]),
        (Wanted(names=frozenset({"web"})), [SCALED]),
        (Wanted(plugin="hello"), [STARTED, SCALED, INSTALLED]),
        (Wanted(plugin="hello", kinds=frozenset({"VM"})), [STARTED]),
        (Wanted(types=frozenset()), []),
    ],
)
def test_a_stream_takes_what_it_wants(wanted: Wanted, shown: list[Committed]) -> None:
    assert [event for event in ALL if wanted.takes(event)] == shown
