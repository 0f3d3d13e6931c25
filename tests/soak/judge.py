"""What a round may have done to each guest, given what was asked for and what happened to the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.soak.faults import Faults, Guest
from tests.soak.wishes import Book


def restarts(before: Mapping[str, Guest], after: Mapping[str, Guest], book: Book, faults: Faults) -> Iterator[str]:
    """0 restarts that were not asked for.

    A guest that nobody killed and no wish was about has the same pid, the same start and the same count of restarts,
    however often the daemon died. Any other has at most as many restarts as there is an explanation for.
    """
    for uid, guest in after.items():
        was, touches, kills = before.get(uid), book.touched[guest.name], faults.killed[uid]
        explained = touches + kills + (faults.stripped[uid] if touches or kills else 0)
        if was is None:
            if not touches and not kills and guest.restarts:
                yield f"{guest.name} ({uid}) was started in this round and says it restarted {guest.restarts} times"
            continue
        if not touches and not kills and (guest.process[:3], guest.restarts) != (was.process[:3], was.restarts):
            yield f"nobody touched {guest.name}: it was {was}, and is {guest}"
        if not 0 <= guest.restarts - was.restarts <= explained:
            yield f"{guest.name} restarted {guest.restarts - was.restarts} times, {explained} were asked for"
