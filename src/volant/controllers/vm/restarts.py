"""When a guest that ended without having been asked to is started again. Pure.

    ended ──▶ may it run again?  (policy, how it ended)
          ──▶ how long to wait?  1 s, doubling to 60 s, ± 20 %, from 1 s again after ten good minutes (P1)

The count and the time of the next start are kept in the status, so a daemon that is restarted goes on waiting (P2).
"""

from __future__ import annotations

import hashlib

from volant.clock import Instant, Uid
from volant.model.vm import VM, Booted, Exit, ExitReason, RestartPolicy

BASE_S = 1.0
CAP_S = 60.0
JITTER = 0.2
WELL_S = 600.0
"""A guest that ran this long was well: its end is the first of a new row, not one more of the old."""
FURTHEST_S = CAP_S * (1 + JITTER) + 1.0
"""No delay is longer. A start that is further away than this was fixed by a clock that has been put back since."""

_DOUBLINGS = 6


def delay_s(uid: Uid, failures: int) -> float:
    """Seconds to wait after `failures` ends in a row (1: the first).

    The jitter is a hash and not chance: a plan that is asked twice gives the same answer, and guests that ended
    together still start apart.
    """
    plain = min(BASE_S * 2.0 ** min(max(failures - 1, 0), _DOUBLINGS), CAP_S)
    return plain * (1.0 + JITTER * _even(f"{uid}:{failures}"))


def may_restart(policy: RestartPolicy, end: ExitReason) -> bool:
    """Whether a guest that ended like this runs again by itself (P8). What we ended for a restart always does."""
    if policy == "always" or end == "asked":
        return True
    return policy == "on_failure" and end != "guest_shutdown"


def is_restart_asked(vm: VM) -> bool:
    """Whether somebody asked for a start since the last guest was booted: overrides both waiting and policy."""
    return vm.status.booted is not None and vm.status.booted.restart_nonce < vm.spec.restart_nonce


def is_held(vm: VM) -> bool:
    """Whether the policy keeps a VM down whose guest ended by itself. One that was never booted is not held."""
    status = vm.status
    if status.booted is None or status.exit is None or is_restart_asked(vm):
        return False
    return not may_restart(vm.spec.restart_policy, status.exit.reason)


def failures_before(vm: VM, booted: Booted) -> int:
    """Ends in a row that count against the guest booted so; none when somebody asked for that boot."""
    last = vm.status.booted
    return 0 if last is not None and last.restart_nonce < booted.restart_nonce else vm.status.failures


def failures_after(vm: VM, booted: Booted, end: Exit) -> int:
    """Ends in a row, this one included."""
    ran_s = end.at - end.of if end.of is not None else 0.0
    return 1 if ran_s >= WELL_S else failures_before(vm, booted) + 1


def restart_at(vm: VM, failures: int, now: Instant) -> Instant:
    """When the next guest may be started."""
    return now + delay_s(vm.meta.uid, failures)


def _even(text: str) -> float:
    """A number in [-1, 1), spread evenly over texts."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**63 - 1.0
