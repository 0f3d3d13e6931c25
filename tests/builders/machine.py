"""A machine that does to a whole daemon whatever users, hosts and operators can do, and knows what must come of it.

    rule ──▶ time passes ──▶ one thing is done ──▶ Stage.check: every oracle, every reader
    teardown ──▶ the faults stop ──▶ rest ──▶ quiet

Users are in `machine_users`; here is what happens to the host, the daemon, its database and its clock, and who reads.
Everything is drawn by hypothesis and nothing by the world, so that a failure shrinks to the few things it takes.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from tests.builders.machine_readers import QUERIES, Reader
from tests.builders.machine_stage import FATES
from tests.builders.machine_users import Users, moments
from tests.builders.spoils import HOWS, How

from volant.drivers.simulated.guest import Guest
from volant.model.vm import VM, ExitReason

MOST_READERS = 4
numbers = st.integers(0, 3)
"""Which one of those that there are."""
looks = st.sampled_from((0.0, 0.03, 0.3))
"""Seconds that a driver takes to look at a guest: what a turn has read grows old meanwhile."""
queries = st.sampled_from(sorted(QUERIES))
ends: st.SearchStrategy[ExitReason] = st.sampled_from(("guest_panic", "guest_shutdown", "killed", "unknown"))


class WorldMachine(Users):
    """Everything."""

    @initialize(vms=st.integers(0, 2), replicas=st.integers(0, 3), look_s=looks, query=queries, form=numbers)
    def it_begins(self, vms: int, replicas: int, look_s: float, query: str, form: int) -> None:
        """A world in which there is something to harm, and somebody who watches."""
        self.the_host_is_slow(0.0, look_s)
        self.a_reader_comes(0.0, query, None, form)
        self.install_plugin(0.0, "hello", "")
        if replicas:
            self.deploy(0.0, "api", replicas, "hello", "")
        for name in ("web", "api-2")[:vms]:
            self.create_vm(0.0, name, "hello", "always", 20, "")

    # Guests and their host.

    @rule(after_s=moments, number=numbers, how=ends)
    def crash_a_guest(self, after_s: float, number: int, how: ExitReason) -> None:
        self._to_a_guest(after_s, number, lambda guest: self.stage.world.host.crash(guest.uid, how))

    @rule(after_s=moments, number=numbers, what=st.sampled_from(("vanish", "hang", "lose_record", "sicken")))
    def harm_a_guest(self, after_s: float, number: int, what: str) -> None:
        def harm(guest: Guest) -> None:
            world = self.stage.world
            if what == "sicken":
                world.oracles.sick.add(guest.uid)
                world.host.answer(guest.uid, "unhealthy")
            elif what != "lose_record" or self._is_reported(guest):
                getattr(world.host, what)(guest.uid)

        self._to_a_guest(after_s, number, harm)

    @rule(after_s=moments, number=numbers, is_mute=st.booleans())
    def mute_a_guest(self, after_s: float, number: int, is_mute: bool) -> None:
        self._to_a_guest(after_s, number, lambda guest: self.stage.world.host.mute(guest.uid, is_mute=is_mute))

    @rule(after_s=moments, fate=st.sampled_from(sorted(FATES)))
    def guests_go_like_this(self, after_s: float, fate: str) -> None:
        self._now(after_s, lambda: setattr(self.stage.world.host, "behaviour", FATES[fate]))

    @rule(after_s=moments, fault=st.sampled_from((None, "the kernel says no")))
    def trouble_with_the_network(self, after_s: float, fault: str | None) -> None:
        self._now(after_s, lambda: setattr(self.stage.world.host, "network_fault", fault))

    @rule(after_s=moments, look_s=looks)
    def the_host_is_slow(self, after_s: float, look_s: float) -> None:
        def slow() -> None:
            self.stage.world.host.look_s = self.stage.world.host.attach_s = look_s

        self._now(after_s, slow)

    @rule(after_s=moments)
    def an_orphan_is_found(self, after_s: float) -> None:
        self._now(after_s, self.stage.orphan)

    @rule(after_s=moments, seconds=st.sampled_from((5.0, -5.0, 3600.0, -3600.0)))
    def the_clock_jumps(self, after_s: float, seconds: float) -> None:
        self.stage.has_jumped = True
        self._now(after_s, lambda: self.stage.world.jump(seconds))

    # The daemon, its senses and its database.

    @rule(after_s=moments, how=st.sampled_from(("kill", "terminate")), up_again=st.booleans())
    def the_daemon_ends(self, after_s: float, how: str, up_again: bool) -> None:
        async def doing() -> None:
            await (self.stage.world.crash() if how == "kill" else self.stage.terminate())
            if up_again:
                self.stage.world.start_soon()

        self.later(after_s, doing)

    @rule(after_s=moments)
    def the_daemon_is_started(self, after_s: float) -> None:
        self._now(after_s, self.stage.world.start_soon)

    @rule(after_s=moments, nth=st.integers(0, 4), times=st.integers(1, 3), how=st.sampled_from(HOWS))
    def effects_are_spoiled(self, after_s: float, nth: int, times: int, how: How) -> None:
        self._now(after_s, lambda: self.stage.spoil(nth, times, how))

    @rule(after_s=moments, deaf=st.sampled_from((0.0, 1.0)), is_blind=st.booleans())
    def the_daemon_is_hard_of_hearing(self, after_s: float, deaf: float, is_blind: bool) -> None:
        def dull() -> None:
            self.stage.world.senses.deaf, self.stage.world.senses.is_blind = deaf, is_blind

        self._now(after_s, dull)

    @rule(after_s=moments, is_locked=st.booleans())
    def the_database_is_locked(self, after_s: float, is_locked: bool) -> None:
        self._now(after_s, lambda: self.stage.lock(is_locked=is_locked))

    # Readers.

    @rule(after_s=moments, query=queries, after=st.sampled_from((None, 0)), form=numbers)
    def a_reader_comes(self, after_s: float, query: str, after: int | None, form: int) -> None:
        def come() -> None:
            readers = self.stage.readers
            if len(readers.all) < MOST_READERS:
                has_state = bool(form & 1)
                readers.admit(query, after=None if has_state else after, has_state=has_state, is_lines=bool(form & 2))

        self._now(after_s, come)

    @rule(after_s=moments, number=numbers, what=st.sampled_from(("leaves", "pauses", "pauses", "goes on")))
    def a_reader(self, after_s: float, number: int, what: str) -> None:
        async def doing() -> None:
            readers = self.stage.readers.all
            if readers:
                await _does(readers[number % len(readers)], what)

        self.later(after_s, doing)

    def _now(self, after_s: float, act: Callable[[], object]) -> None:
        async def doing() -> None:
            act()

        self.later(after_s, doing)

    def _to_a_guest(self, after_s: float, number: int, act: Callable[[Guest], object]) -> None:
        def to_one() -> None:
            alive = [g for g in self.stage.world.host.alive() if self.stage.world.host.guest(g.uid) is g]
            if alive:
                act(alive[number % len(alive)])

        self._now(after_s, to_one)

    def _is_reported(self, guest: Guest) -> bool:
        """Of a guest that was never seen to run nobody else knows what it was booted with."""
        served = self.stage.client.served
        vm = served.life.store.find_uid(guest.uid) if served is not None else None
        return isinstance(vm, VM) and vm.status.pid == guest.pid


async def _does(reader: Reader, what: str) -> None:
    if what == "leaves":
        await reader.leave()
    elif what == "pauses":
        reader.pause(is_paused=True)
    else:
        reader.pause(is_paused=False)
        reader.come()


class ProbedMachine(WorldMachine):
    """The same, where every guest is probed."""

    with_probes = True
