"""Looks at one VM and its guest, asks the plan, takes the step, and looks again.

    find ──▶ inspect ──▶ next_step ──▶ act ──▶ find ──▶ ...      until rest, a wait, or MAX_STEPS

A step that touches the host is taken only if the store still holds the revision that it was decided on; a status is
written by compare-and-swap. Either raises Conflict otherwise, and the key comes round again (V12). When another daemon
has taken over, both raise Fenced (S3).

A driver that says no, or a config of which no seed can be made, is reported on the VM itself, once for a reason, and
raised on: the queue knows when to try again. One refusal is no failure: a request to stop that cannot be delivered. It
counts as lost, the next is due in seconds, and the deadline comes whatever happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from volant.clock import Clock, Instant
from volant.controllers.vm import reports
from volant.controllers.vm.fence import Fence
from volant.controllers.vm.files import is_told, nothing_told, wanted_disks
from volant.controllers.vm.plan import LOOK_AGAIN_S, next_step
from volant.controllers.vm.steps import (
    Finalize,
    Forget,
    HostFacts,
    Kill,
    Launch,
    Report,
    RequestStop,
    Step,
    Wait,
)
from volant.controllers.vm.stopwatch import Stopwatch
from volant.drivers import Attachment, Boot, Disks, Hypervisor, Instance, Network, VMFiles
from volant.errors import ArtifactError, DriverError, DriverRefused
from volant.model.event import Committed
from volant.model.meta import Key
from volant.model.plugin import Plugin, digests
from volant.model.vm import FINALIZER, VM, Booted, Endpoint, VMConfig
from volant.reconcile import DONE, Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store
from volant.telemetry import logger

log = logger("volant.controllers.vm")

T = TypeVar("T")

MAX_STEPS = 8
"""In one turn. The longest way from any state to rest is shorter; a VM that needs more lets the others go first."""
RELAUNCH_S = 1.0
"""Between two launches in a row. A guest that is gone without a trace leaves no end that would count."""


class VMReconciler:
    """One turn of one VM at a time; keeps nothing between turns but the fence and the stopwatch."""

    gap_s = 0.0
    """News of a plugin is rare: it need not wait to become one turn with more."""

    def __init__(  # noqa: PLR0913 -- everything that a VM needs of the host
        self,
        *,
        store: Store,
        hypervisor: Hypervisor,
        network: Network,
        disks: Disks,
        artifact_path: Callable[[str], Path],
        clock: Clock,
        node: str,
        seed: Callable[[VM, Attachment], Awaitable[bytes]] = nothing_told,
        effects: Effects | None = None,
    ) -> None:
        """`artifact_path` gives the file of a digest in the cache; `node` is this host's name.

        `seed` makes the disk that tells a guest what its config says.
        """
        self._store = store
        self._hypervisor = hypervisor
        self._network = network
        self._disks = disks
        self._seed = seed
        self._artifact_path = artifact_path
        self._clock = clock
        self._node = node
        self._effects = effects or Effects()
        self._fence = Fence(clock)
        self._stopwatch = Stopwatch(clock)

    def concerns(self, event: Committed) -> Iterable[Key]:
        """The VMs to look at after a change to that object: itself, or those made from that plugin."""
        if event.key.kind == "VM":
            return (event.key,)
        if event.key.kind == "Plugin":
            return self._store.keys("VM", plugin=event.key.name)
        return ()

    def resync_keys(self) -> Iterable[Key]:
        """Every VM there is."""
        return self._store.keys("VM")

    async def reconcile(self, key: Key) -> Outcome:
        """One turn. Raises DriverError after reporting it, Conflict when what it decided on has changed."""
        has_launched = False
        for _ in range(MAX_STEPS):
            vm = self._store.find(key)
            if not isinstance(vm, VM):
                return DONE
            now, step = await self._decide(vm)
            if step is None:
                return DONE
            if isinstance(step, Wait):
                return Again(step.seconds)
            if isinstance(step, Launch):
                if has_launched:
                    return Again(RELAUNCH_S)
                has_launched = True
            await self._take(vm, step, now)
            if isinstance(step, RequestStop):
                return Again(step.again_s)
        return Again(0.0)

    async def _decide(self, vm: VM) -> tuple[Instant, Step | None]:
        plugin = self._store.find(Key("Plugin", vm.spec.plugin))
        plugin = plugin if isinstance(plugin, Plugin) else None
        seen = await self._hypervisor.inspect(vm.meta.uid)
        now = self._clock.now()
        if self._fence.is_old(vm.meta.uid, seen):
            return now, Wait(LOOK_AGAIN_S)
        step = next_step(vm, plugin, seen, now, self._facts(vm, plugin, seen))
        if seen is None:
            self._stopwatch.looked(vm, is_at_rest=step is None)
        return now, step

    async def _take(self, vm: VM, step: Step, now: Instant) -> None:
        try:
            await self._act(vm, step)
        except (DriverError, ArtifactError) as error:
            if isinstance(step, RequestStop):
                log.info("vm.stop_request_lost", vm=vm.meta.name, uid=vm.meta.uid, message=error.message)
                return
            report = reports.failed(vm, error.reason, error.message, now)
            if report is not None:
                await self._report(vm, report)
            raise

    async def _act(self, vm: VM, step: Step) -> None:
        uid, hypervisor = vm.meta.uid, self._hypervisor
        match step:
            case Report():
                await self._report(vm, step)
            case Launch(plugin):
                await self._launch(vm, plugin)
            case RequestStop():
                await self._touch(vm, "hypervisor.request_stop", lambda: hypervisor.request_stop(uid))
            case Kill(reason):
                log.info("vm.kill", vm=vm.meta.name, uid=uid, reason=reason)
                await self._touch(vm, "hypervisor.kill", lambda: hypervisor.kill(uid))
            case Forget():
                if vm.spec.power == "stopped":
                    await self._detach(vm)
                # What the guest said last is for whoever asks why it ended, for as long as the VM is there.
                keeps = not vm.meta.is_deleting
                await self._touch(vm, "hypervisor.forget", lambda: hypervisor.forget(uid, keeps_console=keeps))
            case Finalize():
                await self._finalize(vm, step)
            case Wait():
                pass

    async def _report(self, vm: VM, step: Report) -> None:
        store, status = self._store, self._stopwatch.timed(vm, step.status)
        await self._effects.act(
            "store.update_status", vm.meta.key, lambda: store.update_status(vm, status, step.happening)
        )
        self._stopwatch.told(vm, status)

    async def _launch(self, vm: VM, plugin: Plugin) -> None:
        uid, hypervisor, network = vm.meta.uid, self._hypervisor, self._network
        self._stopwatch.asks(vm)
        attachment = self._attachment(vm, vm.spec.config, vm.spec.address, plugin)
        files = await self._files(vm, plugin, attachment)
        if attachment.mode != "none":
            await self._touch(vm, "network.ensure", lambda: network.ensure(uid, attachment))
        else:
            await self._detach(vm)
        boot = self._boot(vm, plugin, attachment, files)
        self._fence.launches(uid, vm.spec.restart_nonce)
        await self._touch(vm, "hypervisor.launch", lambda: hypervisor.launch(uid, boot))
        self._stopwatch.is_up(uid)

    async def _files(self, vm: VM, plugin: Plugin, attachment: Attachment) -> VMFiles:
        """The VM's disks, as they are by now, and a seed where there is something to tell."""
        wanted = wanted_disks(vm, plugin, self._artifact_path)
        seed = await self._seed(vm, attachment) if is_told(vm, plugin) else None
        if not wanted and seed is None and not await self._disks.has(vm.meta.uid):
            return VMFiles()
        return await self._touch(vm, "disks.ensure", lambda: self._disks.ensure(vm.meta.uid, wanted, seed))

    async def _detach(self, vm: VM) -> None:
        """Take a VM without a guest off the network, where something was made for it: its ports are free by now."""
        uid, network = vm.meta.uid, self._network
        if network.is_watched:
            await self._touch(vm, "network.ensure_absent", lambda: network.ensure_absent(uid))

    async def _finalize(self, vm: VM, step: Finalize) -> None:
        uid, hypervisor, network, store = vm.meta.uid, self._hypervisor, self._network, self._store
        # A second look: drivers refuse to forget what lives. One wrong look would let go of the row while the guest
        # runs on, and hand its address to the next VM.
        await self._touch(vm, "hypervisor.forget", lambda: hypervisor.forget(uid))
        await self._touch(vm, "network.ensure_absent", lambda: network.ensure_absent(uid))
        await self._touch(vm, "disks.ensure_absent", lambda: self._disks.ensure_absent(uid))
        await self._effects.act("store.finalize", vm.meta.key, lambda: store.finalize(vm, FINALIZER, step.happening))
        self._fence.forget(uid)
        self._stopwatch.forget(uid)

    async def _touch(self, vm: VM, op: str, fn: Callable[[], Awaitable[T]]) -> T:
        """An effect on the host, if the store still says what it was decided on and is ours (V12, S3)."""
        self._store.confirm(vm)
        return await self._effects.act(op, vm.meta.uid, fn)

    def _boot(self, vm: VM, plugin: Plugin, attachment: Attachment, files: VMFiles) -> Boot:
        kernel = plugin.spec.manifest.kernel
        paths = {role: self._artifact_path(digest) for role, digest in digests(plugin).items()}
        return Boot(
            uid=vm.meta.uid,
            name=vm.meta.name,
            booted=Booted(config=vm.spec.config, restart_nonce=vm.spec.restart_nonce, address=attachment.address),
            attachment=attachment,
            kernel=paths.get("kernel"),
            initramfs=paths.get("initramfs"),
            disks=files.disks,
            seed=files.seed,
            cmdline=kernel.cmdline if kernel is not None else "",
        )

    def _attachment(self, vm: VM, config: VMConfig, address: str | None, plugin: Plugin) -> Attachment:
        mode = config.network.mode or self._network.mode
        if mode == "none":
            return Attachment(mode="none")
        if mode not in self._network.pools:
            raise DriverRefused(
                f"cannot attach {vm.meta.name} to a network of mode '{mode}': this daemon has "
                f"{', '.join(sorted(self._network.pools))}. Change its network.mode, or start with --network bridge"
            )
        ports = plugin.spec.manifest.ports()
        return self._network.attachment(vm.meta.uid, address, ports, replace(config.network, mode=mode))

    def _facts(self, vm: VM, plugin: Plugin | None, seen: Instance | None) -> HostFacts:
        info = self._hypervisor.info
        endpoints = vm.status.endpoints
        # Said once of each guest, and looked up as often: they follow from what it was booted with.
        is_news = seen is not None and seen.state == "running" and seen.pid != vm.status.pid
        if is_news and plugin is not None and seen is not None:
            endpoints = self._endpoints(vm, seen, plugin)
        return HostFacts(node=self._node, accelerator=info.accelerator, isolation=info.isolation, endpoints=endpoints)

    def _endpoints(self, vm: VM, seen: Instance, plugin: Plugin) -> tuple[Endpoint, ...]:
        try:
            booted = reports.booted_of(vm, seen)
            attachment = self._attachment(vm, booted.config, booted.address or vm.spec.address, plugin)
        except DriverRefused:
            return ()  # because a guest from the days of another --network runs on, though nobody can say where
        return tuple(
            Endpoint(address=f.host_address, port=f.host_port, guest_port=f.guest_port) for f in attachment.forwards
        )
