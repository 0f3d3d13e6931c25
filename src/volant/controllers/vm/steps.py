"""What the plan of a VM can ask for: one of these at a time, or nothing."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from volant.model.event import Happening
from volant.model.plugin import Plugin
from volant.model.vm import Endpoint, VMStatus

KillReason = Literal["GraceExpired", "Forced"]


class HostFacts(Struct, frozen=True, kw_only=True):
    """What a status says of the host. `endpoints` are where a guest started now, or just now, is reached."""

    node: str
    accelerator: str
    isolation: str
    endpoints: tuple[Endpoint, ...] = ()


class Launch(Struct, frozen=True):
    """Attach the VM and start a guest from `plugin`, whose artifacts are all in the cache."""

    plugin: Plugin


class RequestStop(Struct, frozen=True):
    """Ask the guest to shut down, and look again in `again_s`: a request that got lost costs no more than that."""

    again_s: float


class Kill(Struct, frozen=True):
    """End the VMM now."""

    reason: KillReason


class Forget(Struct, frozen=True):
    """Remove what an ended guest left on the host."""


class Report(Struct, frozen=True):
    """Write `status`, which differs from the one in the store; `happening` is the event of that write."""

    status: VMStatus
    happening: Happening


class Finalize(Struct, frozen=True):
    """Take the VM off the network and let its row go."""

    happening: Happening


class Wait(Struct, frozen=True):
    """Nothing to do for so many seconds."""

    seconds: float


Step = Launch | RequestStop | Kill | Forget | Report | Finalize | Wait
