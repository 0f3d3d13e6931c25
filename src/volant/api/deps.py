"""What the daemon hands in: everything the API may know of the world."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from volant.bus import Bus
from volant.clock import Clock, Instant, UidFactory, random_uid
from volant.errors import OpenapiUnavailable
from volant.model.meta import Key, Misfit
from volant.model.plugin import Plugin
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


async def never_fetched(vm: VM, _: Plugin) -> bytes:
    """Nobody asks guests or looks into images."""
    raise OpenapiUnavailable(f"cannot show the API of VM {vm.meta.name} now: nobody here can ask its guest")


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
    OpenapiUnavailable. `facts` is what the controllers know of objects at a moment, which is this one: their turns,
    when they come round, and what keeps all of them from acting. `uids` names requests that come without an
    X-Request-Id.
    """

    store: Store
    bus: Bus
    clock: Clock
    stopping: asyncio.Event
    info: Callable[[], SystemFacts]
    health: Callable[[], HealthReport]
    last_check: Callable[[VM], Instant | None] = never_checked
    document: Callable[[VM, Plugin], Awaitable[bytes]] = never_fetched
    facts: Callable[[Instant, Sequence[Key]], Facts] = nothing_known
    heartbeat_s: float = 15.0
    wait_margin_s: float = 15.0
    network_mode: NetworkMode = "user"
    check_network: Callable[[NetworkConfig], None] = only_the_user_network
    check_told: Callable[[VMConfig], None] = anything_may_be_told
    lacks_kvm: bool = False
    api_port: int = 0
    allowed_hosts: tuple[str, ...] = ()
    uids: UidFactory = random_uid
