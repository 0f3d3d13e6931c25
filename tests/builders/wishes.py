"""Users: they write specs as the API does, ask again when nobody answers, and know what they have asked for.

    users.stop("a") ──one transaction, as of POST /vms/a/stop──▶ store
           └──▶ wishes: what the world has to look like when everything is at rest

The wishes are kept apart from the store, so that a daemon which loses a spec is found out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from msgspec.structs import replace
from tests.builders.objects import a_manifest

from volant.api.admission import refuse_deleting, usable_plugin
from volant.errors import AlreadyExists, Conflict, InUse, NotFound, Unavailable
from volant.model import deployment as deployments
from volant.model import plugin as plugins
from volant.model import vm as vms
from volant.model.deployment import Deployment, DeploymentSpec
from volant.model.event import EventType, Happening
from volant.model.meta import Key, Kind, Meta
from volant.model.objects import Object
from volant.model.plugin import Manifest, Plugin, PluginSpec
from volant.model.rollout import Strategy
from volant.model.vm import VM, DiskConfig, RestartPolicy, VMConfig, VMSpec, status_word
from volant.store import Transaction

if TYPE_CHECKING:
    from tests.builders.world import World

T = TypeVar("T")
Wish = Literal["running", "stopped", "held"]
"""`held`: it ended by itself and its policy keeps it down."""

ASK_AGAIN_S = 0.5


class Users:
    """What users ask for, and what they have asked for so far, by name."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.vms: dict[str, Wish] = {}
        self.deployments: dict[str, int] = {}
        self.plugins: dict[str, bool] = {}

    async def install(self, name: str = "hello", manifest: Manifest | None = None) -> None:
        """POST /plugins."""
        manifest = manifest or a_manifest(name)

        def job(tx: Transaction) -> None:
            meta = _meta(tx, "Plugin", name, plugins.FINALIZER)
            tx.insert(Plugin(meta=meta, spec=PluginSpec(manifest=manifest)), _told("plugin.installed"))

        await self.ask(job)
        self.plugins[name] = True

    async def enable(self, name: str = "hello", *, enabled: bool = True) -> None:
        """POST /plugins/{name}/enabled."""

        def job(tx: Transaction) -> None:
            plugin = _staying(tx, Plugin, name)
            told = _told("plugin.enabled" if enabled else "plugin.disabled")
            tx.update_spec(plugin, replace(plugin.spec, enabled=enabled), told)

        await self.ask(job)
        self.plugins[name] = enabled

    async def remove(self, name: str = "hello") -> None:
        """DELETE /plugins/{name}. Raises InUse."""

        def job(tx: Transaction) -> None:
            if tx.vms_using(name) or tx.deployments_using(name):
                raise InUse(f"cannot remove {name}")
            tx.mark_deleting(tx.get(Key("Plugin", name)), _told("plugin.deleting"))

        await self.ask(job)
        self.plugins.pop(name, None)

    async def create(
        self,
        name: str,
        *,
        plugin: str = "hello",
        grace_s: float = 30.0,
        restart_policy: RestartPolicy = "always",
        disks: Iterable[str] = (),
    ) -> None:
        """POST /vms."""

        def job(tx: Transaction) -> None:
            sizes = {disk: DiskConfig(size_mb=64) for disk in disks}
            config = VMConfig(resources=usable_plugin(tx, plugin).spec.manifest.resources, disks=sizes)
            meta = _meta(tx, "VM", name, vms.FINALIZER)
            spec = VMSpec(
                plugin=plugin,
                config=config,
                restart_policy=restart_policy,
                grace_s=grace_s,
                address=tx.allocate_address(meta.uid),
            )
            tx.insert(VM(meta=meta, spec=spec), _told("vm.created"))

        await self.ask(job)
        self.vms[name] = "running"

    async def start(self, name: str) -> None:
        """POST /vms/{name}/start, or restart: both boot it again."""

        def change(spec: VMSpec) -> VMSpec:
            return replace(spec, power="running", force=False, restart_nonce=spec.restart_nonce + 1)

        await self._edit(name, change)
        self._wish(name, "running")

    async def stop(self, name: str, *, force: bool = False) -> None:
        """POST /vms/{name}/stop. Answers at once: whoever wants to see the end waits for it."""

        def change(spec: VMSpec) -> VMSpec:
            return replace(spec, power="stopped", force=force or (spec.power == "stopped" and spec.force))

        await self._edit(name, change)
        self._wish(name, "stopped")

    async def delete(self, name: str, *, force: bool = False) -> None:
        """DELETE /vms/{name}. Answers at once."""

        def job(tx: Transaction) -> None:
            vm = cast("VM", tx.get(Key("VM", name)))
            tx.mark_deleting(vm, _told("vm.deleting"), spec=replace(vm.spec, force=vm.spec.force or force))

        await self.ask(job)
        self.vms.pop(name, None)

    async def deploy(self, name: str, replicas: int, *, plugin: str = "hello") -> None:
        """POST /deployments."""

        def job(tx: Transaction) -> None:
            config = VMConfig(resources=usable_plugin(tx, plugin).spec.manifest.resources)
            spec = DeploymentSpec(plugin=plugin, replicas=replicas, config=config)
            meta = _meta(tx, "Deployment", name, deployments.FINALIZER)
            tx.insert(Deployment(meta=meta, spec=spec), _told("deployment.created"))

        await self.ask(job)
        self.deployments[name] = replicas

    async def scale(self, name: str, replicas: int) -> None:
        """PATCH /deployments/{name}."""

        def job(tx: Transaction) -> None:
            deployment = _staying(tx, Deployment, name)
            tx.update_spec(deployment, replace(deployment.spec, replicas=replicas), _told("deployment.scaled"))

        await self.ask(job)
        self.deployments[name] = replicas

    async def roll(self, name: str, *, strategy: Strategy | None = None, **spec: Any) -> None:
        """PATCH /deployments/{name}: another template, or another strategy. Without either, as POST .../restart."""

        def job(tx: Transaction) -> Strategy:
            deployment = _staying(tx, Deployment, name)
            new = replace(deployment.spec, strategy=strategy or deployment.spec.strategy, **spec)
            if new == deployment.spec:
                new = replace(new, restart_nonce=new.restart_nonce + 1)
            told = Happening(type="deployment.updated", actor="api", reason="RolloutStarted")
            return tx.update_spec(deployment, new, told).spec.strategy

        rolled = self._world.oracles.replay.rolled.setdefault(name, set())
        rolled.add(strategy or Strategy())  # because what is refused or lost may have been done all the same
        rolled.add(await self.ask(job))

    async def undeploy(self, name: str) -> None:
        """DELETE /deployments/{name}. Answers at once."""
        await self.ask(lambda tx: tx.mark_deleting(tx.get(Key("Deployment", name)), _told("deployment.deleting")))
        self.deployments.pop(name, None)

    async def try_to(self, wish: Any) -> bool:
        """Await a wish that the API may refuse; whether it did not."""
        try:
            await wish
        except (AlreadyExists, Conflict, InUse, NotFound):
            return False
        return True

    def _wish(self, name: str, wish: Wish) -> None:
        # The power of a replica may be switched like any other VM's, but nobody wished for it by name.
        if name in self.vms:
            self.vms[name] = wish

    async def _edit(self, name: str, change: Callable[[VMSpec], VMSpec]) -> None:
        def job(tx: Transaction) -> None:
            vm = _staying(tx, VM, name)
            if status_word(vm) == "stopped" and change(vm.spec).power == "stopped":
                raise Conflict(f"cannot stop VM {name}: it is stopped")
            tx.update_spec(vm, change(vm.spec), _told("vm.updated"))

        await self.ask(job)

    async def ask(self, job: Callable[[Transaction], T]) -> T:
        """As a client that asks until it is answered. A write that was not answered was not made, so it may."""
        while True:
            life = await self._world.up()
            try:
                return await life.store.write(job)
            except Unavailable:
                await self._world.clock.sleep(ASK_AGAIN_S)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not life.is_dead or (task is not None and task.cancelling()):
                    raise


def _staying(tx: Transaction, cls: type[T], name: str) -> T:
    kind: Kind = "VM" if cls is VM else "Deployment" if cls is Deployment else "Plugin"
    obj: Object = tx.get(Key(kind, name))
    refuse_deleting(obj)
    return cast("T", obj)


def _meta(tx: Transaction, kind: Kind, name: str, finalizer: str) -> Meta:
    return Meta(name=name, uid=tx.new_uid(), kind=kind, created_at=tx.now, finalizers=(finalizer,))


def _told(event: EventType) -> Happening:
    return Happening(type=event, actor="api")
