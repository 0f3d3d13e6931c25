"""Waits end when it is so, when their bound has passed, or when the daemon stops."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders.objects import NOW, a_vm
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.api.waiting import Waits
from volant.bus import Bus
from volant.errors import Unavailable
from volant.model.event import Committed, Happening, committed
from volant.model.meta import Key

KEY = Key("VM", "web-1")


def news_of(name: str, revision: int = 1) -> Committed:
    return committed(a_vm(name), Happening(type="vm.updated"), revision, NOW)


class Truth:
    """Something that is so or not, and how often somebody looked."""

    def __init__(self, is_so: bool = False) -> None:
        self.is_so = is_so
        self.looks = 0

    def __call__(self) -> bool:
        self.looks += 1
        return self.is_so


@virtual
async def test_what_is_so_already_is_not_waited_for(clock: VirtualClock) -> None:
    assert await Waits(Bus(), asyncio.Event()).until(KEY, Truth(True), 1) == "reached"


@virtual
async def test_a_wait_ends_with_the_change_that_makes_it_so(clock: VirtualClock) -> None:
    bus, truth = Bus(), Truth()
    waits = Waits(bus, asyncio.Event())
    async with asyncio.TaskGroup() as tasks:
        wait = tasks.create_task(waits.until(KEY, truth, 10))
        await settle()
        bus.publish([news_of("web-1", 1)])
        await settle()
        assert not wait.done()
        truth.is_so = True
        bus.publish([news_of("web-1", 2)])
    assert wait.result() == "reached"
    assert clock.monotonic() == 0


@virtual
async def test_news_of_other_objects_is_nothing_to_look_for(clock: VirtualClock) -> None:
    bus, truth = Bus(), Truth()
    waits = Waits(bus, asyncio.Event())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(waits.until(KEY, truth, 10))
        await settle()
        looks = truth.looks
        bus.publish([news_of("web-2")])
        await settle()
        assert truth.looks == looks


@virtual
async def test_many_may_wait_for_one_object(clock: VirtualClock) -> None:
    bus, truth = Bus(), Truth()
    waits = Waits(bus, asyncio.Event())
    async with asyncio.TaskGroup() as tasks:
        all_waits = [tasks.create_task(waits.until(KEY, truth, 10)) for _ in range(3)]
        await settle()
        truth.is_so = True
        bus.publish([news_of("web-1")])
    assert [wait.result() for wait in all_waits] == ["reached"] * 3


@virtual
async def test_a_wait_ends_with_its_bound(clock: VirtualClock) -> None:
    assert await Waits(Bus(), asyncio.Event()).until(KEY, Truth(), 45) == "timeout"
    assert clock.monotonic() == 45


@virtual
async def test_a_wait_ends_with_the_daemon(clock: VirtualClock) -> None:
    """S1"""
    stopping = asyncio.Event()
    waits = Waits(Bus(), stopping)
    async with asyncio.TaskGroup() as tasks:
        wait = tasks.create_task(waits.until(KEY, Truth(), 45))
        await settle()
        stopping.set()
    assert wait.result() == "stopping"
    assert clock.monotonic() == 0


@virtual
async def test_what_a_look_raises_is_raised_as_it_is(clock: VirtualClock) -> None:
    bus, looked = Bus(), []

    def look() -> bool:
        looked.append(1)
        if len(looked) > 2:
            raise Unavailable("cannot read")
        return False

    async with asyncio.TaskGroup() as tasks:
        wait = tasks.create_task(_outcome(Waits(bus, asyncio.Event()), look))
        await settle()
        bus.publish([news_of("web-1")])
    assert isinstance(wait.result(), Unavailable)


@virtual
async def test_a_wait_that_is_given_up_leaves_nothing_behind(clock: VirtualClock) -> None:
    bus = Bus()
    waits = Waits(bus, asyncio.Event())
    async with asyncio.TaskGroup() as tasks:
        wait = tasks.create_task(waits.until(KEY, Truth(), 45))
        await settle()
        wait.cancel()
    assert waits._waiting == {}
    bus.publish([news_of("web-1")])


async def _outcome(waits: Waits, look: Truth | object) -> object:
    with pytest.raises(Unavailable) as caught:
        await waits.until(KEY, look, 10)  # type: ignore[arg-type]
    return caught.value
