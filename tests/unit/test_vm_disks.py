"""The disks of a VM over its life: made before its guest, kept over every guest, gone before its row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace
from tests.builders.guests import an_instance, ready_of
from tests.builders.objects import NOW, a_manifest, a_vm, uid_of
from tests.builders.vm_world import VMWorld, in_world

from volant.clock import Uid
from volant.controllers.vm import reports
from volant.controllers.vm.steps import HostFacts
from volant.drivers import Attachment, DiskSpec, VMFiles
from volant.drivers.simulated import SimulatedDisks, SimulatedNetwork
from volant.errors import ArtifactRefused, DriverError, DriverUnavailable
from volant.model.health import HealthCheck
from volant.model.plugin import Rootfs
from volant.model.vm import VM, DiskConfig, NetworkConfig, NetworkMode, VMConfig, VMSpec

UID = uid_of("web-1")
DATA = VMConfig(disks={"data": DiskConfig(size_mb=100)})
TOLD = VMConfig(env={"A": "b"})
DISKY = a_manifest(rootfs=Rootfs(url="http://127.0.0.1:9000/root.qcow2", format="qcow2"))


def of_disks(world: VMWorld) -> list[str]:
    return [op for op in world.ops() if op.startswith("disks")]


@in_world()
async def test_disks_are_there_before_the_guest_and_the_plugins_comes_first(world: VMWorld) -> None:
    await world.install(manifest=DISKY)
    await world.create(a_vm(config=DATA), with_plugin=False)
    await world.settle()
    assert world.ops() == ["disks.ensure", "network.ensure", "launch"]
    assert list(world.host.disks[UID]) == ["root", "data"]


@in_world()
async def test_disks_stay_over_stop_start_and_the_death_of_the_daemon(world: VMWorld) -> None:
    await world.create(a_vm(config=DATA))
    await world.settle()
    kept = world.host.disks[UID]
    await world.stop("web-1")
    await world.settle()
    assert world.host.disks[UID] is kept
    await world.edit("web-1", lambda spec: replace(spec, power="running"))
    world.restart()
    await world.settle()
    assert (world.word(), world.host.disks[UID] is kept) == ("running", True)


@in_world()
async def test_disks_go_with_the_vm_and_before_its_row(world: VMWorld) -> None:
    """D2: also those of a VM whose config names none any more."""
    await world.create(a_vm(config=DATA))
    await world.settle()
    await world.edit("web-1", lambda spec: replace(spec, config=VMConfig()))
    await world.settle()
    assert UID in world.host.disks, "what is taken off a VM stays until it goes"
    await world.delete("web-1")
    world.host.disk_fault = "the disk is busy"
    for _ in range(5):
        with pytest.raises(DriverUnavailable):
            while True:
                await world.turn()
                await world.clock.sleep(1.0)
        assert world.store.find_uid(UID) is not None
    world.host.disk_fault = None
    await world.settle()
    assert (world.store.find_uid(UID), world.host.disks) == (None, {})


@in_world()
async def test_a_full_disk_is_said_and_waited_for(world: VMWorld) -> None:
    world.host.disk_fault = "no space left on device"
    await world.create(a_vm(config=DATA))
    with pytest.raises(DriverUnavailable):
        await world.turn()
    assert ready_of(world.vm()).reason == "DriverUnavailable"
    assert "no space left" in ready_of(world.vm()).message
    assert world.host.alive() == []
    world.host.disk_fault = None
    await world.settle()
    assert world.word() == "running"


@in_world()
async def test_a_disk_that_would_have_to_shrink_is_refused_and_said(world: VMWorld) -> None:
    await world.create(a_vm(config=DATA))
    await world.settle()

    def smaller(spec: VMSpec) -> VMSpec:
        config = VMConfig(disks={"data": DiskConfig(size_mb=1)})
        return replace(spec, config=config, restart_nonce=spec.restart_nonce + 1)

    await world.edit("web-1", smaller)
    with pytest.raises(DriverError):
        for _ in range(20):
            await world.turn()
            await world.clock.sleep(1.0)
    assert (world.word(), ready_of(world.vm()).reason) == ("error", "DriverRefused")


@in_world()
async def test_a_guest_is_told_what_its_config_says(world: VMWorld) -> None:
    """E6: the seed is made anew for each guest, of the config that this guest is booted with."""
    told: list[tuple[VMConfig, str | None]] = []

    async def seed(vm: VM, attachment: Attachment) -> bytes:
        told.append((vm.spec.config, attachment.address))
        return b"seed"

    world.reconciler._seed = seed
    vm = await world.create(a_vm(config=TOLD))
    await world.settle()
    assert told == [(TOLD, vm.spec.address)]
    assert world.ops()[0] == "disks.ensure"
    assert ready_of(world.vm()).status == "true"


def refusing(message: str) -> Callable[[VM, Attachment], Awaitable[bytes]]:
    async def seed(vm: VM, attachment: Attachment) -> bytes:
        raise ArtifactRefused(message)

    return seed


@in_world()
async def test_a_config_of_which_no_seed_can_be_made_is_said_on_the_vm(world: VMWorld) -> None:
    world.reconciler._seed = refusing("cannot use cloud_init.meta_data: a YAML mapping is expected")
    await world.create(a_vm(config=TOLD))
    with pytest.raises(ArtifactRefused):
        await world.turn()
    assert (world.word(), ready_of(world.vm()).reason) == ("error", "ArtifactRefused")
    assert world.host.alive() == []


@in_world()
async def test_a_guest_without_disks_and_words_costs_nothing_of_the_kind(world: VMWorld) -> None:
    await world.create(a_vm())
    await world.settle()
    assert of_disks(world) == []
    assert world.host.disks == {}


@in_world()
async def test_what_a_guest_is_no_longer_told_is_not_kept(world: VMWorld) -> None:
    """E5: a seed with an old secret goes as soon as there is nothing to tell any more."""
    asked: list[bytes | None] = []

    async def seed(vm: VM, attachment: Attachment) -> bytes:
        return b"secret"

    class Watched(SimulatedDisks):
        async def ensure(self, uid: Uid, wanted: tuple[DiskSpec, ...], seed: bytes | None) -> VMFiles:
            asked.append(seed)
            return await super().ensure(uid, wanted, seed)

    world.reconciler._seed = seed
    world.reconciler._disks = Watched(world.host)
    await world.create(a_vm(config=TOLD))
    await world.settle()
    await world.edit("web-1", lambda spec: replace(spec, config=VMConfig(), restart_nonce=1))
    await world.settle()
    assert asked == [b"secret", None]


class Watchable(SimulatedNetwork):
    """One that makes something on the host."""

    @property
    def is_watched(self) -> bool:
        return True


@in_world()
async def test_a_vm_that_is_stopped_lets_go_of_its_network_and_a_crash_does_not(world: VMWorld) -> None:
    """F7: ports that it published are another's by then, perhaps."""
    world.reconciler._network = Watchable(world.host, world.clock)
    await world.create(a_vm())
    await world.settle()
    world.host.crash(UID)
    await world.settle()
    assert "network.ensure_absent" not in world.ops()
    await world.stop("web-1")
    await world.settle()
    assert (world.word(), world.host.networks) == ("stopped", {})


@in_world()
async def test_a_vm_that_wants_no_network_any_more_has_none(world: VMWorld) -> None:
    world.reconciler._network = Watchable(world.host, world.clock)
    await world.create(a_vm())
    await world.settle()

    def alone(spec: VMSpec) -> VMSpec:
        return replace(spec, config=VMConfig(network=NetworkConfig(mode="none")), restart_nonce=1)

    await world.edit("web-1", alone)
    await world.settle()
    assert (world.word(), world.host.networks) == ("running", {})


@pytest.mark.parametrize("mode", ["none", "dhcp"])
def test_a_guest_that_nobody_here_can_reach_is_ready_without_being_asked(mode: NetworkMode) -> None:
    """P4: its health check is not asked, and its condition says so."""
    config = VMConfig(network=NetworkConfig(mode=mode))
    manifest = a_manifest(health_check=HealthCheck())
    nowhere = HostFacts(node="host-1", accelerator="tcg", isolation="none")
    report = reports.running(a_vm(config=config), an_instance(config=config), NOW, nowhere, manifest)
    assert report is not None
    ready = ready_of(a_vm(status=report.status))
    assert (ready.status, ready.reason) == ("true", "Running")
    assert "not asked" in ready.message
