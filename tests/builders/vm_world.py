"""A VM reconciler on a real store, a simulated host and virtual time; a daemon that can be killed and started again.

@in_world()
async def test_x(world):
    await world.create(a_vm("web-1"))
    await world.settle("web-1")
    assert world.word("web-1") == "running"
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.builders.objects import a_plugin
from tests.builders.virtual_time import VirtualClock, run_virtual

from volant.bus import Bus
from volant.clock import Uid
from volant.controllers.vm import VMReconciler
from volant.drivers.simulated import SimulatedDisks, SimulatedHost, SimulatedHypervisor, SimulatedNetwork
from volant.drivers.simulated.network import POOL
from volant.errors import Conflict, DriverError
from volant.model.event import Committed, EventType, Happening
from volant.model.meta import Key
from volant.model.vm import VM, StatusWord, VMSpec, status_word
from volant.reconcile import Again
from volant.reconcile.effects import Effects, Hook, Moment
from volant.store import Store, StoreSettings, Transaction

RETRY_S = 1.0


class Killed(BaseException):
    """The daemon ends here. Not an Exception, because nothing in the daemon may catch it."""


class VMWorld:
    """What outlives the daemon (host, database, events seen so far), and the daemon of the moment."""

    def __init__(self, clock: VirtualClock, directory: Path, **host: Any) -> None:
        self.clock = clock
        self.host = SimulatedHost(clock, random.Random(1), log_keep=None, **host)
        self.hook: Hook | None = None
        self.survives: tuple[type[BaseException], ...] = ()
        """What a turn may raise beside what drivers and races do: after it the daemon is started again."""
        self.events: list[Committed] = []
        self._path = directory / "volant.db"
        self._numbers = itertools.count(1)
        self.start()

    def start(self) -> None:
        """A fresh daemon on the same host and database."""
        bus = self.bus = Bus()
        self.store = Store.open(
            self._path,
            bus=bus,
            clock=self.clock,
            uids=lambda: Uid(f"{next(self._numbers):032x}"),
            pool=POOL,
            settings=StoreSettings(inline=True, synchronous="off"),
        )
        bus.listen(self.events.extend)
        self.hypervisor = SimulatedHypervisor(self.host, self.clock)
        self.reconciler = VMReconciler(
            store=self.store,
            hypervisor=self.hypervisor,
            network=SimulatedNetwork(self.host, self.clock),
            disks=SimulatedDisks(self.host),
            artifact_path=lambda digest: Path("/artifacts") / digest,
            clock=self.clock,
            node="host-1",
            effects=Effects(self._see),
        )

    def kill(self) -> None:
        """The daemon is gone, between two instructions."""
        self.store.abandon()

    def restart(self) -> None:
        """`kill -9`, and another start."""
        self.kill()
        self.start()

    def _see(self, moment: Moment, op: str, target: object) -> None:
        self.host.check()
        if self.hook is not None:
            self.hook(moment, op, target)

    async def install(self, **plugin: Any) -> None:
        """A plugin that is ready, unless told otherwise."""
        await self.store.create(a_plugin(**{"ready": True, **plugin}), Happening(type="plugin.installed"))

    async def create(self, vm: VM, *, with_plugin: bool = True) -> VM:
        """What the API does for a POST; its plugin first."""
        if with_plugin and self.store.find(Key("Plugin", vm.spec.plugin)) is None:
            await self.install(name=vm.spec.plugin)

        def job(tx: Transaction) -> VM:
            address = tx.allocate_address(vm.meta.uid)
            return tx.insert(replace(vm, spec=replace(vm.spec, address=address)), Happening(type="vm.created"))

        return await self.store.write(job)

    async def edit(self, name: str, change: Callable[[VMSpec], VMSpec]) -> None:
        """What the API does for a change of the spec."""

        def job(tx: Transaction) -> None:
            vm = tx.find(Key("VM", name))
            assert isinstance(vm, VM)
            tx.update_spec(vm, change(vm.spec), Happening(type="vm.updated"))

        await self.store.write(job)

    async def stop(self, name: str, **spec: Any) -> None:
        """POST stop."""
        await self.edit(name, lambda old: replace(old, power="stopped", **spec))

    async def begin(self, name: str) -> None:
        """POST start, or restart."""
        await self.edit(
            name, lambda old: replace(old, power="running", force=False, restart_nonce=old.restart_nonce + 1)
        )

    async def delete(self, name: str) -> None:
        """DELETE."""

        def job(tx: Transaction) -> None:
            vm = tx.find(Key("VM", name))
            assert isinstance(vm, VM)
            tx.mark_deleting(vm, Happening(type="vm.deleting"))

        await self.store.write(job)

    async def turn(self, name: str = "web-1") -> object:
        """One turn, as a worker would run it."""
        return await self.reconciler.reconcile(Key("VM", name))

    async def turn_until(self, op: str, name: str = "web-1") -> None:
        """Turns up to the first `op`, before which the daemon is killed and started again."""

        def kill(moment: Moment, this: str, target: object) -> None:
            if (moment, this) == ("before", op):
                raise Killed(op)

        self.hook = kill
        try:
            await self.settle(name)
        except Killed:
            self.hook = None
            self.restart()
            return
        raise AssertionError(f"{op} was never reached: {self.ops()}")

    async def settle(self, *names: str, turns: int = 60) -> None:
        """Turns until each VM needs no more, as a queue would order them: again after a wait, or after a failure."""
        for name in names or ("web-1",):
            for _ in range(turns):
                pause_s = await self.look(name)
                if pause_s is None:
                    break
                await self.clock.sleep(pause_s)
            else:
                raise AssertionError(f"no rest of {name}: {self.types(name)}, {list(self.host.log)[-20:]}")

    async def look(self, name: str = "web-1") -> float | None:
        """One turn, again when it met a race or the end of its daemon. Seconds to the next; None when none is due."""
        for _ in range(10):
            try:
                outcome = await self.turn(name)
            except Conflict:
                continue
            except DriverError:
                return RETRY_S
            except self.survives:
                self.restart()
                continue
            return outcome.after_s if isinstance(outcome, Again) else None
        raise AssertionError(f"ten turns of {name} in a row met a race: {self.types(name)}")

    def vm(self, name: str = "web-1") -> VM:
        """The VM as stored."""
        return self.store.vm(name)

    def word(self, name: str = "web-1") -> StatusWord:
        """What users read."""
        return status_word(self.vm(name))

    def types(self, name: str = "web-1") -> list[EventType]:
        """The types of its events so far."""
        return [event.type for event in self.events if event.key == Key("VM", name)]

    def ops(self) -> list[str]:
        """What the host was asked for so far."""
        return [op for op, _ in self.host.log]


def in_world(**host: Any) -> Callable[[Callable[[VMWorld], Awaitable[None]]], Callable[[Path], None]]:
    """Make a test of an `async def test_x(world)`; `host` are arguments of SimulatedHost."""

    def wrap(test: Callable[[VMWorld], Awaitable[None]]) -> Callable[[Path], None]:
        def run(tmp_path: Path) -> None:
            play(test, tmp_path, **host)

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return run

    return wrap


def play(test: Callable[[VMWorld], Awaitable[None]], directory: Path, **host: Any) -> None:
    """Run `test` in a world of its own, on virtual time."""

    async def main(clock: VirtualClock) -> None:
        world = VMWorld(clock, directory, **host)
        try:
            await test(world)
            world.host.check()
        finally:
            await world.store.close()

    run_virtual(main)
