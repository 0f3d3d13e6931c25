"""What the workqueue promises, one test a promise. Their interplay is checked against a model in tests/property."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.reconcile import Gate, Priority, ShutDown, Workqueue

ROUTINE = Priority.ROUTINE


async def take_all(queue: Workqueue[str]) -> list[str]:
    taken = []
    while len(queue):
        key = await queue.get()
        taken.append(key)
        queue.done(key)
    return taken


@virtual
async def test_a_key_added_many_times_before_it_is_taken_is_handed_out_once(clock: VirtualClock) -> None:
    """Q1: n adds of a key before it is taken give exactly one reconcile."""
    queue: Workqueue[str] = Workqueue(clock)
    for _ in range(1000):
        queue.add("a")
        queue.add("a", ROUTINE)
        queue.add_after("a", 1)
    assert await take_all(queue) == ["a"]
    await clock.sleep(10)
    assert len(queue) == queue.delayed == 0


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_a_key_is_never_with_two_workers(workers: int) -> None:
    """Q2: a key is never worked on by two workers at once, for any number of workers."""

    @virtual
    async def scenario(clock: VirtualClock) -> None:
        queue: Workqueue[int] = Workqueue(clock)
        in_hand: Counter[int] = Counter()
        turns: Counter[int] = Counter()

        async def worker() -> None:
            while True:
                key = await queue.get()
                in_hand[key] += 1
                assert in_hand[key] == 1
                await clock.sleep(0.1 + key)
                in_hand[key] -= 1
                turns[key] += 1
                queue.done(key)

        async def storm() -> None:
            for _ in range(200):
                for key in range(3):
                    queue.add(key)
                await clock.sleep(0.05)

        async with asyncio.TaskGroup() as tasks:
            hands = [tasks.create_task(worker()) for _ in range(workers)]
            await storm()
            await clock.sleep(100)
            for hand in hands:
                hand.cancel()
        assert all(turns[key] > 1 for key in range(3))

    scenario()


@virtual
async def test_a_key_added_while_being_worked_on_comes_back_once(clock: VirtualClock) -> None:
    """Q3: a key added while being reconciled is reconciled exactly once more after `done`, never lost."""
    queue: Workqueue[str] = Workqueue(clock)
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("a", ROUTINE)
    assert len(queue) == 0
    queue.done(key)
    assert await take_all(queue) == ["a"]


@virtual
async def test_a_key_added_as_fresh_and_routine_while_being_worked_on_is_fresh(clock: VirtualClock) -> None:
    """Q3, Q10: the higher of the priorities asked for counts."""
    queue: Workqueue[str] = Workqueue(clock)
    queue.add("a")
    key = await queue.get()
    queue.add("b")
    queue.add("c", ROUTINE)
    queue.add("a", ROUTINE)
    queue.add("a")
    queue.add("a", ROUTINE)
    queue.done(key)
    assert await take_all(queue) == ["b", "a", "c"]


@virtual
async def test_the_earliest_due_time_is_kept(clock: VirtualClock) -> None:
    """Q9: of two `add_after` the earliest due time counts, in whichever order they are asked."""
    for first, second in ((5.0, 50.0), (50.0, 5.0)):
        queue: Workqueue[str] = Workqueue(clock)
        begun = clock.monotonic()
        queue.add_after("a", first)
        queue.add_after("a", second)
        assert queue.delayed == 1
        assert await queue.get() == "a"
        assert clock.monotonic() == begun + 5
        queue.done("a")
        await clock.sleep(100)
        assert len(queue) == 0


@virtual
async def test_a_look_taken_earlier_fulfils_a_later_one(clock: VirtualClock) -> None:
    """Q9: whoever looks decides anew when to look again, so the older wish is void."""
    queue: Workqueue[str] = Workqueue(clock)
    queue.add_after("a", 10)
    queue.add("a")
    queue.done(await queue.get())
    assert queue.delayed == 0


@virtual
async def test_a_void_due_time_does_not_ring_for_the_next_one(clock: VirtualClock) -> None:
    """Q9: what an earlier hand-out fulfilled does not bring the key before the time asked for since."""
    queue: Workqueue[str] = Workqueue(clock)
    queue.add_after("other", 10)
    queue.add_after("a", 10)
    queue.add("a")
    queue.done(await queue.get())
    queue.add_after("a", 30)
    taken = [(await queue.get(), clock.monotonic()) for _ in range(2)]
    assert taken == [("other", 10), ("a", 30)]


@virtual
async def test_a_look_asked_for_during_the_work_is_not_fulfilled_by_it(clock: VirtualClock) -> None:
    """Q3, Q9: what is asked after the hand-out is about what comes after it."""
    queue: Workqueue[str] = Workqueue(clock)
    queue.add("a")
    key = await queue.get()
    queue.add_after("a", 10)
    await clock.sleep(20)
    assert queue.delayed == len(queue) == 0
    queue.done(key)
    assert await take_all(queue) == ["a"]


@virtual
async def test_a_delay_that_is_not_positive_is_none(clock: VirtualClock) -> None:
    queue: Workqueue[str] = Workqueue(clock)
    for key, seconds in (("a", 0.0), ("b", -5.0), ("c", float("nan"))):
        queue.add_after(key, seconds)
    assert await take_all(queue) == ["a", "b", "c"]


@virtual
async def test_many_delayed_keys_need_one_timer(clock: VirtualClock) -> None:
    """Q9: no task and no timer a key, and superseded due times do not pile up."""
    queue: Workqueue[int] = Workqueue(clock)
    loop = asyncio.get_running_loop()
    tasks_before = len(asyncio.all_tasks())
    for round_ in range(50):
        for key in range(100):
            queue.add_after(key, 1000.0 - round_ - key)
    assert queue.delayed == 100
    assert len(asyncio.all_tasks()) == tasks_before
    live_timers = [timer for timer in vars(loop)["_scheduled"] if not timer.cancelled()]
    assert len(live_timers) == 1
    assert len(queue._due._heap) < 400


@virtual
async def test_fresh_keys_overtake_routine_ones_and_each_line_is_first_come_first_served(clock: VirtualClock) -> None:
    """Q10: two priorities, FIFO inside."""
    queue: Workqueue[str] = Workqueue(clock)
    for key in ("r1", "r2", "r3"):
        queue.add(key, ROUTINE)
    for key in ("f1", "f2", "r2"):
        queue.add(key)
    assert await take_all(queue) == ["f1", "f2", "r2", "r1", "r3"]


@virtual
async def test_routine_keys_finish_within_a_minute_under_load(clock: VirtualClock) -> None:
    """Q10: aging: ROUTINE finishes within 60 s while FRESH keys arrive faster than they can be worked off."""
    queue: Workqueue[str] = Workqueue(clock)
    finished: dict[str, float] = {}

    async def load() -> None:
        for number in range(200_000):
            queue.add(f"fresh-{number}")
            await clock.sleep(0.005)

    async def worker() -> None:
        while True:
            key = await queue.get()
            await clock.sleep(0.01)
            finished.setdefault(key, clock.monotonic())
            queue.done(key)

    for number in range(1000):
        queue.add(f"routine-{number}", ROUTINE)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(load()), tasks.create_task(worker())]
        await clock.sleep(60)
        for task in running:
            task.cancel()
    assert all(f"routine-{number}" in finished for number in range(1000))
    fresh = [key for key in finished if key.startswith("fresh")]
    assert len(fresh) > 4500, "fresh keys keep at least half of the turns meanwhile"


@virtual
async def test_nothing_is_taken_or_given_after_shutdown(clock: VirtualClock) -> None:
    """Q11: shutdown: no new items."""
    queue: Workqueue[str] = Workqueue(clock)
    queue.add("a")
    queue.add_after("b", 1)
    queue.shutdown()
    queue.add("c")
    queue.add_after("d", 1)
    await clock.sleep(5)
    assert len(queue) == queue.delayed == 0
    with pytest.raises(ShutDown):
        await queue.get()


@virtual
async def test_shutdown_ends_every_wait(clock: VirtualClock) -> None:
    """Q11: workers that wait for a key learn of the end, even behind a closed gate."""
    gate = Gate(clock)
    queue: Workqueue[str] = Workqueue(clock, gate=gate)

    async def worker() -> str:
        try:
            return await queue.get()
        except ShutDown:
            return "ended"

    async with asyncio.TaskGroup() as tasks:
        workers = [tasks.create_task(worker()) for _ in range(3)]
        await settle()
        gate.close("test")
        queue.shutdown()
    assert [task.result() for task in workers] == ["ended"] * 3


@virtual
async def test_drain_returns_when_every_done_was_called(clock: VirtualClock) -> None:
    """Q11: drain returns only when every `done` was called."""
    queue: Workqueue[str] = Workqueue(clock)
    for key in ("a", "b", "c"):
        queue.add(key)
    in_hand = [await queue.get(), await queue.get()]
    queue.add("a")

    async def finish() -> None:
        for key in in_hand:
            await clock.sleep(2)
            queue.done(key)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(finish())
        assert await queue.drain(deadline_s=10)
    assert clock.monotonic() == 4
    assert len(queue) == queue.in_flight == 0


@virtual
async def test_drain_gives_up_at_its_deadline(clock: VirtualClock) -> None:
    """Q11: drain has a deadline."""
    queue: Workqueue[str] = Workqueue(clock)
    queue.add("a")
    await queue.get()
    assert not await queue.drain(deadline_s=3)
    assert clock.monotonic() == 3


@virtual
async def test_an_idle_queue_drains_at_once(clock: VirtualClock) -> None:
    """Q11: nothing under way, nothing to wait for."""
    queue: Workqueue[str] = Workqueue(clock)
    assert await queue.drain(deadline_s=3)
    assert clock.monotonic() == 0


@virtual
async def test_work_that_nobody_was_handed_cannot_end(clock: VirtualClock) -> None:
    queue: Workqueue[str] = Workqueue(clock)
    queue.add("a")
    with pytest.raises(RuntimeError, match="cannot end the work on 'a'"):
        queue.done("a")


@virtual
async def test_a_getter_cancelled_as_it_is_woken_passes_the_key_on(clock: VirtualClock) -> None:
    """Q3: no key waits for ever because the worker it woke was cancelled."""
    queue: Workqueue[str] = Workqueue(clock)
    async with asyncio.TaskGroup() as tasks:
        first, second = tasks.create_task(queue.get()), tasks.create_task(queue.get())
        await settle()
        queue.add("a")
        first.cancel()
    assert second.result() == "a"


@virtual
async def test_a_getter_cancelled_before_the_add_does_not_swallow_the_key(clock: VirtualClock) -> None:
    """Q3: a cancelled wait is out of the line at once."""
    queue: Workqueue[str] = Workqueue(clock)
    async with asyncio.TaskGroup() as tasks:
        first, second = tasks.create_task(queue.get()), tasks.create_task(queue.get())
        await settle()
        first.cancel()
        queue.add("a")
    assert second.result() == "a"


@virtual
async def test_a_closed_gate_keeps_every_key_in(clock: VirtualClock) -> None:
    """S4: while the gate is closed no key is handed out, to waiting workers neither."""
    gate = Gate(clock)
    queue: Workqueue[str] = Workqueue(clock, gate=gate)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(queue.get())
        await settle()
        queue.add("a")
        gate.close("the disk is full")
        late = tasks.create_task(queue.get())
        queue.add("b")
        await clock.sleep(100)
        assert not waiting.done()
        assert not late.done()
        gate.open("the disk is full")
    assert {waiting.result(), late.result()} == {"a", "b"}
