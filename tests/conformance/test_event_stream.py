"""The documented stream: every type that is listed is sent, with the fields that are printed, in the printed form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from tests.builders.daemon import until
from tests.conformance.reference import reference
from tests.conformance.shapes import differences
from tests.conformance.world import World

REFERENCE = reference()
STREAM = next(operation for operation in REFERENCE.operations if operation.is_stream)
NAME = STREAM.frames[0].data["name"]


class Seen(NamedTuple):
    """One event as it was sent."""

    event: str
    lines: list[str]

    @property
    def data(self) -> Any:
        """What its one line of data holds."""
        (line,) = [line for line in self.lines if line.startswith("data:")]
        return json.loads(line.removeprefix("data:"))


@contextmanager
def following(world: World) -> Iterator[Iterator[Seen]]:
    """The stream, open before anything happens; ends by its own time limit when nothing comes."""
    path = STREAM.path.removeprefix("/api/v1")
    with world.api.stream("GET", path, timeout=10) as answer:
        assert answer.status_code == STREAM.status
        assert answer.headers["content-type"].partition(";")[0] == STREAM.media
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[Seen]:
    block: list[str] = []
    for line in lines:
        if line:
            block.append(line)
            continue
        if names := [entry.removeprefix("event:").strip() for entry in block if entry.startswith("event:")]:
            yield Seen(names[0], block)
        block = []


def live(world: World) -> None:
    """A life with every documented event in it."""
    world.vm(NAME)
    world.post(f"/vms/{NAME}/stop")
    world.delete(f"/vms/{NAME}")
    world.broken_plugin("broken")
    world.vm_of("broken", "fails")
    until("the VM has failed", lambda: world.get("/vms/fails")["status"] == "error")
    world.no_vm("fails")
    world.no_plugin("broken")


@pytest.fixture(scope="module")
def seen(world: World) -> list[Seen]:
    """All that was sent of that life."""
    world.no_vm(NAME)
    with following(world) as events:
        live(world)
        found = []
        for event in events:
            found.append(event)
            if event.event == "vm.deleted" and event.data["name"] == "fails":
                break
    return found


def test_every_documented_type_is_sent_and_no_other(seen: list[Seen]) -> None:
    assert {event.event for event in seen if event.event.startswith("vm.")} == set(STREAM.event_types)


def test_every_printed_event_is_sent_with_its_fields_in_the_printed_order(seen: list[Seen]) -> None:
    mine = [event for event in seen if event.event.startswith("vm.") and event.data["name"] == NAME]
    places = []
    for frame in STREAM.frames:
        place, found = next((i, event) for i, event in enumerate(mine) if event.event == frame.event)
        assert differences(frame.data, found.data) == []
        places.append(place)
    assert places == sorted(places)


def test_every_event_names_its_vm_its_plugin_and_its_time(seen: list[Seen]) -> None:
    printed = {**STREAM.frames[0].data}
    for event in seen:
        if event.event.startswith("vm."):
            assert differences(printed, event.data, ("name", "plugin")) == []


def test_ids_grow_so_that_a_stream_can_be_resumed(seen: list[Seen]) -> None:
    ids = [int(line.removeprefix("id:")) for event in seen for line in event.lines if line.startswith("id:")]
    assert len(ids) == len(seen)
    assert all(one < other for one, other in pairwise(ids))


def test_the_printed_events_are_documented_types() -> None:
    assert {frame.event for frame in STREAM.frames} <= set(STREAM.event_types)
