"""KVM or emulation: what really runs guests here.

A /dev/kvm that opens proves nothing. There are hosts whose KVM creates machines, runs their first instructions and
never lets a 64-bit kernel through. So KVM is chosen only where the processor says it can (vmx or svm), the device
opens for reading and writing, and a guest of a few dozen bytes that enters long mode ends itself within two seconds.
The probe runs with the rights that VMMs will have. Its verdict is kept for this boot and QEMU version.

Emulation (TCG) is slower and, by QEMU's own security policy, no isolation boundary.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from volant.drivers import Accelerator, processes
from volant.drivers.qemu.host import Host
from volant.drivers.qemu.process import KVM, Recipe, unprivileged
from volant.errors import DriverRefused, StartupError

Requested = Literal["auto", "kvm", "tcg"]
Probe = Callable[[Recipe], bool]

PROBE_S = 2.0

_CPUINFO = Path("/proc/cpuinfo")
_VIRTUALIZES = re.compile(r"^flags\s*:.*\b(?:vmx|svm)\b", re.MULTILINE)
_CACHE = "kvm.json"

_ROM_BYTES = 1 << 16
_RESET_VECTOR = 0xFFF0
_SUCCESS = (0x21 << 1) | 1
"""What QEMU ends with when the guest writes 0x21 to its debug exit."""

_LONG_MODE = bytes.fromhex(
    "fa 31c0 8ed8"  #                     cli; ds = 0
    "66c70600100320 0000"  #              page tables in memory: [0x1000] = 0x2003
    "66c70600200330 0000"  #                                     [0x2000] = 0x3003
    "66c70600308300 0000"  #                                     [0x3000] = 0x83, the first 2 MiB as they are
    "66b800100000 0f22d8"  #              cr3 = 0x1000
    "0f20e0 0c20 0f22e0"  #               cr4 |= PAE
    "66b9800000c0 0f32 80cc01 0f30"  #    EFER |= long mode enable
    "2e660f01168e00"  #                   lgdt [cs:0x8e]
    "0f20c0 660d01000080 0f22c0"  #       cr0 |= paging, protection
    "66ea59000f000800"  #                 jump far to 8:0xf0059
    "0f32 c1e80a 2401 0c20 4989c0"  #     r8 = 0x20 | EFER's long mode active
    "48bb8967452301000000 48c1eb20"  #    rbx = 0x123456789 >> 32: 1 only where registers have 64 bits
    "ffcb 4909d8 4c89c0 e6f4 f4"  #       r8 |= rbx - 1; tell the debug exit; halt
    "0000000000000000 ffff0000009aaf00"  # descriptor table: null, 64-bit code
    "0f00 7e000f00"  #                    its length and place
)
"""Enters long mode from reset and writes 0x21 to port 0xf4. Placed at 0xf0000, where the reset vector jumps to."""


class Choice(Struct, frozen=True, kw_only=True):
    """What runs guests, and a sentence that says why."""

    accelerator: Accelerator
    detail: str


class _Verdict(Struct, frozen=True, kw_only=True):
    boot_id: str
    version: str
    vmm_uid: int
    works: bool


def probe(recipe: Recipe) -> bool:
    """Whether a guest in long mode runs with the recipe's accelerator. Blocks for up to two seconds."""
    rom = _rom()
    descriptor = os.memfd_create("probe")
    try:
        os.write(descriptor, rom)
        argv = [*unprivileged(recipe), *_probe_argv(recipe, f"/proc/self/fd/{descriptor}")]
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={},
            timeout=PROBE_S,
            pass_fds=[descriptor],
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, DriverRefused):
        return False
    finally:
        os.close(descriptor)
    return ended.returncode == _SUCCESS


async def choose(
    requested: Requested,
    host: Host,
    *,
    vmm_uid: int,
    cache_dir: Path,
    probe: Probe = probe,
    cpuinfo: Path = _CPUINFO,
    device: Path = KVM,
) -> Choice:
    """What to use. StartupError when `kvm` is asked for and does not work here."""
    if requested == "tcg":
        return Choice(accelerator="tcg", detail="emulated, as asked: no isolation boundary")
    recipe = Recipe(qemu=host.qemu, accelerator="kvm", vmm_uid=vmm_uid)
    obstacle = _obvious_obstacle(cpuinfo, device)
    if obstacle is None:
        obstacle = await asyncio.to_thread(_tried, recipe, host, cache_dir, probe)
    if obstacle is None:
        return Choice(accelerator="kvm", detail="a guest in long mode ran under KVM")
    if requested == "kvm":
        raise StartupError(f"cannot use KVM: {obstacle}. Use --accelerator tcg to emulate.")
    return Choice(accelerator="tcg", detail=f"emulated, no isolation boundary, because {obstacle}")


def _obvious_obstacle(cpuinfo: Path, device: Path) -> str | None:
    with contextlib.suppress(OSError):
        if _VIRTUALIZES.search(cpuinfo.read_text()) is None:
            return f"the processor shows neither vmx nor svm in {cpuinfo}"
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{device} does not open: {error.strerror}"
    return None


def _tried(recipe: Recipe, host: Host, cache_dir: Path, probe: Probe) -> str | None:
    file = cache_dir / _CACHE
    now = _Verdict(boot_id=processes.boot_id(), version=host.version, vmm_uid=recipe.vmm_uid, works=True)
    cached = _cached(file)
    if cached is not None and msgspec.structs.replace(cached, works=True) == now:
        works = cached.works
    else:
        works = probe(recipe)
        _keep(file, msgspec.structs.replace(now, works=works))
    return None if works else f"a guest in long mode does not run with it as uid {recipe.becomes or os.geteuid()}"


def _cached(file: Path) -> _Verdict | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Verdict)
    except (OSError, msgspec.MsgspecError):
        return None


def _keep(file: Path, verdict: _Verdict) -> None:
    with contextlib.suppress(OSError):  # Then the next start asks again.
        beside = file.with_name(f".{file.name}.new")
        beside.write_bytes(msgspec.json.encode(verdict))
        beside.replace(file)


def _rom() -> bytes:
    rom = bytearray(b"\xf4" * _ROM_BYTES)
    rom[: len(_LONG_MODE)] = _LONG_MODE
    rom[_RESET_VECTOR : _RESET_VECTOR + 5] = bytes.fromhex("ea000000f0")  # jump far to f000:0000
    return bytes(rom)


def _probe_argv(recipe: Recipe, rom: str) -> list[str]:
    cpu = "host" if recipe.accelerator == "kvm" else "max"
    return [
        *(recipe.qemu, "-machine", "pc", "-accel", recipe.accelerator, "-cpu", cpu, "-m", "16"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-bios", rom),
        *("-device", '{"driver":"isa-debug-exit","iobase":244,"iosize":4}'),
    ]
