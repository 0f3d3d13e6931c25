"""How much of the host one VMM may take."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.qemu_guests import a_boot

from volant.clock import Uid
from volant.drivers import Boot, DiskFile
from volant.drivers.qemu.limits import FILE_LIMIT_BYTES, MIB, limits, memory_mb, rlimits, shares, virtual_size
from volant.model.vm import Resources, VMConfig

BOOT = a_boot(Uid("a"), Path("/k"), memory_mb=128)


def qcow2(path: Path, size: int) -> Path:
    path.write_bytes(struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, size) + bytes(80))
    return path


def with_disks(*disks: Path) -> Boot:
    return replace(BOOT, disks=tuple(DiskFile(name=path.name, path=path) for path in disks))


def with_vcpus(count: int) -> Boot:
    return replace(BOOT, booted=replace(BOOT.booted, config=VMConfig(resources=Resources(vcpu=count))))


def test_a_vmm_has_its_guests_memory_and_what_it_needs_besides() -> None:
    """A8"""
    assert memory_mb(BOOT, "kvm") == 128 + 2 + 160
    assert memory_mb(BOOT, "tcg") == memory_mb(BOOT, "kvm") + 32, "translated code"
    assert memory_mb(with_disks(Path("/d"), Path("/e")), "kvm") == memory_mb(BOOT, "kvm") + 2 * 64
    assert shares(BOOT, "kvm")["memory.max"] == str((128 + 2 + 160) * MIB)


def test_a_vmm_is_never_swapped_and_ends_as_a_whole() -> None:
    """A8: it takes neither the host's memory nor its swap, and no half of it is left."""
    held = shares(BOOT, "kvm")
    assert (held["memory.swap.max"], held["memory.oom.group"]) == ("0", "1")


def test_processors_are_those_of_the_guest_and_one_more() -> None:
    """A8"""
    assert shares(with_vcpus(1), "kvm")["cpu.max"] == "200000 100000"
    assert shares(with_vcpus(4), "kvm")["cpu.max"] == "500000 100000"


def test_vms_share_by_their_size() -> None:
    """A8: within what the kernel takes as a weight, 1 to 10000."""
    assert [shares(with_vcpus(n), "kvm")["cpu.weight"] for n in (1, 4, 200)] == ["100", "400", "10000"]
    assert shares(with_vcpus(4), "kvm")["io.weight"] == "default 400"


def test_threads_are_bounded_whether_or_not_there_are_control_groups() -> None:
    """A8, A9"""
    assert shares(with_vcpus(2), "kvm")["pids.max"] == "130"
    assert "--nproc=130:130" in rlimits(limits(with_vcpus(2)), is_own_user=True)


def test_threads_are_not_counted_for_a_user_that_others_have_too() -> None:
    """The count is the user's: the VMs before would keep this one from starting."""
    assert not any(word.startswith("--nproc") for word in rlimits(limits(BOOT), is_own_user=False))


def test_a_vmm_leaves_no_core_and_locks_no_memory() -> None:
    """A9"""
    assert {"--core=0:0", "--memlock=0:0", "--nofile=1024:1024"} <= set(rlimits(limits(BOOT), is_own_user=False))


def test_without_a_disk_no_file_is_more_than_a_log() -> None:
    """A9, A15"""
    assert limits(BOOT).file_bytes == FILE_LIMIT_BYTES


def test_a_disk_may_grow_to_all_that_it_shows_its_guest(tmp_path: Path) -> None:
    """A9: a full disk and its tables are in the limit; the tables of qcow2 are below a thousandth."""
    disks = [qcow2(tmp_path / "a", 10 << 30), qcow2(tmp_path / "b", 1 << 30)]
    assert 1.001 * (10 << 30) < limits(with_disks(*disks)).file_bytes < 1.1 * (10 << 30)


def test_a_small_disk_does_not_make_the_logs_smaller(tmp_path: Path) -> None:
    assert limits(with_disks(qcow2(tmp_path / "a", 512))).file_bytes >= FILE_LIMIT_BYTES


@pytest.mark.parametrize("damage", [b"", b"QFI", b"x" * 200])
def test_what_is_no_qcow2_raises_no_limit(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "disk"
    path.write_bytes(damage)
    assert virtual_size(path) is None
    assert limits(with_disks(path)).file_bytes == FILE_LIMIT_BYTES
