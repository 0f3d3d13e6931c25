"""Which guests are looked after, and what they were attached by. Pure."""

from __future__ import annotations

from msgspec import Struct

from volant.clock import Instant, Uid
from volant.model.vm import VM, NetworkConfig, running_address, running_config


class Guest(Struct, frozen=True):
    """A running guest: another pid, or another start, is another one."""

    uid: Uid
    pid: int
    started_at: Instant | None


class Wish(Struct, frozen=True):
    """What a guest's attachment is made of: with the ports of its plugin that is all of it."""

    address: str | None
    asked: NetworkConfig


def guest(vm: VM) -> Guest | None:
    """The guest that runs and is to go on running for now; None when there is none to look after.

    One on its way out keeps its network to the end, or it could not finish what it is at.
    """
    pid = vm.status.pid
    return Guest(vm.meta.uid, pid, vm.status.started_at) if pid is not None else None


def wish(vm: VM) -> Wish:
    """As the guest was booted, and not as its spec says by now."""
    return Wish(running_address(vm), running_config(vm).network)
