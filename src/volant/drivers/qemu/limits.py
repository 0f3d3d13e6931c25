"""How much of the host one VMM may take: figures only, from what it was asked to run.

    Boot ──▶ rlimits   held by the kernel for the process, on every host
         └─▶ shares    held by the kernel for the control group, where the host has them (`cgroup`)

A guest's own memory and processors are its due. What is bounded here is the rest: what QEMU needs besides, and what a
QEMU that has been taken over could ask for. Each figure is generous, because a limit that a sound VMM runs into is an
outage, and one that a hostile VMM runs into a bit later is none.

Address space is deliberately not limited: QEMU maps far more than it touches, and what it touches is in `memory.max`.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from volant.drivers import Accelerator, Boot, DiskFile

MIB = 1 << 20

FILE_LIMIT_BYTES = 4 * MIB
"""How large any file of a VMM without disks may become: none of them is anything but a log."""

OPEN_FILES = 1024
THREADS_BESIDE_VCPUS = 128
"""QEMU's own: one for the loop, one for RCU, up to 64 workers for disk requests; and as many again to be safe."""

OVERHEAD_MB = 160
"""Memory of a VMM besides its guest's and its translated code. Measured with QEMU 7.2 after a boot of Linux: 20 MiB of
heap and stacks, and 70 MiB of its program's pages where it is the first to read them. The rest is for device queues and
bursts of worker threads."""

DISK_OVERHEAD_MB = 64
"""For each disk: QEMU keeps up to 32 MiB of a qcow2 file's tables, and requests on their way have buffers."""

_PERIOD_US = 100_000
_QCOW2 = struct.Struct(">4sI16xQ")


class Limits(NamedTuple):
    """What one VMM may have: bytes of any one file, threads, open files."""

    file_bytes: int
    threads: int
    files: int = OPEN_FILES


def limits(boot: Boot) -> Limits:
    """The limits of the process. Reads the headers of its disks; raises OSError."""
    return Limits(file_bytes=_file_bytes(boot.disks), threads=threads(boot))


def threads(boot: Boot) -> int:
    """How many threads its VMM may have."""
    return boot.booted.config.resources.vcpu + THREADS_BESIDE_VCPUS


def rlimits(limits: Limits, *, is_own_user: bool) -> list[str]:
    """The options of `prlimit`, soft and hard alike. Threads are counted by user: only where it has one of its own."""
    figures = {"core": 0, "nofile": limits.files, "fsize": limits.file_bytes, "memlock": 0}
    if is_own_user:
        figures["nproc"] = limits.threads
    return [f"--{name}={figure}:{figure}" for name, figure in figures.items()]


def shares(boot: Boot, accelerator: Accelerator) -> dict[str, str]:
    """What to write into which file of the control group.

    Processors: those of the guest and one more for QEMU's own threads. Under contention VMs share by their size. Its
    memory is never swapped: a VMM past its bound ends, and takes neither the host's memory nor its swap with it.
    """
    wants = boot.booted.config.resources
    weight = min(10_000, 100 * wants.vcpu)
    return {
        "memory.max": str(memory_mb(boot, accelerator) * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(threads(boot)),
        "cpu.max": f"{(wants.vcpu + 1) * _PERIOD_US} {_PERIOD_US}",
        "cpu.weight": str(weight),
        "io.weight": f"default {weight}",
    }


def memory_mb(boot: Boot, accelerator: Accelerator) -> int:
    """The guest's memory and what its VMM needs besides, MiB. The tables that map a guest's memory are 1/64 at most."""
    guest = boot.booted.config.resources.memory_mb
    code = translated_mb(guest) if accelerator == "tcg" else 0
    return guest + guest // 64 + code + OVERHEAD_MB + DISK_OVERHEAD_MB * (len(boot.disks) + (boot.seed is not None))


def translated_mb(guest_mb: int) -> int:
    """How much translated code QEMU keeps for a guest that it emulates, MiB."""
    return max(32, guest_mb // 4)


def virtual_size(path: Path) -> int | None:
    """The size in bytes that a qcow2 file shows to its guest; None if it is none. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_QCOW2.size)
    if len(head) < _QCOW2.size:
        return None
    magic, _, size = _QCOW2.unpack(head)
    return size if magic == b"QFI\xfb" else None


def _file_bytes(disks: tuple[DiskFile, ...]) -> int:
    """Room for the largest disk and its tables.

    One limit holds for all files of a process: where there is a disk, the console log may grow as large as it until
    the driver looks again (`console`). The header is the VMM's own to write, so one that was taken over may raise this
    for its next start; a disk whose size is configured is refused then, because it would have to shrink.
    """
    sizes = [size for disk in disks if (size := virtual_size(disk.path)) is not None]
    return max([FILE_LIMIT_BYTES, *(size + size // 50 + 64 * MIB for size in sizes)])
