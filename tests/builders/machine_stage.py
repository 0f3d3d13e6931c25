"""The world that a synchronous machine plays in: one loop in virtual time, turned only while something is done.

    machine ──do(coroutine)──▶ loop of one World ──▶ check: oracles, readers, whatever nobody caught
            ──end()──────────▶ faults stop ──▶ rest within so long ──▶ quiet ──▶ every reader knows everything

Small logs on purpose: a ring and an event log that are short enough to be outrun, so that readers are cut off.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar, cast

from hypothesis.stateful import RuleBasedStateMachine
from msgspec.structs import replace
from tests.builders.harm import Effect
from tests.builders.life import SETTINGS
from tests.builders.machine_client import Client, Reply, Request
from tests.builders.machine_readers import Readers
from tests.builders.objects import a_manifest
from tests.builders.scenarios import CHECK
from tests.builders.spoils import How
from tests.builders.virtual_time import VirtualClock, VirtualTimeLoop
from tests.builders.wishes import Users
from tests.builders.world import CALM, MAX_TURNS, World

from volant.clock import Uid
from volant.drivers.simulated import Behaviour
from volant.model.vm import VM

T = TypeVar("T")

LOG_EVENTS = 12
RING_EVENTS = 3
REST_WITHIN_S = 400.0
"""Nothing that is waited for takes longer: a turn that is never answered ends after 120 s, no backoff lasts longer."""
QUIET_S = 50.0
"""Longer than the time between two full looks at everything."""
MOST_BIRTHS = ((15.0, 5), (60.0, 7))
"""Seconds, and how many starts there may be within them: with backoff one less."""
BLIND_S = 5.0
"""How long turns that have begun before the trouble may take to find out."""
ASKED = (b'"StartRequested"', b'"RestartRequested"')
ENDS_S = 20.0
"""No guest that ends by itself lives longer."""


class Stage:
    """One world, its client and its readers."""

    def __init__(self, directory: Path, *, with_probes: bool) -> None:
        self._runner = asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(max_iterations=MAX_TURNS))
        self._loop = cast("VirtualTimeLoop", self._runner.get_loop())
        settings = replace(SETTINGS, event_keep=LOG_EVENTS, compact_events=4)
        self.world = World(
            VirtualClock(self._loop),
            directory,
            with_probes=with_probes,
            daemon={"settings": settings, "ring_events": RING_EVENTS},
        )
        self.client = Client(self.world)
        self.readers = Readers(self.client)
        self.spoils: dict[int, How] = {}
        self.manifests = {name: a_manifest(name, health_check=CHECK if with_probes else None) for name in PLUGINS}
        self.vcpus: dict[Uid, int] = {}
        """What was last asked for, of VMs whose config was changed."""
        self.world.record.plan = self._spoil
        self._lock = ExitStack()
        self._orphans = 0
        self.has_jumped = False
        self._trouble_since = math.inf
        self._daemons = self._loop.create_task(self.world.keep_alive(), name="daemons")
        self.do(self.world.start())

    # Turning the loop.

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """Let it happen, and look whether everything is as it should be. Raises AssertionError."""
        result = self._loop.run_until_complete(what)
        self.check()
        return result

    def check(self) -> None:
        """Raise AssertionError when anybody complains."""
        if self.world.lives and self.client.is_well():
            self._trouble_since = math.inf
        self.world.check()
        try:
            self.readers.look()
        except AssertionError as error:
            raise AssertionError(self.world.account(str(error))) from error
        if self._loop.unhandled:
            context = self._loop.unhandled[0]
            raise AssertionError(self.world.account(str(context["message"]))) from context.get("exception")
        if self._daemons.done():
            self._daemons.result()

    def close(self) -> None:
        """Everybody goes. Raises AssertionError for what nobody caught."""
        try:
            self._loop.run_until_complete(self._gone())
        finally:
            self._runner.close()
        if self._loop.unhandled:
            raise AssertionError(str(self._loop.unhandled[0])) from self._loop.unhandled[0].get("exception")

    async def _gone(self) -> None:
        self._lock.close()
        for reader in self.readers.all:
            await reader.leave()
        await self.world.crash()
        self._daemons.cancel()
        await asyncio.wait([self._daemons])

    # What may go wrong.

    def _spoil(self, at: int, effect: Effect) -> How | None:
        self._nobody_acts_blindly(effect)
        if effect.op == "hypervisor.launch":
            self._policy_allows(self.world.lives[-1].store.find_uid(Uid(str(effect.target))))
        how = self.spoils.pop(at, None)
        is_of_plugin = self.world.oracles.name(effect.target) in PLUGINS or effect.op.startswith("artifacts")
        # A turn that may be a download may take half an hour, and nobody here waits that long.
        return "error" if how in ("silence before", "silence after") and is_of_plugin else how

    def spoil(self, after: int, times: int, how: How) -> None:
        """Spoil the effect after so many others, and so many times in all with as many between."""
        for time in range(1, times + 1):
            self.spoils[len(self.world.record.effects) + time * (after + 1) - 1] = how

    def lock(self, *, is_locked: bool) -> None:
        """Another program has the database, or lets it go."""
        self._lock.close()
        if is_locked:
            self._lock.enter_context(self.world.no_writes())

    def orphan(self) -> None:
        """A process with our mark that nobody here launched."""
        self._orphans += 1
        uid = Uid(f"{self._orphans:x}".rjust(32, "f"))
        self.world.oracles.orphans.add(uid)
        self.world.host.orphan(uid)

    async def terminate(self) -> None:
        """SIGTERM."""
        served = self.client.served
        if served is None or not served.life.store.healthy:
            await self.world.crash()
            return
        served.stopping.set()
        await self.world.clock.sleep(0.0)
        await self.world.stop()

    # The end.

    def end(self) -> None:
        """The faults stop. Raises AssertionError unless everything comes right, and then nothing happens any more."""
        self.do(self._heal())
        self.do(self.world.rest(within_s=REST_WITHIN_S))
        self.do(self.readers.all_come())
        self.do(self.world.quiet(QUIET_S))
        try:
            self.readers.all_know()
            self._configs_are_as_asked()
            self._nobody_was_started_too_often()
            self._no_address_is_kept()
        except AssertionError as error:
            raise AssertionError(self.world.account(str(error))) from error

    async def _heal(self) -> None:
        world = self.world
        self.spoils.clear()
        world.senses.deaf, world.senses.is_blind = 0.0, False
        world.host.network_fault, world.host.behaviour = None, CALM
        world.host.look_s = world.host.attach_s = 0.0
        self.lock(is_locked=False)
        world.start_soon()
        for guest in world.host.guests():
            guest.is_mute, guest.answers = False, "healthy"
        for name in world.users.plugins:
            world.users.plugins[name] = True
            await self.client.told(Request("POST", f"/plugins/{name}/enabled", {"enabled": True}))
        await world.clock.sleep(ENDS_S)
        for vm in (await world.up()).store.vms():
            # Nobody could say otherwise whether it is to be running: that depends on how it has ended.
            if self._is_to_run(vm):
                await self.client.told(Request("POST", f"/vms/{vm.meta.name}/restart"))

    def _is_to_run(self, vm: VM) -> bool:
        if vm.meta.owner is not None:
            return vm.spec.power == "stopped"
        return vm.spec.restart_policy != "always" and self.world.users.vms.get(vm.meta.name) == "running"

    def _configs_are_as_asked(self) -> None:
        for vm in self.world.store.vms():
            asked = self.vcpus.get(vm.meta.uid)
            assert asked in (None, vm.spec.config.resources.vcpu), f"{vm.meta.name} lost its config"

    def _nobody_was_started_too_often(self) -> None:
        """P1: between the starts that nobody has asked for are 1, 2, 4, 8 s and so on."""
        oracles = self.world.oracles
        asked = {event.uid for event in oracles.replay.events if any(word in event.data for word in ASKED)}
        births: dict[Uid, list[float]] = {}
        for uid, at in self.world.host.births:
            births.setdefault(uid, []).append(at)
        for uid, times in births.items():
            if uid not in asked and not self.has_jumped:
                for within_s, most in MOST_BIRTHS:
                    spans = [last - first for first, last in zip(times, times[most:], strict=False)]
                    assert min(spans, default=within_s) >= within_s, f"P1: {oracles.name(uid)} begins at {times}"

    def _no_address_is_kept(self) -> None:
        with closing(sqlite3.connect(self.world.path)) as database:
            held = {str(uid) for (uid,) in database.execute("SELECT uid FROM addresses")}
        assert held == self.world.store.uids("VM"), f"R2: addresses are held by {held}"

    def _policy_allows(self, vm: object) -> None:
        """P8: whose guest has ended by itself is started again only if it is to be, or if somebody asks."""
        if not isinstance(vm, VM) or vm.status.booted is None or vm.status.exit is None:
            return
        if vm.status.booted.restart_nonce < vm.spec.restart_nonce or vm.status.exit.reason == "asked":
            return
        policy, reason = vm.spec.restart_policy, vm.status.exit.reason
        if policy == "never" or (policy == "on_failure" and reason == "guest_shutdown"):
            self.client.complain(f"P8: {vm.meta.name} ({policy}) is started again after {reason}")

    def _nobody_acts_blindly(self, effect: Effect) -> None:
        """S4: while nothing can be written down, nothing is begun."""
        world, now = self.world, self.world.clock.monotonic()
        if world.lives[-1].store.healthy:
            self._trouble_since = math.inf
            return
        self._trouble_since = min(self._trouble_since, now)
        if now > self._trouble_since + BLIND_S:
            self.client.complain(f"S4: {effect.op} though the store is in trouble for {now - self._trouble_since:g} s")


PLUGINS = ("hello", "other")

FATES: dict[str, Behaviour] = {
    "calm": CALM,
    "refused": replace(CALM, launch="refused"),
    "unavailable": replace(CALM, launch="unavailable"),
    "dies": replace(CALM, launch="dies"),
    "slow": replace(CALM, launch_s=0.4, boot_s=6.0, stop_s=8.0),
    "loses a stop": replace(CALM, loses_stops=1),
    "hangs": replace(CALM, ignores_stops=True),
    "ends": replace(CALM, ends_after_s=3.0, ends_how="guest_panic"),
    "shuts down": replace(CALM, ends_after_s=ENDS_S, ends_how="guest_shutdown"),
}
"""What becomes of the guests that are launched from now on."""


class Machine(RuleBasedStateMachine):
    """What the rules of all kinds stand on: one stage, and a way to do things on it."""

    played = 0
    """Examples so far, of each class."""
    with_probes = False

    def __init__(self) -> None:
        super().__init__()
        type(self).played += 1
        self._directory = tempfile.mkdtemp(prefix="volant-machine-")
        self.stage = Stage(Path(self._directory), with_probes=self.with_probes)
        self.keyed: list[tuple[Request, Reply | None]] = []
        self.keys = 0
        self._is_broken = False

    @property
    def users(self) -> Users:
        """What is wished for."""
        return self.stage.world.users

    def later(self, after_s: float, doing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let time pass, then do it. Raises AssertionError with the whole story."""

        async def all_of_it() -> None:
            if after_s:
                await self.stage.world.clock.sleep(after_s)
            await doing()

        self._tell(lambda: self.stage.do(all_of_it()))

    def teardown(self) -> None:
        """The end of an example."""
        try:
            if not self._is_broken:
                self._tell(self.stage.end)
        finally:
            try:
                self.stage.close()
            except AssertionError:
                if not self._is_broken:
                    raise
            finally:
                shutil.rmtree(self._directory)

    def _tell(self, act: Callable[[], object]) -> None:
        try:
            act()
        except AssertionError as error:
            self._is_broken = True
            said = "\n".join(self.stage.client.said[-25:])
            raise AssertionError(f"{error}\nlast requests:\n{said}") from error.__cause__
        except BaseException:
            self._is_broken = True
            raise
