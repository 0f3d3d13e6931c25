"""Why a VM ended: a pure function of what was seen of its end.

Three witnesses, none of which is always there. The exit status is known of our own children only; the last word of
QMP only while we were connected; what QEMU wrote to its standard error says why it could not start.
"""

from __future__ import annotations

import re
import signal

from msgspec import Struct

from volant.clock import Instant
from volant.model.vm import Exit, ExitReason

DAEMON_WAS_DOWN = "the daemon was down"
HOST_WAS_RESTARTED = "the host was restarted"

_BY_GUEST: dict[str, tuple[ExitReason, str]] = {
    "guest-shutdown": ("guest_shutdown", "the guest shut down"),
    "guest-reset": ("guest_reset", "the guest rebooted"),
    "guest-panic": ("guest_panic", "the guest's kernel panicked"),
}
_FORWARD = re.compile(r"Could not set up host forwarding rule '(?:tcp|udp):([^'-]+)-")
_LOCKED = re.compile(r'"node-name":"disk-([a-z0-9-]+)".*Failed to get "[a-z ]+" lock$')
_OPTION = re.compile(r"^-[a-z]+ \{.*\}: ")
_PROGRAM = re.compile(r"^[a-z0-9_/.-]+: ")


class End(Struct, frozen=True, kw_only=True):
    """What was seen. `code` is the exit status, negative the signal; `shutdown` is QMP's reason for going.

    `was_up` says that QMP had answered before, `was_listening` that it was connected to the last.
    """

    code: int | None = None
    shutdown: str | None = None
    has_panicked: bool = False
    was_up: bool = False
    was_listening: bool = False
    was_killed: bool = False
    was_host_restarted: bool = False
    said: str = ""


def exit_of(end: End, *, at: Instant, of: Instant | None) -> Exit:
    """How it ended, in a word and a sentence. Total."""
    reason, message = _verdict(end)
    return Exit(reason=reason, at=at, of=of, code=end.code, message=message)


def first_complaint(said: str) -> str:
    """The first line QEMU wrote that is not a mere warning, as a sentence without its program's name; may be empty."""
    lines = (_PROGRAM.sub("", line.strip()) for line in said.splitlines())
    line = next((line for line in lines if line and not line.lower().startswith("warning:")), "")
    forward = _FORWARD.search(line)
    if forward is not None:
        return f"cannot publish {forward[1]}: the port is taken"
    locked = _LOCKED.search(line)
    if locked is not None:
        return f"cannot use disk {locked[1]}: another process has it open"
    line = _OPTION.sub("", line)
    # What QEMU prints may repeat what a guest or a file name said: nothing of it may steer a terminal.
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:500]


def _verdict(end: End) -> tuple[ExitReason, str]:
    if end.has_panicked:
        return _BY_GUEST["guest-panic"]
    if end.shutdown in _BY_GUEST:  # Before `was_killed`: a guest may leave by itself while the kill is on its way.
        return _BY_GUEST[end.shutdown]
    if end.was_killed:
        return "killed", "ended by Volant"
    if end.shutdown is not None:
        return "killed", f"QEMU was asked to end ({end.shutdown})"
    if end.code is not None and end.code < 0:
        return "killed", f"QEMU was ended by {_signal(-end.code)}"
    if not end.was_up and end.code is not None:
        return "launch_failed", first_complaint(end.said) or f"QEMU ended with status {end.code} before it answered"
    return _unexplained(end)


def _unexplained(end: End) -> tuple[ExitReason, str]:
    if end.code is not None:
        return "unknown", first_complaint(end.said) or f"QEMU ended with status {end.code}"
    if end.was_listening:
        # An ordinary end is announced. One that is not was a signal or a crash.
        return "killed", "QEMU ended without a word"
    return "unknown", HOST_WAS_RESTARTED if end.was_host_restarted else DAEMON_WAS_DOWN


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
