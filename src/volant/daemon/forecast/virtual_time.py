"""An event loop on which time passes only when everybody waits for it.

    select(timeout) ──nothing ready──▶ time = when the next timer is due ──▶ run it

An hour of backoff takes no time at all, the same seed gives the same run, and a deadlock (everybody waits, no timer is
set) raises `Deadlock` with the places where they wait, rather than hanging. A loop that spins without waiting raises
`Runaway`. An exception in a callback, which asyncio would only log, fails the run.

Real work outside the loop takes no virtual time: while a `run_in_executor` is under way, or a predicate in
`busy_outside` says so (a writer thread with a full queue, say), the loop waits for it in real time, bounded by
`OUTSIDE_S`. Sockets to other processes are not what this loop is for: whoever waits for one with a timer set is
overtaken by the timer.

Forecasts run on it, and so do the tests of everything that waits.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH = 1_700_000_000.0
MAX_ITERATIONS = 1_000_000
OUTSIDE_S = 20.0
"""Real seconds that work outside the loop may take before it counts as hung."""

_CLEAN_UP_ITERATIONS = 10_000

Busy = Callable[[], bool]


class Deadlock(Exception):
    """Everybody waits and no timer is set: nothing would ever happen again."""


class Runaway(Exception):
    """The loop turned too often: something is spinning."""


class Unhandled(Exception):
    """A callback or a forgotten task raised, which asyncio only logs."""


class _JumpingSelector(selectors.DefaultSelector):
    """Asks the loop what to do instead of waiting."""

    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return self.loop.wait(timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """From the second file on, the first being the loop's own, somebody outside may have something to say."""
        key = super().register(fileobj, events, data)
        self.loop.is_heard_from_outside |= len(self.get_map()) > 1
        return key

    def look(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(seconds)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` starts at `at` and jumps from timer to timer."""

    def __init__(
        self, *, at: float = 0.0, max_iterations: int = MAX_ITERATIONS, busy_outside: Sequence[Busy] = ()
    ) -> None:
        self._virtual_now = at
        self._iterations = 0
        self._max_iterations = max_iterations
        self._in_executor = 0
        self._jumps = _JumpingSelector()
        self._jumps.loop = self
        self.is_heard_from_outside = bool(busy_outside)
        """Whether files and other threads are asked at all: looking for them every turn is a tenth of a short run."""
        self.busy_outside: list[Busy] = [lambda: self._in_executor > 0, *busy_outside]
        self.unhandled: list[dict[str, Any]] = []
        super().__init__(self._jumps)
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def time(self) -> float:
        """Virtual seconds: those since the loop was made, and those at which it began."""
        return self._virtual_now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As in asyncio; virtual time stands still until the result is there."""
        self.is_heard_from_outside = True
        future = super().run_in_executor(executor, func, *args)
        self._in_executor += 1
        future.add_done_callback(self._left_executor)
        return future

    async def shutdown_default_executor(self, *timeout: Any) -> None:
        """As in asyncio; its thread that joins the others is outside work, too."""
        self.is_heard_from_outside = True
        self._in_executor += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._in_executor -= 1

    def wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """What the selector is asked for at each turn of the loop: the ready files, or none and a later time."""
        self._iterations += 1
        if self._iterations > self._max_iterations:
            self._allow_clean_up()
            raise Runaway(f"{self._iterations} turns by {self._virtual_now:g} s; tasks:\n{self._who_waits()}")
        if self.is_heard_from_outside:
            events = self._jumps.look(0) if timeout == 0 else self._wait_outside()
            if events:
                return events
        if timeout == 0:
            return []
        if timeout is None:
            self._allow_clean_up()
            raise Deadlock(f"at {self._virtual_now:g} s everybody waits and no timer is set:\n{self._who_waits()}")
        # The timer's own time rather than now + timeout, because rounding would ring it a hair early.
        self._virtual_now = max(self._virtual_now, cast("Any", self)._scheduled[0]._when)
        # The base class runs timers before now + resolution, which far from 0 is no later than now itself.
        self._clock_resolution = max(1e-9, math.ulp(self._virtual_now))
        return []

    def _write_to_self(self) -> None:
        self.is_heard_from_outside = True
        super()._write_to_self()  # type: ignore[misc]  # the stub does not know it

    def _wait_outside(self) -> list[tuple[selectors.SelectorKey, int]]:
        give_up_at = time.monotonic() + OUTSIDE_S
        while True:
            # Asked before looking: work that ends in between has woken the loop by the time we look.
            is_busy = any(busy() for busy in self.busy_outside)
            events = self._jumps.look(0.005 if is_busy else 0)
            if events or not is_busy:
                return events
            if time.monotonic() > give_up_at:
                raise Deadlock(f"work outside the loop has not ended for {OUTSIDE_S:g} real seconds")

    def _left_executor(self, _: object) -> None:
        self._in_executor -= 1

    def _allow_clean_up(self) -> None:
        self._max_iterations = self._iterations + _CLEAN_UP_ITERATIONS

    def _who_waits(self) -> str:
        return "\n".join(sorted(_place(task) for task in asyncio.all_tasks(self)))


class VirtualClock:
    """`volant.clock.Clock` on a loop with virtual time; its wall clock may be pushed about."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: float = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch

    @property
    def epoch(self) -> float:
        """Wall time when the loop's time is 0."""
        return self._epoch

    def now(self) -> float:
        """Wall time: `epoch` and the loop's time, and whatever `jump` added."""
        return self._epoch + self._loop.time()

    def monotonic(self) -> float:
        """The loop's time."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    def jump(self, seconds: float) -> None:
        """Move wall time only, as an operator or NTP would."""
        self._epoch += seconds


def run_virtual(
    main: Coroutine[Any, Any, T] | Callable[[VirtualClock], Awaitable[T]],
    *,
    at: float = 0.0,
    epoch: float = EPOCH,
    max_iterations: int = MAX_ITERATIONS,
    busy_outside: Sequence[Busy] = (),
) -> T:
    """Run a coroutine, or a function that is given the clock, on a fresh loop that is closed afterwards.

    Its time begins with `at`. Tasks it leaves are cancelled. Raises what it raises, Deadlock, Runaway, or Unhandled
    for what nobody caught.
    """

    def new_loop() -> VirtualTimeLoop:
        return VirtualTimeLoop(at=at, max_iterations=max_iterations, busy_outside=busy_outside)

    async def call() -> T:
        if inspect.iscoroutine(main):
            return cast("T", await main)
        function = cast("Callable[[VirtualClock], Awaitable[T]]", main)
        return await function(VirtualClock(asyncio.get_running_loop(), epoch))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        loop = cast("VirtualTimeLoop", runner.get_loop())
        result = runner.run(call())
    if loop.unhandled:
        messages = "; ".join(str(context["message"]) for context in loop.unhandled)
        raise Unhandled(messages) from loop.unhandled[0].get("exception")
    return result


def _place(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "nowhere"
    return f"  {task.get_name()} at {where}"
