"""How QEMU is given a tap, and who is put on a new one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.builders.qemu_guests import a_boot

from volant.clock import Uid
from volant.drivers import Attachment
from volant.drivers.qemu.command import Files, Sockets, argv
from volant.drivers.qemu.reattach import reattach
from volant.errors import DriverRefused

UID = Uid("a" * 32)
ON_A_TAP = Attachment(mode="bridge", address="10.127.0.5", mac="02:00:00:00:00:05", tap="vt000000000005")


def words(attachment: Attachment, tap: int | None) -> list[str]:
    return argv(
        a_boot(UID, Path("/k"), attachment=attachment),
        qemu="qemu",
        mark="volant-x",
        accelerator="tcg",
        sockets=Sockets(qmp=10, monitor=11, console=12, agent=13),
        files=Files(console_log="/proc/self/fd/14", kernel="/proc/self/fd/15", tap=tap),
    )


@pytest.mark.parametrize("mode", ["bridge", "dhcp"])
def test_a_tap_is_a_descriptor_and_no_name(mode: str) -> None:
    """A5, B2: QEMU opens no interface; there is no script that it would run, and no bridge helper."""
    line = words(Attachment(mode=mode, mac="02:00:00:00:00:05", tap="vt000000000005"), 16)  # type: ignore[arg-type]
    [netdev] = [json.loads(line[at + 1]) for at, word in enumerate(line) if word == "-netdev"]
    assert netdev == {"type": "tap", "id": "net0", "fd": "16"}
    [card] = [json.loads(word) for word in line if "virtio-net-pci" in word]
    assert (card["netdev"], card["mac"]) == ("net0", "02:00:00:00:00:05")


def test_without_a_tap_a_guest_of_a_bridge_is_not_started() -> None:
    with pytest.raises(DriverRefused, match="it was given no tap"):
        words(ON_A_TAP, None)


def test_a_process_without_our_mark_is_left_alone() -> None:
    """P11: neither one that is gone nor one that is somebody else's by now."""
    reattach(os.getpid(), UID, "vt000000000005")
    reattach(2**22 - 1, UID, "vt000000000005")
