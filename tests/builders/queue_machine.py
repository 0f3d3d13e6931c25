"""A machine that does everything to a workqueue and to a model slow enough to be obviously right.

The machine drives adds, due times, workers that wait, work, finish or are cancelled, the gate and the clock, and
compares after every step: who was handed what and when, what waits, what is due. Next to the model stand oracles that
need no model: a key is with one worker only, and every ask is answered by a hand-out that begins after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.builders.virtual_time import VirtualClock, VirtualTimeLoop, settle

from volant.reconcile import Gate, Priority, ShutDown, Workqueue

FRESH, ROUTINE = Priority.FRESH, Priority.ROUTINE
AGING_S = 8.0
MAX_GETTERS = 3

keys = st.sampled_from("abcde")
priorities = st.sampled_from([FRESH, ROUTINE])
quarters = st.integers(0, 40).map(lambda n: n / 4)  # exact in binary, so that equal times are equal

HandOut = tuple[float, str]


@dataclass
class Model:
    """The promises of the queue, with lists and full scans."""

    now: float = 0.0
    lines: dict[Priority, list[tuple[str, float]]] = field(default_factory=lambda: {FRESH: [], ROUTINE: []})
    due: list[tuple[float, int, str, Priority]] = field(default_factory=list)
    working: set[str] = field(default_factory=set)
    once_more: dict[str, Priority] = field(default_factory=dict)
    getters: int = 0
    is_open: bool = True
    is_shut: bool = False
    was_routine_turn: bool = False
    asks: int = 0
    handed_out: list[HandOut] = field(default_factory=list)

    def add(self, key: str, priority: Priority) -> None:
        if self.is_shut:
            return
        if key in self.working:
            self.once_more[key] = min(priority, self.once_more.get(key, priority))
            return
        waiting = [p for p in self.lines if any(k == key for k, _ in self.lines[p])]
        if not waiting or priority < waiting[0]:
            for p in waiting:
                self.lines[p] = [(k, since) for k, since in self.lines[p] if k != key]
            self.lines[priority].append((key, self.now))

    def add_after(self, key: str, seconds: float, priority: Priority) -> None:
        if self.is_shut:
            return
        if seconds <= 0:
            self.add(key, priority)
            return
        self.asks += 1
        known = [entry for entry in self.due if entry[2] == key]
        asked = (self.now + seconds, self.asks, key, priority)
        if known:
            merged = (min(asked[0], known[0][0]), min(priority, known[0][3]))
            if merged == (known[0][0], known[0][3]):
                return
            self.due.remove(known[0])
            asked = (merged[0], self.asks, key, merged[1])
        self.due.append(asked)

    def hand_out(self) -> None:
        """Every getter that can have a key has one."""
        while self.getters and self.is_open and not self.is_shut and any(self.lines.values()):
            key, _ = self.lines[self._next_line()].pop(0)
            self.due = [entry for entry in self.due if entry[2] != key]
            self.working.add(key)
            self.getters -= 1
            self.handed_out.append((self.now, key))

    def _next_line(self) -> Priority:
        if not self.lines[ROUTINE]:
            return FRESH
        if not self.lines[FRESH]:
            return ROUTINE
        aged = self.now - self.lines[ROUTINE][0][1] >= AGING_S
        self.was_routine_turn = aged and not self.was_routine_turn
        return ROUTINE if self.was_routine_turn else FRESH

    def done(self, key: str) -> None:
        self.working.remove(key)
        if key in self.once_more:
            self.add(key, self.once_more.pop(key))

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.due and min(self.due)[0] <= until:
            self.now = min(self.due)[0]
            for entry in sorted(entry for entry in self.due if entry[0] == self.now):
                self.due.remove(entry)
                self.add(entry[2], entry[3])
            self.hand_out()
        self.now = until

    def shutdown(self) -> None:
        self.is_shut = True
        self.lines = {FRESH: [], ROUTINE: []}
        self.once_more.clear()
        self.due.clear()
        self.getters = 0


class QueueMachine(RuleBasedStateMachine):
    """Does everything to the queue and to the model."""

    queue_type: type[Workqueue[str]] = Workqueue

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.clock = VirtualClock(self.loop)
        self.gate = Gate(self.clock)
        self.queue = self.queue_type(self.clock, gate=self.gate, aging_s=AGING_S)
        self.model = Model()
        self.handed_out: list[HandOut] = []
        self.in_hand: set[str] = set()
        self.unanswered: dict[str, float] = {}  # key -> by when a hand-out is owed
        self.getters: list[asyncio.Task[None]] = []

    # -- what the outside does

    @rule(key=keys, priority=priorities)
    def add(self, key: str, priority: Priority) -> None:
        self._ask(key, 0)
        self.queue.add(key, priority)
        self.model.add(key, priority)
        self._settle()

    @rule(key=keys, seconds=quarters, priority=priorities)
    def add_after(self, key: str, seconds: float, priority: Priority) -> None:
        self._ask(key, seconds)
        self._in_loop(lambda: self.queue.add_after(key, seconds, priority))
        self.model.add_after(key, seconds, priority)
        self._settle()

    @rule(batch=st.lists(st.tuples(keys, priorities), min_size=2, max_size=4))
    def add_in_one_breath(self, batch: list[tuple[str, Priority]]) -> None:
        for key, priority in batch:
            self._ask(key, 0)
            self.queue.add(key, priority)
            self.model.add(key, priority)
        self._settle()

    @rule(seconds=quarters)
    def advance(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.model.advance(seconds)
        self._settle()

    @rule()
    def turn_the_gate(self) -> None:
        if self.gate.is_open:
            self.gate.close("test")
        else:
            self.gate.open("test")
        self.model.is_open = self.gate.is_open
        self._settle()

    @rule(key=keys, priority=priorities)
    @precondition(lambda self: self.gate.is_open)
    def close_the_gate_on_a_woken_worker(self, key: str, priority: Priority) -> None:
        self._ask(key, 0)
        self.queue.add(key, priority)
        self.gate.close("test")
        self.model.add(key, priority)
        self.model.is_open = False
        self._settle()

    # -- what workers do

    @rule()
    @precondition(lambda self: len(self._waiting()) < MAX_GETTERS and not self.queue.is_shut_down)
    def start_to_get(self) -> None:
        self._start_to_get()

    def _start_to_get(self) -> None:
        self.getters.append(self.loop.create_task(self._worker()))
        self.model.getters += 1
        self._settle()

    @rule(data=st.data())
    @precondition(lambda self: self.in_hand)
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.in_hand.remove(key)
        self.queue.done(key)
        self.model.done(key)
        self._settle()

    @rule(data=st.data())
    @precondition(lambda self: self._waiting())
    def cancel_a_getter(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self._waiting())).cancel()
        self.model.getters -= 1
        self._settle()

    @rule(key=keys, priority=priorities, data=st.data())
    @precondition(lambda self: self.gate.is_open and not len(self.queue) and not self.queue.is_shut_down)
    def cancel_a_getter_as_it_is_woken(self, key: str, priority: Priority, data: st.DataObject) -> None:
        while len(self._waiting()) < 2:
            self._start_to_get()
        self._ask(key, 0)
        self.queue.add(key, priority)
        data.draw(st.sampled_from(self._waiting())).cancel()
        self.model.add(key, priority)
        self.model.getters -= 1
        self._settle()

    @rule()
    @precondition(lambda self: len(self.handed_out) > 5)
    def shut_down(self) -> None:
        self.queue.shutdown()
        self.model.shutdown()
        self.unanswered.clear()
        self._settle()

    # -- what must hold after each of them

    @invariant()
    def the_same_keys_were_handed_out_at_the_same_times(self) -> None:
        assert self.handed_out == self.model.handed_out

    @invariant()
    def the_same_keys_wait(self) -> None:
        model = self.model
        assert len(self.queue) == sum(len(line) for line in model.lines.values())
        assert self.queue.delayed == len(model.due)
        assert self.queue.in_flight == len(model.working) == len(self.in_hand)
        heads = [line[0][1] for line in model.lines.values() if line]
        assert self.queue.oldest_age_s() == (model.now - min(heads) if heads else 0.0)

    @invariant()
    def no_idle_worker_leaves_an_ask_unanswered(self) -> None:
        if self._waiting() and self.gate.is_open:
            owed = [key for key, by in self.unanswered.items() if by <= self.clock.monotonic()]
            assert [key for key in owed if key not in self.in_hand] == []

    def teardown(self) -> None:
        try:
            if not self.queue.is_shut_down:
                self._everything_asked_for_is_handed_out_in_the_end()
        finally:
            for task in self.getters:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*self.getters, return_exceptions=True))
            self.loop.close()
        assert self.loop.unhandled == []

    def _everything_asked_for_is_handed_out_in_the_end(self) -> None:
        self.gate.open("test")
        self._settle_loop()
        self.loop.run_until_complete(asyncio.sleep(1000))
        for _ in range(50):
            for key in sorted(self.in_hand):
                self.in_hand.remove(key)
                self.queue.done(key)
            if not self._waiting():
                self.getters.append(self.loop.create_task(self._worker()))
            self._settle_loop()
        assert self.unanswered == {}
        assert (len(self.queue), self.queue.delayed, self.queue.in_flight) == (0, 0, 0)

    def _ask(self, key: str, seconds: float) -> None:
        if not self.queue.is_shut_down:
            due = self.clock.monotonic() + seconds
            self.unanswered[key] = min(due, self.unanswered.get(key, due))

    async def _worker(self) -> None:
        try:
            key = await self.queue.get()
        except ShutDown:
            return
        assert key not in self.in_hand, f"{key} is with two workers"
        self.in_hand.add(key)
        self.unanswered.pop(key, None)
        self.handed_out.append((self.clock.monotonic(), key))

    def _waiting(self) -> list[asyncio.Task[None]]:
        return [task for task in self.getters if not task.done()]

    def _settle(self) -> None:
        self.model.hand_out()
        self._settle_loop()

    def _settle_loop(self) -> None:
        self.loop.run_until_complete(settle())
        for task in self.getters:
            if task.done() and not task.cancelled():
                task.result()

    def _in_loop(self, act: Callable[[], None]) -> None:
        async def call() -> None:
            act()

        self.loop.run_until_complete(call())
