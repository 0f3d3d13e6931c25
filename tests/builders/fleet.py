"""A real store in a directory of its own, and somebody to play the VM controller: what deployments are tried on.

    with a_fleet(path) as fleet: deploy ▸ turn ▸ boot ▸ scale ▸ turn ▸ bury ...

The store is the real one, inline and without waiting for the disk. Children boot, crash and go when a test says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace
from tests.builders.objects import a_deployment, a_plugin, running_status, stopped_status
from tests.builders.stores import POOL, HandClock, open_store

from volant.bus import Bus
from volant.clock import Clock
from volant.controllers.deployment import DeploymentReconciler
from volant.model import vm as vms
from volant.model.deployment import Deployment
from volant.model.event import Committed, Happening
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.vm import VM
from volant.reconcile import Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store


@contextmanager
def a_fleet(directory: Path | None = None, *, clock: Clock | None = None, pool: str = POOL) -> Iterator[Fleet]:
    """A fresh store, in a directory that goes afterwards unless one is given; dropped as a killed process drops it."""
    with TemporaryDirectory() as temporary:
        bus, clock = Bus(), clock or HandClock()
        store = open_store(directory or Path(temporary), bus=bus, clock=clock, pool=pool)
        try:
            yield Fleet(store, bus, clock)
        finally:
            store.abandon()


class Fleet:
    """What users and the VM controller do to a store, and turns of the deployment controller."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.effects = Effects()
        self.events: list[Committed] = []
        self.reconciler = self.reborn()
        bus.listen(self.events.extend)

    def reborn(self, effects: Effects | None = None) -> DeploymentReconciler:
        """The deployment controller, as it is after a restart."""
        self.reconciler = DeploymentReconciler(store=self.store, clock=self.clock, effects=effects or self.effects)
        return self.reconciler

    async def create(self, obj: Object) -> Object:
        """Somebody creates an object."""
        kinds = {"VM": "vm.created", "Deployment": "deployment.created", "Plugin": "plugin.installed"}
        return await self.store.create(obj, Happening(type=kinds[obj.meta.kind]))  # type: ignore[arg-type]

    async def deploy(self, name: str = "web", *, replicas: int = 1, enabled: bool = True) -> Deployment:
        """A user installs the plugin, if it is not there, and creates a deployment."""
        if self.store.find(Key("Plugin", "hello")) is None:
            await self.create(a_plugin("hello", ready=True, enabled=enabled))
        return await self.create(a_deployment(name, replicas=replicas))  # type: ignore[return-value]

    async def scale(self, replicas: int, name: str = "web") -> None:
        """A user patches the replicas."""
        old = self.store.deployment(name)
        happening = Happening(type="deployment.scaled")
        await self.store.write(lambda tx: tx.update_spec(old, replace(old.spec, replicas=replicas), happening))

    async def enable(self, enabled: bool) -> None:
        """A user enables or disables the plugin."""
        old = self.store.plugin("hello")
        happening = Happening(type="plugin.enabled" if enabled else "plugin.disabled")
        await self.store.write(lambda tx: tx.update_spec(old, replace(old.spec, enabled=enabled), happening))

    async def delete(self, key: Key) -> None:
        """Somebody asks for the end of an object."""
        kinds = {"VM": "vm.deleting", "Deployment": "deployment.deleting", "Plugin": "plugin.deleting"}
        happening = Happening(type=kinds[key.kind])  # type: ignore[arg-type]
        await self.store.write(lambda tx: tx.mark_deleting(tx.get(key), happening))

    async def boot(self, *names: str) -> None:
        """The guests of these VMs, or of all that are to stay, run and are ready."""
        for vm in self._chosen(names):
            if not vm.meta.is_deleting:
                status = running_status(observed_generation=vm.meta.generation)
                await self.store.update_status(vm, status, Happening(type="vm.started", actor="vm"))

    async def crash(self, *names: str) -> None:
        """The guests of these VMs, or of all, do not run."""
        for vm in self._chosen(names):
            status = stopped_status(observed_generation=vm.meta.generation)
            await self.store.update_status(vm, status, Happening(type="vm.error", actor="vm"))

    async def unready(self, *names: str) -> None:
        """The guests of these VMs run and are not ready."""
        for vm in self._chosen(names):
            status = running_status(ready=False, observed_generation=vm.meta.generation)
            await self.store.update_status(vm, status, Happening(type="vm.updated", actor="vm"))

    async def bury(self) -> None:
        """Every VM on its way out goes."""
        for vm in self.store.vms():
            if vm.meta.is_deleting:
                await self.store.finalize(vm, vms.FINALIZER, Happening(type="vm.deleted", actor="vm"))

    async def turn(self, name: str = "web") -> Outcome:
        """One turn of the deployment controller, a second after whatever was before."""
        if isinstance(self.clock, HandClock):
            self.clock.forward(1.0)
        return await self.reconciler.reconcile(Key("Deployment", name))

    async def rest(self, name: str = "web", *, turns: int = 20) -> None:
        """Turns, with every guest booted and every row on its way out gone, until one changes nothing."""
        for _ in range(turns):
            before = self.store.revision
            outcome = await self.turn(name)
            await self.bury()
            await self.boot()
            if before == self.store.revision and not isinstance(outcome, Again):
                return
        raise AssertionError(f"not at rest after {turns} turns: {self.told()[-10:]}")

    def names(self) -> list[str]:
        """The VMs that are to stay, in the order of their creation."""
        return [vm.meta.name for vm in self.store.vms() if not vm.meta.is_deleting]

    def told(self) -> list[str]:
        """The types of all events so far."""
        return [event.type for event in self.events]

    def _chosen(self, names: tuple[str, ...]) -> list[VM]:
        return [self.store.vm(name) for name in names] if names else self.store.vms()
