"""Which adapters a daemon runs with: chosen here and nowhere else, from the settings."""

from __future__ import annotations

import random
from typing import NamedTuple

from volant.clock import Clock
from volant.config import Settings
from volant.drivers import Consoles, Disks, Hypervisor, Network, Pages, Prober
from volant.drivers.disks import DiskStore
from volant.drivers.networks import Networks
from volant.drivers.pages import SocketPages
from volant.drivers.probes import SocketProber
from volant.drivers.qemu import Policy, QemuConsoles, QemuHypervisor, check_host, choose, find_cgroups
from volant.drivers.simulated import (
    Behaviour,
    SimulatedConsoles,
    SimulatedDisks,
    SimulatedHost,
    SimulatedHypervisor,
    SimulatedNetwork,
    SimulatedPages,
    SimulatedProber,
)
from volant.drivers.user import UserNetwork
from volant.images.cache import ArtifactCache
from volant.images.fetch import FetchPolicy
from volant.images.rootdisk import check_root_disk

MIB = 1 << 20


class Drivers(NamedTuple):
    """What runs, connects, keeps the disks of, probes and reads guests, and what listens to them."""

    hypervisor: Hypervisor
    network: Network
    disks: Disks
    prober: Prober
    pages: Pages
    consoles: Consoles


async def drivers(settings: Settings, clock: Clock, rng: random.Random, *, api_port: int = 0) -> Drivers:
    """The drivers that were asked for. `api_port` is ours, which nobody may publish.

    Raises StartupError with one sentence when the host cannot do what was asked for.
    """
    if settings.hypervisor == "simulated":
        host = SimulatedHost(clock, rng, behaviour=Behaviour())
        simulated = SimulatedNetwork(host, clock, settings.pool) if settings.pool else SimulatedNetwork(host, clock)
        hypervisor, prober = SimulatedHypervisor(host, clock), SimulatedProber(host, clock)
        disks, pages, consoles = SimulatedDisks(host), SimulatedPages(host, clock), SimulatedConsoles(host, clock)
        return Drivers(hypervisor, Networks([simulated]), disks, prober, pages, consoles)
    network = _network(settings, clock, api_port)
    found = await check_host(settings.qemu)
    uids, cache_dir = settings.uids, settings.data_dir / "cache"
    choice = await choose(settings.accelerator, found, vmm_uid=uids[0], cache_dir=cache_dir)
    run_dir = settings.data_dir / "run"
    qemu = QemuHypervisor(
        run_dir,
        host=found,
        accelerator=choice,
        clock=clock,
        policy=Policy(uids=uids, cgroups=find_cgroups(settings.cgroup_parent), require_kvm=settings.require_kvm),
        starts=settings.start_limit or None,
    )
    kept, listening = DiskStore(settings.data_dir / "disks", virtual_size=check_root_disk), QemuConsoles(run_dir)
    return Drivers(qemu, network, kept, SocketProber(clock), SocketPages(), listening)


def _network(settings: Settings, clock: Clock, api_port: int) -> Network:
    user = UserNetwork(pool=settings.pool, clock=clock) if settings.pool else UserNetwork(clock=clock)
    if settings.network == "user":
        return Networks([user])
    # pyroute2 takes a fifth of a second to load, which nobody should pay for who needs no bridge.
    from volant.drivers.bridge import bridge_network  # noqa: PLC0415

    bridge = bridge_network(
        bridge=settings.bridge_name,
        pool=settings.bridge_pool,
        pool6=settings.bridge_pool6,
        data_dir=settings.data_dir,
        clock=clock,
        allow=settings.bridge_allow,
        dns=settings.bridge_dns,
        mtu=settings.bridge_mtu or None,
        reserved=(api_port,) if api_port else (),
    )
    return Networks([bridge, user])


def cache(settings: Settings, clock: Clock) -> ArtifactCache:
    """The artifact cache below the data directory."""
    policy = FetchPolicy(
        allow=settings.artifact_allow,
        roots=settings.artifact_root,
        max_bytes=settings.artifact_max_mb * MIB,
        checksums=settings.artifact_checksums,
    )
    return ArtifactCache(settings.data_dir / "cache", policy=policy, clock=clock)
