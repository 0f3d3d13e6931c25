"""The disks of a guest on QEMU's command line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.qemu_guests import a_boot

from volant.clock import Uid
from volant.drivers import Boot, DiskFile
from volant.drivers.qemu.blocks import Layer, in_order
from volant.drivers.qemu.command import Files, Sockets, argv, mark
from volant.errors import DriverRefused

UID = Uid("0123456789abcdef0123456789abcdef")
SOCKETS = Sockets(qmp=10, monitor=11, console=12, agent=13)
ROOT = Layer(name="root", path="/proc/self/fd/20", base="/proc/self/fd/21", base_format="raw")
DATA = Layer(name="data", path="/proc/self/fd/22")


def words(*layers: Layer, boots: bool = False, **more: Any) -> list[str]:
    kernel = None if boots else "/k"
    disks = tuple(DiskFile(name=layer.name, path=Path("/d")) for layer in layers)
    boot = replace(a_boot(UID, None if boots else Path("/k")), disks=disks)
    files = Files(console_log="/c", kernel=kernel, disks=layers, **more)
    return argv(boot, qemu="qemu", mark=mark("abcd", UID), accelerator="tcg", sockets=SOCKETS, files=files)


def after(line: list[str], option: str) -> list[Any]:
    found = [value for word, value in itertools.pairwise(line) if word == option]
    return [json.loads(value) if value.startswith("{") else value for value in found]


def devices(line: list[str]) -> list[dict[str, Any]]:
    return [device for device in after(line, "-device") if device["driver"] == "virtio-blk-pci"]


def nodes(chain: dict[str, Any]) -> list[dict[str, Any]]:
    """A chain's nodes from the top down."""
    inner = [value for value in chain.values() if isinstance(value, dict) and "driver" in value]
    return [chain, *(node for one in inner for node in nodes(one))]


def test_every_node_says_its_driver_and_its_name() -> None:
    """C1, V4"""
    line = words(ROOT, DATA, replace(ROOT, name="other", base_format="qcow2"), seed="/s")
    everything = [node for chain in after(line, "-blockdev") for node in nodes(chain)]
    names = [node["node-name"] for node in everything]
    assert len(set(names)) == len(names) == 4 + 2 + 4 + 2
    assert max(len(name) for name in names) < 32, "QEMU's own limit"
    assert {node["driver"] for node in everything} == {"qcow2", "raw", "file"}
    assert all("backing" in node for node in everything if node["driver"] == "qcow2")


def test_the_longest_name_is_within_what_qemu_takes() -> None:
    [chain] = after(words(replace(ROOT, name="a" * 20)), "-blockdev")
    assert max(len(node["node-name"]) for node in nodes(chain)) < 32


def test_only_what_is_the_vms_own_is_written() -> None:
    """C11"""
    chain, seed = after(words(ROOT, seed="/s"), "-blockdev")
    written = [node["node-name"] for node in (*nodes(chain), *nodes(seed)) if not node.get("read-only", False)]
    assert written == ["disk-root", "file-root"]


def test_files_are_locked() -> None:
    """A17"""
    chains = after(words(ROOT, DATA, seed="/s"), "-blockdev")
    files = [node for chain in chains for node in nodes(chain) if node["driver"] == "file"]
    assert {node["locking"] for node in files} == {"on"}


def test_nothing_below_a_disk_is_said_and_not_left_to_its_header() -> None:
    [chain] = after(words(DATA), "-blockdev")
    assert chain["backing"] is None


def test_a_flush_of_the_guest_reaches_the_disk() -> None:
    [chain] = after(words(DATA), "-blockdev")
    assert chain["file"]["cache"] == {"direct": False, "no-flush": False}


def test_the_root_disk_is_first_and_the_seed_last() -> None:
    line = words(*(Layer(name=name, path="/x") for name in ("zeta", "root", "alpha")), seed="/s")
    assert [device["serial"] for device in devices(line)] == ["root", "alpha", "zeta", "seed"]


def test_the_order_is_that_of_names() -> None:
    assert in_order({"b", "a", "root", "10"}) == ["root", "10", "a", "b"]


def test_the_firmware_starts_the_root_disk_of_a_guest_without_a_kernel() -> None:
    line = words(DATA, ROOT, boots=True)
    assert not {"-kernel", "-append", "-initrd"} & set(line)
    assert [device.get("bootindex") for device in devices(line)] == [0, None]
    assert after(line, "-boot") == ["strict=on"]
    assert after(line, "-machine") == ["q35,sata=off,smbus=off,usb=off,vmport=off,graphics=off"]


def test_no_disk_is_in_the_firmwares_way_of_a_kernel() -> None:
    line = words(ROOT, DATA)
    assert [device.get("bootindex") for device in devices(line)] == [None, None]
    assert "-boot" not in line


def test_a_guest_without_a_kernel_needs_a_root_disk() -> None:
    with pytest.raises(DriverRefused, match="neither a kernel nor a root disk"):
        words(DATA, boots=True)


def test_the_kernel_alone_is_told_its_root() -> None:
    assert told(a_boot(UID, Path("/k"))) == ["console=ttyS0", "volant.name=web-1"]
    with_root = replace(a_boot(UID, Path("/k")), disks=(DiskFile(name="root", path=Path("/d")),))
    assert told(with_root)[2:] == ["root=/dev/vda", "rw"]
    assert told(replace(with_root, cmdline="root=/dev/vdb1 ro"))[2:] == ["root=/dev/vdb1", "ro"]
    assert told(replace(with_root, initramfs=Path("/i")))[2:] == []


def told(boot: Boot) -> list[str]:
    files = Files(console_log="/c", kernel="/k")
    line = argv(boot, qemu="q", mark=mark("abcd", UID), accelerator="tcg", sockets=SOCKETS, files=files)
    return str(after(line, "-append")[0]).split()


def test_a_guest_with_a_root_disk_has_random_numbers_from_the_host() -> None:
    assert after(words(ROOT), "-object") == [{"qom-type": "rng-builtin", "id": "chance"}]
    assert "-object" not in words(DATA)


def test_a_guest_that_boots_itself_is_asked_through_qemus_agent_too() -> None:
    sockets = replace(SOCKETS, guest_agent=14)
    boot = replace(a_boot(UID, None), disks=(DiskFile(name="root", path=Path("/d")),))
    files = Files(console_log="/c", disks=(ROOT,))
    line = argv(boot, qemu="q", mark=mark("abcd", UID), accelerator="tcg", sockets=sockets, files=files)
    ports = [device["name"] for device in after(line, "-device") if device["driver"] == "virtserialport"]
    assert ports == ["org.volant.agent.0", "org.qemu.guest_agent.0"]
