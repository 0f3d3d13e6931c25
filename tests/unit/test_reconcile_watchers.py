"""Watchers that die, return, hang or fall silent, and the supervisor that does not let them rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from structlog.testing import capture_logs
from tests.builders.virtual_time import VirtualClock, virtual

from volant.reconcile import Beat, Health, WatcherHealth, supervise
from volant.reconcile.watchers import STEADY_S

Watch = Callable[[Beat], Awaitable[None]]


def state(health: Health) -> WatcherHealth:
    (watcher,) = health.watchers()
    return watcher


async def dies() -> None:
    raise OSError("netlink is gone")


async def returns() -> None:
    return


async def is_cancelled_inside() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("end", [dies, returns, is_cancelled_inside], ids=lambda end: end.__name__)
def test_a_watcher_that_ends_is_started_again(end: Callable[[], Awaitable[None]]) -> None:
    """L8: a dead observer is restarted within 1 s, however it died, and shows until it runs well again."""

    @virtual
    async def scenario(clock: VirtualClock) -> None:
        health = Health(clock)
        starts: list[float] = []

        async def watch(beat: Beat) -> None:
            starts.append(clock.monotonic())
            if len(starts) > 3:
                await asyncio.Event().wait()
            await clock.sleep(10)
            await end()

        task = asyncio.create_task(supervise("taps", watch, clock, health))
        await clock.sleep(9)
        assert health.is_healthy
        await clock.sleep(2)
        assert not health.is_healthy
        assert "cannot go on" in str(state(health).fault)
        await clock.sleep(100)
        assert [later - earlier for earlier, later in pairwise(starts)] == [10.5] * 3
        assert health.is_healthy
        assert state(health).restarts == 3
        task.cancel()

    scenario()


@virtual
async def test_silence_is_a_fault(clock: VirtualClock) -> None:
    """L8: silence > N s is a fault: the watcher is ended and started again."""
    health = Health(clock)
    starts: list[float] = []

    async def watch(beat: Beat) -> None:
        starts.append(clock.monotonic())
        for _ in range(5):
            await clock.sleep(2)
            beat()
        if len(starts) == 1:
            await asyncio.Event().wait()  # the subscription hangs; nobody would ever know
        while True:
            await clock.sleep(2)
            beat()

    task = asyncio.create_task(supervise("exits", watch, clock, health, silence_s=3.0))
    await clock.sleep(12.9)
    assert health.is_healthy
    await clock.sleep(0.2)
    assert "no beat for 3 s" in str(state(health).fault)
    await clock.sleep(20)
    assert starts == [0.0, 13.5]
    assert health.is_healthy
    assert state(health).silent_s <= 2
    task.cancel()


@virtual
async def test_a_watcher_that_keeps_dying_never_looks_well_and_is_logged_once(clock: VirtualClock) -> None:
    """L8: shows in /healthz all the time, restarts counted; a repeated failure is logged when it starts and ends."""
    health = Health(clock)
    is_broken = True

    async def watch(beat: Beat) -> None:
        beat()
        await clock.sleep(0.1)
        if is_broken:
            raise OSError("no")
        while True:
            beat()
            await clock.sleep(1)

    with capture_logs() as logs:
        task = asyncio.create_task(supervise("exits", watch, clock, health, silence_s=3.0))
        await clock.sleep(0.3)
        for _ in range(100):
            assert not health.is_healthy
            await clock.sleep(0.37)
        assert state(health).restarts > 50
        is_broken = False
        await clock.sleep(1 + STEADY_S + 1)
        assert health.is_healthy
        task.cancel()
    assert [entry["event"] for entry in logs] == ["watcher.failed", "watcher.recovered"]


@virtual
async def test_a_watcher_without_beats_must_run_for_a_while_to_be_forgiven(clock: VirtualClock) -> None:
    """L8: one that dies every few seconds does not look well in between."""
    health = Health(clock)

    async def watch(beat: Beat) -> None:
        await clock.sleep(STEADY_S - 0.1)
        raise OSError("no")

    task = asyncio.create_task(supervise("taps", watch, clock, health))
    await clock.sleep(STEADY_S)
    for _ in range(100):
        await clock.sleep(0.37)
        assert not health.is_healthy
    task.cancel()


@virtual
async def test_a_beat_that_outlives_its_watcher_vouches_for_nobody(clock: VirtualClock) -> None:
    """L8: a callback left behind by a dead watcher proves nothing about the next one."""
    health = Health(clock)
    beats: list[Beat] = []

    async def watch(beat: Beat) -> None:
        beats.append(beat)
        await asyncio.Event().wait()

    task = asyncio.create_task(supervise("exits", watch, clock, health, silence_s=3.0))
    await clock.sleep(4)
    for _ in range(6):
        beats[0]()
        await clock.sleep(1)
    assert len(beats) == 3
    assert not health.is_healthy
    task.cancel()


@virtual
async def test_supervision_ends_when_it_is_cancelled(clock: VirtualClock) -> None:
    health = Health(clock)
    ended: list[str] = []

    async def watch(beat: Beat) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("watcher")

    task = asyncio.create_task(supervise("exits", watch, clock, health))
    await clock.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["watcher"]
    assert state(health).restarts == 0


@virtual
async def test_watchers_are_listed_by_name(clock: VirtualClock) -> None:
    health = Health(clock)

    async def watch(beat: Beat) -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(supervise(name, watch, clock, health)) for name in ("b", "a")]
    await clock.sleep(1)
    assert [watcher.name for watcher in health.watchers()] == ["a", "b"]
    assert health.is_healthy
    for task in tasks:
        task.cancel()
