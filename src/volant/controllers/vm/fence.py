"""What was seen before my own last launch is no reason to act (V12).

    launch of nonce 3 ──▶ fence ◀── seen: a guest of nonce 2     older than the launch: look again

Rows cannot be old here, because each step names the revision that it was decided on. What a host says can: a driver
that answers from an earlier look would have the new guest stopped for being the old one. The memory is of this
process only, and that is enough: a daemon that has just started has launched nothing yet.

It holds for `FENCE_S`, because a launch finds a live guest of the older kind now and then, and leaves it alone: that
one has to be seen for what it is.
"""

from __future__ import annotations

from volant.clock import Clock, Uid
from volant.drivers import Instance

FENCE_S = 5.0
"""No answer of a driver is older than this."""


class Fence:
    """The last launch of each VM that this process has made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._launches: dict[Uid, tuple[int, float]] = {}

    def launches(self, uid: Uid, restart_nonce: int) -> None:
        """A guest of that nonce is about to be launched."""
        self._launches[uid] = (restart_nonce, self._clock.monotonic())

    def forget(self, uid: Uid) -> None:
        """The VM is gone."""
        self._launches.pop(uid, None)

    def is_old(self, uid: Uid, seen: Instance | None) -> bool:
        """Whether that was seen before the last launch."""
        launch = self._launches.get(uid)
        if launch is None or seen is None or seen.booted is None:
            return False
        nonce, at = launch
        return seen.booted.restart_nonce < nonce and self._clock.monotonic() - at < FENCE_S
