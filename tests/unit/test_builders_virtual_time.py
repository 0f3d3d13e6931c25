"""The loop that tests run on: time jumps, a deadlock raises, nothing is swallowed."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from tests.builders.virtual_time import (
    Deadlock,
    Runaway,
    Unhandled,
    VirtualClock,
    VirtualTimeLoop,
    run_virtual,
    virtual,
)


@virtual
async def test_a_year_passes_in_no_time(clock: VirtualClock) -> None:
    await clock.sleep(365 * 86_400.0)
    assert clock.monotonic() == 365 * 86_400.0


@virtual
async def test_timers_ring_in_order_and_at_their_own_time(clock: VirtualClock) -> None:
    rung: list[tuple[float, float]] = []
    loop = asyncio.get_running_loop()

    def ring(when: float) -> None:
        rung.append((when, clock.monotonic()))

    whens = [0.3, 0.1 + 0.2, 0.1, 7.7, 1e6 + 0.1]
    for when in whens:
        loop.call_at(when, ring, when)
    await clock.sleep(2e6)
    assert [when for when, _ in rung] == sorted(whens)
    assert all(abs(when - at) < 1e-9 for when, at in rung)


@virtual
async def test_a_wall_clock_jump_leaves_waits_alone(clock: VirtualClock) -> None:
    before = clock.now()
    clock.jump(-3600)
    await clock.sleep(10)
    assert clock.now() == before - 3600 + 10
    assert clock.monotonic() == 10


@virtual
async def test_a_timeout_on_the_loop_uses_virtual_time(clock: VirtualClock) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(300):
            await asyncio.Event().wait()
    assert clock.monotonic() == 300


@virtual
async def test_virtual_time_stands_still_while_an_executor_works(clock: VirtualClock) -> None:
    async with asyncio.timeout(1):
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.05)
    assert clock.monotonic() == 0


def test_virtual_time_stands_still_while_somebody_outside_is_busy() -> None:
    busy = threading.Event()

    async def main(clock: VirtualClock) -> float:
        answer = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def work() -> None:
            time.sleep(0.05)
            loop.call_soon_threadsafe(answer.set_result, None)
            busy.clear()

        busy.set()
        thread = threading.Thread(target=work)
        thread.start()
        async with asyncio.timeout(1):
            await answer
        thread.join()
        return clock.monotonic()

    assert run_virtual(main, busy_outside=[busy.is_set]) == 0


def test_a_deadlock_raises_and_says_who_waits_where() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def main(clock: VirtualClock) -> None:
        await clock.sleep(5)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(forever(), name="the sleeper")

    with pytest.raises(Deadlock, match=r"at 5 s(.|\n)*the sleeper at .*test_builders_virtual_time"):
        run_virtual(main)


def test_a_spinning_loop_is_stopped() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Runaway):
        run_virtual(main(), max_iterations=1000)


def test_an_exception_in_a_callback_fails_the_run() -> None:
    async def main(clock: VirtualClock) -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 / 0)
        await clock.sleep(2)

    with pytest.raises(Unhandled) as failure:
        run_virtual(main)
    assert isinstance(failure.value.__cause__, ZeroDivisionError)


def test_tasks_left_behind_are_cancelled_and_the_loop_is_closed() -> None:
    ended: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def lingering() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append("cancelled")

    async def main(clock: VirtualClock) -> str:
        loops.append(asyncio.get_running_loop())
        task = asyncio.create_task(lingering())
        await clock.sleep(1)
        assert not task.done()
        return "result"

    assert run_virtual(main) == "result"
    assert ended == ["cancelled"]
    assert isinstance(loops[0], VirtualTimeLoop)
    assert loops[0].is_closed()
