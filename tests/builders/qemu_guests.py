"""Guests for a real QEMU: programs of a few bytes that need no boot, and the demo's Linux.

A tiny guest is a multiboot kernel: QEMU loads it like any other and it runs, in 32-bit protected mode and without
interrupts, within milliseconds. It does one thing that a driver can see from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

from volant.clock import SystemClock, Uid
from volant.drivers import Attachment, Boot, Instance
from volant.drivers.qemu import Choice, Host, QemuHypervisor
from volant.drivers.qemu.confinement import NOBODY, Policy
from volant.drivers.qemu.host import QEMU
from volant.drivers.qemu.vmm import PATIENCE, Patience
from volant.model.vm import Booted, Resources, VMConfig

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / ".cache" / "volant" / "hello"
"""Where `make setup` puts the demo's guest."""

HELLO_CMDLINE = "quiet panic=-1 cryptomgr.notests no_timer_check tsc=reliable noreplace-smp"
TCG = Choice(accelerator="tcg", detail="for a test")
NO_NETWORK = Attachment(mode="none")

_LOAD_AT = 0x100000
_MAGIC = 0x1BADB002
_HAS_ADDRESSES = 1 << 16


def _out(port: int, value: int) -> bytes:
    """`outw value, port`."""
    return (
        bytes.fromhex("66ba") + struct.pack("<H", port) + bytes.fromhex("66b8") + struct.pack("<H", value) + b"\x66\xef"
    )


HALT = bytes.fromhex("faf4ebfd")
"""cli; hlt; and again."""

IDLES = HALT
SHUTS_DOWN = _out(0x604, 0x2000) + HALT
"""Writes "sleep state S5" to the power management control register."""
REBOOTS = bytes.fromhex("b0fee664") + HALT
"""Pulses the reset line of the keyboard controller."""
PANICS = bytes.fromhex("66ba0505b001ee") + HALT
"""Writes "panicked" to the pvpanic port."""
OBEYS_THE_BUTTON = (
    _out(0x602, 0x0100)  # enable the power button's event
    + bytes.fromhex("66ba0006 66ed 66a90001 74f4")  # wait for it in the status register
    + SHUTS_DOWN
)
FLOODS = bytes.fromhex("66baf803 b041 ee ebfd")
"""Writes A to the serial port for ever."""
ECHOES = bytes.fromhex("66bafd03 ec a801 74f7 66baf803 ec ee ebef")
"""Waits for a byte from the serial port, writes it back, and again."""


def says(text: bytes) -> bytes:
    """Writes the text to the serial port; what comes next in the program follows."""
    return bytes.fromhex("66baf803") + b"".join(b"\xb0%c\xee" % letter for letter in text)


def kernel(directory: Path, program: bytes) -> Path:
    """The program as a file that QEMU's -kernel loads."""
    header = 32
    end = _LOAD_AT + header + len(program)
    checksum = -(_MAGIC + _HAS_ADDRESSES) & 0xFFFFFFFF
    fields = (_MAGIC, _HAS_ADDRESSES, checksum, _LOAD_AT, _LOAD_AT, end, end, _LOAD_AT + header)
    path = directory / "kernel"
    path.write_bytes(struct.pack("<8I", *fields) + program)
    path.chmod(0o644)
    return path


def a_boot(
    uid: Uid,
    kernel: Path | None,
    *,
    name: str = "web-1",
    attachment: Attachment = NO_NETWORK,
    initramfs: Path | None = None,
    cmdline: str = "",
    memory_mb: int = 32,
) -> Boot:
    """What to start."""
    booted = Booted(config=VMConfig(resources=Resources(memory_mb=memory_mb)), restart_nonce=3)
    return Boot(
        uid=uid,
        name=name,
        booted=booted,
        attachment=attachment,
        kernel=kernel,
        initramfs=initramfs,
        cmdline=cmdline,
    )


def hello_kernel() -> Path:
    """The kernel of the demo's guest, whichever form set-up could give it."""
    built = [path for path in (HELLO / "vmlinux", HELLO / "vmlinuz") if path.exists()]
    assert built, "there is no guest to boot. Run: make setup"
    return built[0]


def a_hello_boot(uid: Uid, attachment: Attachment, *, name: str = "web-1") -> Boot:
    """The demo's guest: busybox on Debian's kernel."""
    return a_boot(
        uid,
        hello_kernel(),
        name=name,
        attachment=attachment,
        initramfs=HELLO / "initramfs.gz",
        cmdline=HELLO_CMDLINE,
        memory_mb=128,
    )


def a_driver(
    run_dir: Path,
    *,
    qemu: str = QEMU,
    vmm_uid: int = NOBODY,
    policy: Policy | None = None,
    patience: Patience = PATIENCE,
) -> QemuHypervisor:
    """A driver on real QEMU, emulating, or on the stand-in `qemu`. VMMs are `vmm_uid`, unless `policy` says more."""
    host = Host(qemu=qemu, version="7.2")
    policy = policy or Policy(uids=range(vmm_uid, vmm_uid + 1))
    return QemuHypervisor(run_dir, host=host, accelerator=TCG, clock=SystemClock(), policy=policy, patience=patience)


@contextlib.asynccontextmanager
async def a_running_driver(
    run_dir: Path,
    *,
    qemu: str = QEMU,
    vmm_uid: int = NOBODY,
    policy: Policy | None = None,
    patience: Patience = PATIENCE,
) -> AsyncIterator[QemuHypervisor]:
    """A driver for a test that leaves nothing running behind it, whatever happened in between."""
    driver = a_driver(run_dir, qemu=qemu, vmm_uid=vmm_uid, policy=policy, patience=patience)
    try:
        yield driver
    finally:
        await driver.close()
        await end_all(run_dir, policy)


async def end_all(run_dir: Path, policy: Policy | None = None) -> None:
    """End and forget every VM below a run directory."""
    driver = a_driver(run_dir, policy=policy)
    for instance in await driver.observe():
        await driver.kill(instance.uid)
        await driver.forget(instance.uid)
    await driver.close()


async def ended(driver: QemuHypervisor, uid: Uid) -> Instance:
    """Wait, by `watch`, until the VM has ended."""
    hints = driver.watch()
    first = asyncio.ensure_future(anext(hints))  # so that nothing is missed between the look and the wait
    try:
        async with asyncio.timeout(60):
            while True:
                seen = await driver.inspect(uid)
                if seen is not None and seen.state == "exited":
                    return seen
                await asyncio.wait({first})
                first = asyncio.ensure_future(anext(hints))
    finally:
        first.cancel()
        await asyncio.wait({first})
        await hints.aclose()
