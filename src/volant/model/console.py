"""How a connection to a guest's console ends: the close codes of its WebSocket, of the range that is left to us."""

from __future__ import annotations

from typing import Final, Literal

ConsoleEnd = Literal["detached", "taken_over", "guest_ended", "not_reading", "too_slow", "stopping", "broken"]
"""Why somebody is no longer attached.

detached     they left
taken_over   somebody else took the console with `force`
guest_ended  the guest's VMM is gone: it was stopped, restarted or deleted, or it crashed
not_reading  the guest has not taken what was typed for too long
too_slow     they did not take what the guest said for too long
stopping     the daemon is stopping; the guest is not
broken       the connection is lost, or an end that is none of these
"""

CLOSE_CODES: Final[dict[ConsoleEnd, int]] = {
    "detached": 1000,
    "stopping": 1012,
    "taken_over": 4001,
    "guest_ended": 4002,
    "not_reading": 4003,
    "too_slow": 4004,
}
_ENDS: Final = {code: end for end, code in CLOSE_CODES.items()}


def console_end(code: int | None) -> ConsoleEnd:
    """What a close code says."""
    return "broken" if code is None else _ENDS.get(code, "broken")
