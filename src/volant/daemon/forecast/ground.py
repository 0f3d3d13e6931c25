"""What a forecast stands on: a simulated host on which the VMs that run are running, a network and a cache.

A guest whose VM is on its way up is not there yet: the forecast boots it anew. One that is on its way down has not
been asked to stop, and takes as long as any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from volant.clock import Clock, Instant
from volant.daemon.forecast.pace import Guests
from volant.drivers import Attachment, Forward
from volant.drivers.simulated import SimulatedHost, SimulatedNetwork
from volant.drivers.simulated.guest import Guest
from volant.errors import ArtifactRefused
from volant.model.plugin import Plugin
from volant.model.vm import VM, NetworkConfig, NetworkMode, running_address

CACHE = Path("/forecast")


def populate(host: SimulatedHost, vms: Iterable[VM], guests: Guests, now: Instant) -> None:
    """Put the guests of those VMs on the host that are reported to run."""
    for vm in vms:
        if vm.status.pid is not None:
            host.place(_guest(vm, guests, now))


def _guest(vm: VM, guests: Guests, now: Instant) -> Guest:
    status, health = vm.status, vm.status.health
    config = vm.spec.config if status.booted is None else status.booted.config
    forwards = tuple(
        Forward(host_address=at.address, host_port=at.port, guest_port=at.guest_port) for at in status.endpoints
    )
    return Guest(
        uid=vm.meta.uid,
        pid=status.pid or 0,
        started_at=now if status.started_at is None else status.started_at,
        behaviour=guests.of(vm, config),
        booted=status.booted,
        attachment=Attachment(mode="user", address=running_address(vm), forwards=forwards),
        is_running=True,
        answers="unhealthy" if health is not None and health.status == "unhealthy" else "healthy",
    )


class Everywhere(SimulatedNetwork):
    """The network of the daemon, as far as VMs are given addresses by it. What it can do was checked by the daemon."""

    def __init__(self, host: SimulatedHost, clock: Clock, mode: NetworkMode, pools: Mapping[NetworkMode, str]) -> None:
        super().__init__(host, clock)
        self._mode: NetworkMode = mode
        self._pools = dict(pools)

    @property
    def mode(self) -> NetworkMode:
        """As the daemon's."""
        return self._mode

    @property
    def pools(self) -> Mapping[NetworkMode, str]:
        """As the daemon's."""
        return self._pools

    def check(self, asked: NetworkConfig) -> None:
        """Nothing is wrong with it."""


class Kept(Struct, frozen=True):
    """A file of the cache."""

    digest: str
    size_bytes: int = 0


class Files:
    """A cache that has every file, but for those that could not be had lately: how long one takes nobody can tell."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        artifacts = (artifact for plugin in plugins for artifact in plugin.status.artifacts.values())
        self._refused = {one.url: one.message or "" for one in artifacts if one.state == "error"}

    async def ensure(self, url: str, checksum: str | None) -> Kept:
        """Have it. Raises ArtifactRefused for one that the daemon could not get, with its own words."""
        if url in self._refused:
            raise ArtifactRefused(self._refused[url])
        return Kept(checksum or hashlib.sha256(url.encode()).hexdigest())

    def has(self, digest: str) -> bool:
        """It is there."""
        return True

    def path(self, digest: str) -> Path:
        """Where nothing is."""
        return CACHE / digest

    def digests(self) -> Iterable[str]:
        """None, so that none has to be cleaned away."""
        return ()

    async def remove(self, digest: str) -> None:
        """Nothing to remove."""
