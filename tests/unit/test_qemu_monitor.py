"""One QMP connection, with the test as QEMU."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from volant.drivers.qemu.qmp import Monitor

GREETING = {"QMP": {"version": {}, "capabilities": ["oob"]}}


class Qemu:
    """The other end of the connection."""

    def __init__(self) -> None:
        self.end, connection = socket.socketpair()
        connection.setblocking(False)
        self.end.settimeout(5)
        self.changes = 0
        self.monitor = Monitor(connection, on_change=self.count)

    def count(self) -> None:
        self.changes += 1

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.end.sendall(json.dumps(message).encode() + b"\r\n")
        self.monitor.drain()

    def heard(self) -> list[dict[str, Any]]:
        self.end.setblocking(False)
        try:
            return [json.loads(line) for line in self.end.recv(1 << 16).splitlines()]
        except BlockingIOError:
            return []

    def come_up(self, state: str = "running") -> None:
        self.say(GREETING)
        hello, question = self.heard()
        assert hello["execute"] == "qmp_capabilities"
        assert question["execute"] == "query-status"
        self.say({"return": {}, "id": hello["id"]}, {"return": {"status": state}, "id": question["id"]})


@pytest.fixture
async def qemu() -> Any:
    made = Qemu()
    yield made
    made.monitor.close()
    made.end.close()


async def test_it_is_up_once_qemu_has_answered(qemu: Qemu) -> None:
    assert not qemu.monitor.is_up
    qemu.say(GREETING)
    assert not qemu.monitor.is_up
    qemu.heard()
    qemu.say({"return": {"status": "running"}, "id": 2})
    assert qemu.monitor.is_up
    assert qemu.monitor.run_state == "running"
    assert qemu.changes == 1


async def test_bytes_may_arrive_in_any_pieces(qemu: Qemu) -> None:
    qemu.come_up()
    for letter in b'{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}\n':
        qemu.end.sendall(bytes([letter]))
        qemu.monitor.drain()
    assert qemu.monitor.shutdown == "guest-reset"


async def test_the_last_words_of_a_dead_qemu_are_heard(qemu: Qemu) -> None:
    qemu.come_up()
    shutdown = {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}}
    qemu.end.sendall(json.dumps(shutdown).encode() + b"\n")
    qemu.end.close()
    qemu.monitor.drain()
    assert qemu.monitor.shutdown == "guest-shutdown"
    assert qemu.monitor.is_lost


async def test_a_panic_is_heard(qemu: Qemu) -> None:
    qemu.come_up()
    qemu.say({"event": "GUEST_PANICKED", "data": {"action": "poweroff"}})
    assert qemu.monitor.has_panicked


@pytest.mark.parametrize("event", ["STOP", "RESUME"])
async def test_a_guest_that_stops_or_goes_on_is_asked_about(qemu: Qemu, event: str) -> None:
    qemu.come_up()
    qemu.say({"event": event})
    [question] = qemu.heard()
    assert question["execute"] == "query-status"
    qemu.say({"return": {"status": "paused"}, "id": question["id"]})
    assert qemu.monitor.run_state == "paused"


async def test_an_answer_in_time_is_an_answer(qemu: Qemu) -> None:
    qemu.come_up()
    asking = asyncio.ensure_future(qemu.monitor.is_answering(5))
    await asyncio.sleep(0)
    [question] = qemu.heard()
    qemu.say({"return": {"status": "running"}, "id": question["id"]})
    assert await asking


async def test_no_answer_in_time_is_none(qemu: Qemu) -> None:
    qemu.come_up()
    assert not await qemu.monitor.is_answering(0.01)


async def test_an_end_of_the_connection_is_no_answer(qemu: Qemu) -> None:
    qemu.come_up()
    asking = asyncio.ensure_future(qemu.monitor.is_answering(60))
    await asyncio.sleep(0)
    qemu.end.close()
    assert not await asking
    assert qemu.monitor.is_lost


async def test_a_command_to_a_qemu_that_does_not_read_is_not_waited_for(qemu: Qemu) -> None:
    qemu.come_up()
    assert any(qemu.monitor.send("query-status") is None for _ in range(100_000))


async def test_a_line_without_end_is_not_collected_for_ever(qemu: Qemu) -> None:
    """E8"""
    qemu.come_up()
    qemu.end.setblocking(False)
    while not qemu.monitor.is_lost:
        qemu.end.send(b"x" * 65536)
        qemu.monitor.drain()


NONSENSE = [
    b"not json",
    b"[1]",
    b"7",
    b"\xff\xfe",
    b'{"event": 7}',
    b'{"event": "SHUTDOWN"}',
    b'{"return": 1, "id": "x"}',
]


@pytest.mark.parametrize("line", NONSENSE)
async def test_nonsense_is_passed_over(qemu: Qemu, line: bytes) -> None:
    """E8"""
    qemu.come_up()
    qemu.end.sendall(line + b"\n")
    qemu.say({"event": "GUEST_PANICKED"})
    assert qemu.monitor.has_panicked
    assert not qemu.monitor.is_lost


async def test_nothing_new_is_no_change(qemu: Qemu) -> None:
    qemu.come_up()
    before = qemu.changes
    qemu.say({"event": "NIC_RX_FILTER_CHANGED"}, {"return": {"status": "running"}, "id": 99})
    assert qemu.changes == before


async def test_closing_may_be_repeated(qemu: Qemu) -> None:
    qemu.monitor.close()
    qemu.monitor.close()
    qemu.monitor.drain()
