"""Why a VM ended, from what was seen of its end."""

from __future__ import annotations

from typing import Any

import pytest

from volant.drivers.qemu.exits import End, exit_of, first_complaint


@pytest.mark.parametrize(
    ("seen", "reason", "message"),
    [
        ({"code": 0, "shutdown": "guest-shutdown", "was_up": True}, "guest_shutdown", "the guest shut down"),
        ({"code": 0, "shutdown": "guest-reset", "was_up": True}, "guest_reset", "the guest rebooted"),
        ({"code": 1, "shutdown": "guest-panic", "has_panicked": True}, "guest_panic", "the guest's kernel panicked"),
        ({"code": -9, "was_up": True, "was_killed": True}, "killed", "ended by Volant"),
        ({"code": None, "was_up": True, "was_killed": True}, "killed", "ended by Volant"),
        ({"code": -9, "was_up": True}, "killed", "QEMU was ended by SIGKILL"),
        ({"code": -99, "was_up": True}, "killed", "QEMU was ended by signal 99"),
        ({"code": 0, "shutdown": "host-signal"}, "killed", "QEMU was asked to end (host-signal)"),
        ({"code": 0, "shutdown": "host-qmp-quit"}, "killed", "QEMU was asked to end (host-qmp-quit)"),
        ({"code": None, "was_up": True, "was_listening": True}, "killed", "QEMU ended without a word"),
        ({"code": None}, "unknown", "the daemon was down"),
        ({"was_host_restarted": True}, "unknown", "the host was restarted"),
        ({"code": 1}, "launch_failed", "QEMU ended with status 1 before it answered"),
        ({"code": 1, "said": "qemu-system-x86_64: no\n"}, "launch_failed", "no"),
        ({"code": 1, "was_up": True}, "unknown", "QEMU ended with status 1"),
    ],
)
def test_the_reason_follows_from_what_was_seen(seen: dict[str, Any], reason: str, message: str) -> None:
    end = exit_of(End(**seen), at=7.0, of=3.0)
    assert (end.reason, end.message, end.code, end.at, end.of) == (reason, message, seen.get("code"), 7.0, 3.0)


def test_a_guest_that_left_while_it_was_being_killed_left_by_itself() -> None:
    end = End(code=0, shutdown="guest-shutdown", was_up=True, was_killed=True)
    assert exit_of(end, at=0, of=None).reason == "guest_shutdown"


def test_a_qemu_that_hung_in_a_panic_and_was_ended_has_panicked() -> None:
    end = End(code=-9, shutdown="guest-panic", has_panicked=True, was_up=True)
    assert exit_of(end, at=0, of=None).reason == "guest_panic"


def test_a_taken_port_is_named() -> None:
    said = (
        "qemu-system-x86_64: -netdev {...}: Could not set up host forwarding rule 'tcp:127.88.0.10:8080-10.0.2.15:8080'"
    )
    assert first_complaint(said) == "cannot publish 127.88.0.10:8080: the port is taken"


def test_a_disk_that_is_in_use_is_told_by_its_name() -> None:
    said = (
        'qemu-system-x86_64: -blockdev {"driver":"qcow2","node-name":"disk-data","file":{"driver":"file"}}: '
        'Failed to get "write" lock\nIs another process using the image [/proc/self/fd/18]?\n'
    )
    assert first_complaint(said) == "cannot use disk data: another process has it open"


def test_a_complaint_does_not_repeat_its_option() -> None:
    said = 'qemu-system-x86_64: -device {"driver":"x","a":{"b":"}: "}}: no such device\n'
    assert first_complaint(said) == "no such device"


def test_warnings_are_not_the_complaint() -> None:
    assert first_complaint("qemu-system-x86_64: warning: old\nqemu-system-x86_64: cannot\n") == "cannot"


def test_a_complaint_steers_no_terminal() -> None:
    """B10"""
    assert first_complaint("\x1b[31mred\x07") == "?[31mred?"


def test_silence_is_no_complaint() -> None:
    assert first_complaint("\n \n") == ""
