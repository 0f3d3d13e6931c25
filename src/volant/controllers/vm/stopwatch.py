"""How long the phases of a guest's life take, put into the reports that are written anyway.

    looked ─▶ asks ─▶ is_up ─▶ report of a pid: waited, launch, boot ─▶ report that it is ready: ready
    report of a stop deadline ─▶ report without a pid: stop

It asks for no write of its own: a report that differs from the store in nothing but a timing is not made, because the
plan knows nothing of timings. The marks are monotonic and of this process only: what another daemon began is not timed.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Clock, Uid
from volant.model.conditions import condition
from volant.model.timings import Timings, seconds
from volant.model.vm import READY, VM, VMStatus


class Marks(Struct):
    """When (monotonic) what was seen of one VM's guest; `waited_s` is known by then."""

    wanted: float | None = None
    asked: float | None = None
    up: float | None = None
    ran: float | None = None
    stop: float | None = None
    waited_s: float = 0.0


class Stopwatch:
    """The marks of each VM that this process has done something for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._marks: dict[Uid, Marks] = {}

    def looked(self, vm: VM, *, is_at_rest: bool) -> None:
        """There is no guest. Unless nothing is to be done about that, it is wanted: since the first such look."""
        marks = self._of(vm.meta.uid)
        if is_at_rest:
            marks.wanted = None
        elif marks.wanted is None:
            marks.wanted = self._clock.monotonic()

    def asks(self, vm: VM) -> None:
        """The VMM is asked for now."""
        marks, now = self._of(vm.meta.uid), self._clock.monotonic()
        if marks.asked is None:
            is_first = vm.status.booted is None and vm.status.exit is None
            since_wanted = now - (now if marks.wanted is None else marks.wanted)
            marks.waited_s = self._clock.now() - vm.meta.created_at if is_first else since_wanted
        marks.asked = now
        marks.up = marks.ran = marks.stop = None

    def is_up(self, uid: Uid) -> None:
        """The driver has answered: the VMM is up."""
        self._of(uid).up = self._clock.monotonic()

    def forget(self, uid: Uid) -> None:
        """The VM is gone."""
        self._marks.pop(uid, None)

    def timed(self, vm: VM, said: VMStatus) -> VMStatus:
        """What is about to be reported of the VM, with what is known by now of how long it took."""
        marks, now = self._marks.get(vm.meta.uid), self._clock.monotonic()
        timings, ran = vm.status.timings, None if marks is None else marks.ran
        if _begins(vm, said):
            timings, ran = _booted(marks, timings, now), now
        if timings is not None and ran is not None and _is_first_ready(timings, said):
            timings = replace(timings, ready_s=seconds(now - ran))
        if _ends(vm, said) and marks is not None and marks.stop is not None:
            timings = replace(timings or Timings(), stop_s=seconds(now - marks.stop))
        return said if timings == said.timings else replace(said, timings=timings)

    def told(self, vm: VM, said: VMStatus) -> None:
        """That was written. Not before: a report that is lost is made again, and must say the same."""
        marks, now = self._of(vm.meta.uid), self._clock.monotonic()
        if vm.status.stop_deadline is None and said.stop_deadline is not None:
            marks.stop = now
        if _begins(vm, said):
            marks.ran, marks.wanted, marks.asked, marks.up = now, None, None, None
        if _ends(vm, said):
            marks.stop = marks.ran = None

    def _of(self, uid: Uid) -> Marks:
        return self._marks.setdefault(uid, Marks())


def _begins(vm: VM, said: VMStatus) -> bool:
    return said.pid is not None and said.pid != vm.status.pid


def _ends(vm: VM, said: VMStatus) -> bool:
    return said.pid is None and vm.status.pid is not None


def _booted(marks: Marks | None, before: Timings | None, now: float) -> Timings | None:
    """The timings of a guest that is seen to run for the first time; None when nothing is known at all."""
    stop_s = None if before is None else before.stop_s
    if marks is None or marks.asked is None or marks.up is None:
        return None if stop_s is None else Timings(stop_s=stop_s)
    return Timings(
        waited_s=seconds(marks.waited_s),
        launch_s=seconds(marks.up - marks.asked),
        boot_s=seconds(now - marks.up),
        stop_s=stop_s,
    )


def _is_first_ready(timings: Timings, said: VMStatus) -> bool:
    ready = condition(said.conditions, READY)
    is_ready = said.pid is not None and ready is not None and ready.status == "true"
    return is_ready and timings.ready_s is None and timings.boot_s is not None
