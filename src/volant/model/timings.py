"""How long the phases of a guest's life took, as the VM controller has seen them. Pure.

    accepted ──waited──▶ launch asked ──launch──▶ VMM up ──boot──▶ guest runs ──ready──▶ first ready
                                                     stop asked ──stop──▶ ended

Seconds, to the millisecond. A phase that no one daemon saw from its beginning to its end is left out: what would be
told of it is how long the daemon was away.
"""

from __future__ import annotations

from msgspec import Struct


class Timings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The phases of the last guest.

    waited_s  from when it was wanted until its VMM was asked for: of a new VM that is since its creation
    launch_s  until the VMM was up, with its network and its disks
    boot_s    until the guest was seen to run
    ready_s   until it was ready for the first time
    stop_s    from when the guest was asked to stop until it was gone; of a guest that runs, that of the one before
    """

    waited_s: float | None = None
    launch_s: float | None = None
    boot_s: float | None = None
    ready_s: float | None = None
    stop_s: float | None = None


def seconds(span: float) -> float:
    """A span as it is stored: to the millisecond, and never less than none."""
    return round(max(span, 0.0), 3)
