"""Which adapters a daemon runs with: chosen here and nowhere else, from the settings."""

from __future__ import annotations

import random
from typing import NamedTuple

from volant.clock import Clock
from volant.config import Settings
from volant.drivers import Hypervisor, Network, Pages, Prober
from volant.drivers.pages import SocketPages
from volant.drivers.probes import SocketProber
from volant.drivers.qemu import QemuHypervisor, check_host, choose
from volant.drivers.simulated import (
    Behaviour,
    SimulatedHost,
    SimulatedHypervisor,
    SimulatedNetwork,
    SimulatedPages,
    SimulatedProber,
)
from volant.drivers.user import UserNetwork
from volant.errors import StartupError
from volant.images.cache import ArtifactCache
from volant.images.fetch import FetchPolicy

MIB = 1 << 20


class Drivers(NamedTuple):
    """What runs, connects, probes and reads guests."""

    hypervisor: Hypervisor
    network: Network
    prober: Prober
    pages: Pages


async def drivers(settings: Settings, clock: Clock, rng: random.Random) -> Drivers:
    """The drivers that were asked for.

    Raises StartupError with one sentence when the host cannot do what was asked for.
    """
    if settings.network == "bridge":
        raise StartupError("cannot use --network bridge: this version has the user network only. Use --network user.")
    if settings.hypervisor == "simulated":
        host = SimulatedHost(clock, rng, behaviour=Behaviour())
        simulated = SimulatedNetwork(host, clock, settings.pool) if settings.pool else SimulatedNetwork(host, clock)
        hypervisor, prober = SimulatedHypervisor(host, clock), SimulatedProber(host, clock)
        return Drivers(hypervisor, simulated, prober, SimulatedPages(host, clock))
    network = UserNetwork(pool=settings.pool) if settings.pool else UserNetwork()
    found = await check_host(settings.qemu)
    choice = await choose(settings.accelerator, found, vmm_uid=settings.vmm_uid, cache_dir=settings.data_dir / "cache")
    qemu = QemuHypervisor(
        settings.data_dir / "run",
        host=found,
        accelerator=choice,
        clock=clock,
        vmm_uid=settings.vmm_uid,
        starts=settings.start_limit or None,
    )
    return Drivers(qemu, network, SocketProber(clock), SocketPages())


def cache(settings: Settings, clock: Clock) -> ArtifactCache:
    """The artifact cache below the data directory."""
    policy = FetchPolicy(
        allow=settings.artifact_allow,
        roots=settings.artifact_root,
        max_bytes=settings.artifact_max_mb * MIB,
    )
    return ArtifactCache(settings.data_dir / "cache", policy=policy, clock=clock)
