"""What the daemon hands in: everything the API may know of the world."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from volant.bus import Bus
from volant.clock import Clock, Instant, UidFactory, random_uid
from volant.errors import ConsoleUnavailable, OpenapiUnavailable, Unavailable
from volant.model.meta import Key, Misfit
from volant.model.plugin import Plugin
from volant.model.sync import NEVER, Attempts
from volant.model.timeline import Timeline
from volant.model.views import SystemFacts
from volant.model.vm import VM, NetworkConfig, NetworkMode, VMConfig
from volant.model.why import Facts
from volant.store import Store


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of the daemon; `message` says what is wrong."""

    ok: bool
    message: str = ""


class HealthReport(Struct, frozen=True, kw_only=True):
    """`is_live`: worth keeping, else restart it. `is_ready`: worth sending requests to."""

    is_live: bool
    is_ready: bool
    checks: Mapping[str, Check] = {}


def never_checked(_: VM) -> None:
    """Nobody probes."""


def only_the_user_network(asked: NetworkConfig) -> None:
    """Raises Misfit for any other mode than user and none."""
    if asked.mode not in (None, "none", "user"):
        raise Misfit("/mode", "this daemon has the network mode 'user' (or 'none'); leave it out to get that")


def anything_may_be_told(config: VMConfig) -> None:
    """Nobody looks into texts for cloud-init."""


def nothing_known(now: Instant, _: Sequence[Key]) -> Facts:
    """Nobody here works on anything."""
    return Facts(now=now)


def never_attempted(_: str) -> Attempts:
    """Nobody here has tried anything."""
    return NEVER


def nobody_syncs(_: str) -> Awaitable[object]:
    """Nobody here tries anything."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


async def never_forecast(_: bytes) -> Timeline:
    """Nobody here looks ahead."""
    raise Unavailable("cannot forecast: nobody here does", code="forecast_failed")


async def never_fetched(vm: VM, _: Plugin) -> bytes:
    """Nobody asks guests or looks into images."""
    raise OpenapiUnavailable(f"cannot show the API of VM {vm.meta.name} now: nobody here can ask its guest")


class Transcript(Protocol):
    """What a guest has said, read once. `read`: what comes next, empty for nothing (now, or for good)."""

    async def read(self) -> bytes: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class Line(Protocol):
    """Somebody attached to a console. `read`: what the guest says next, empty once it has ended."""

    async def read(self) -> bytes: ...  # noqa: D102

    async def write(self, data: bytes) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class Consoles(Protocol):
    """The serial consoles of guests. All of it raises ConsoleUnavailable."""

    async def log(self, vm: VM, *, tail: int | None, follows: bool, previous: bool) -> Transcript | None:
        """What its guest says, or said; None when nothing of it is kept."""

    async def attach(self, vm: VM) -> Line:
        """Be on the console of the guest that runs."""


class NoConsoles:
    """Nobody has consoles here."""

    async def log(self, vm: VM, *, tail: int | None, follows: bool, previous: bool) -> Transcript | None:
        """Nothing."""
        return None

    async def attach(self, vm: VM) -> Line:
        """Nothing to be on."""
        raise ConsoleUnavailable(f"cannot attach to the console of VM {vm.meta.name}: there are none here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """`stopping` ends every stream and every wait once it is set, and refuses new writes.

    `allowed_hosts` are names, besides localhost and IP addresses, that a reverse proxy passes on in `Host`.
    `network_mode` is what a VM gets that asks for none; `check_network` raises Misfit, with the path below `network`,
    for what no VM can be given; `check_told` the same, with the path
    below the config, for texts that no guest can be told. `lacks_kvm`: VMs are to be isolated by KVM, and there is none
    (A14). `api_port` is our own, which nobody may publish.
    `wait_margin_s` is what stopping may take beyond the grace
    period before an answer is given all the same. `last_check` is when a probe of a VM's guest last said something,
    where that is known: it changes with every probe, so it is not stored. `document` gets the OpenAPI document of a
    guest, as JSON, from where its manifest says that it is but for the manifest itself; raises OpenapiNotFound or
    OpenapiUnavailable. `attempts` is what is not stored of a sync; `sync_now` has one tried at once; what it returns is
    done when it was. `facts` is what the controllers know of objects at a moment, which is this one: their turns, when
    they come round, and what keeps all of them from acting. `forecast` tells what would come of a body of `POST
    /apply`; raises ForecastTooLarge or Unavailable. `consoles` are those of guests. `uids` names requests that come
    without an X-Request-Id.
    """

    store: Store
    bus: Bus
    clock: Clock
    stopping: asyncio.Event
    info: Callable[[], SystemFacts]
    health: Callable[[], HealthReport]
    last_check: Callable[[VM], Instant | None] = never_checked
    attempts: Callable[[str], Attempts] = never_attempted
    sync_now: Callable[[str], Awaitable[object]] = nobody_syncs
    document: Callable[[VM, Plugin], Awaitable[bytes]] = never_fetched
    forecast: Callable[[bytes], Awaitable[Timeline]] = never_forecast
    facts: Callable[[Instant, Sequence[Key]], Facts] = nothing_known
    consoles: Consoles = field(default_factory=NoConsoles)
    heartbeat_s: float = 15.0
    wait_margin_s: float = 15.0
    network_mode: NetworkMode = "user"
    check_network: Callable[[NetworkConfig], None] = only_the_user_network
    check_told: Callable[[VMConfig], None] = anything_may_be_told
    lacks_kvm: bool = False
    api_port: int = 0
    allowed_hosts: tuple[str, ...] = ()
    uids: UidFactory = random_uid
