"""Linux guests on disks: a root file system for a kernel of ours, and a disk that brings kernel and boot loader."""

from __future__ import annotations

import subprocess
from pathlib import Path

from msgspec.structs import replace
from tests.builders.qemu_guests import ROOT, a_boot, hello_kernel

from volant.clock import Uid
from volant.drivers import Boot, VMFiles
from volant.images.guest import CMDLINE, Workload, boot_initramfs, guest_entries, plant, static_busybox
from volant.images.kernel import Kernel, find_kernel, modules_in_order
from volant.images.newc import character_device, directory, gzip_bytes, newc, regular, symlink

BUSYBOX = Path("/bin/busybox")
MEMORY_MB = 192
_TOOLS = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_MODULES = ("virtio_pci", "virtio_console", "button", "evdev")

_FINDS = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
while read -r module; do insmod "/modules/$module"; done </modules/all
"""
OBEYS_THE_BUTTON = (
    _FINDS
    + """for input in /sys/class/input/event*; do
  [ "$(cat $input/device/name)" = "Power Button" ] && exec 4</dev/input/${input##*/}
done
echo "test: up"
dd of=/dev/null bs=24 count=1 <&4 2>/dev/null
echo "test: button"
poweroff -f
"""
)
"""The first program of a system that knows no agent of ours."""
OBEYS_THE_GUEST_AGENT = (
    _FINDS
    + """for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name)" = org.qemu.guest_agent.0 ] && device=/dev/${port##*/}
done
echo "test: up"
while :; do
  read -r line <$device && case $line in *guest-shutdown*) echo "test: agent"; poweroff -f ;; esac
  usleep 100000
done
"""
)
"""The first program of one that does not care about its power button, and runs something like qemu-ga."""


def a_kernel() -> Kernel:
    kernel = find_kernel(ROOT / ".cache" / "volant" / "kernel")
    assert kernel is not None, "there is no guest kernel. Run: make setup"
    return kernel


def root_image(directory: Path, script: str, *, size_mb: int = 24) -> Path:
    """A raw ext4 image of a guest of ours, whose workload is that script."""
    tree, image = directory / "tree", directory / "root.raw"
    tree.mkdir()
    plant(guest_entries(Workload(argv=("sh", "-c", script)), static_busybox(BUSYBOX)), tree)
    image.touch()
    image.chmod(0o644)
    options = "root_owner=0:0,lazy_itable_init=1"
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), "-E", options, str(image), f"{size_mb}m")
    return image


def boot_from_root(uid: Uid, directory: Path, files: VMFiles) -> Boot:
    """A kernel of ours, and the initramfs that enters the root disk."""
    initramfs = directory / "boot.gz"
    if not initramfs.exists():
        initramfs.write_bytes(gzip_bytes(boot_initramfs(a_kernel(), static_busybox(BUSYBOX)), 1))
        initramfs.chmod(0o644)
    boot = a_boot(uid, hello_kernel(), initramfs=initramfs, cmdline=CMDLINE, memory_mb=MEMORY_MB)
    return replace(boot, disks=files.disks, seed=files.seed)


def whole_disk(directory: Path, init: str) -> Path:
    """A raw image that the firmware starts: SYSLINUX on a FAT file system, a kernel, and one program in memory."""
    image = directory / "whole.raw"
    kernel = a_kernel()
    packed = directory / "initrd.gz"
    packed.write_bytes(gzip_bytes(_initramfs(kernel, init), 1))
    config = directory / "syslinux.cfg"
    config.write_text(f"DEFAULT a\nLABEL a\nKERNEL vmlinuz\nINITRD initrd.gz\nAPPEND console=ttyS0 {CMDLINE}\n")
    image.write_bytes(b"")
    image.chmod(0o644)
    with image.open("r+b") as file:
        file.truncate(32 << 20)
    _run("mformat", "-i", str(image), "-t", "64", "-h", "32", "-s", "32", "::")
    _run("mcopy", "-i", str(image), str(kernel.vmlinuz), "::vmlinuz")
    _run("mcopy", "-i", str(image), str(packed), str(config), "::")
    _run("syslinux", "--install", str(image))
    return image


def _initramfs(kernel: Kernel, init: str) -> bytes:
    modules = modules_in_order(kernel, _MODULES)
    names = "".join(f"{module.name}.ko\n" for module in modules)
    return newc(
        [
            *(directory(name) for name in ("bin", "dev", "modules", "proc", "sys")),
            character_device("dev/console", 5, 1),
            regular("bin/busybox", static_busybox(BUSYBOX), 0o755),
            *(symlink(f"bin/{name}", "busybox") for name in ("sh", "mount")),
            *(regular(f"modules/{module.name}.ko", module.data) for module in modules),
            regular("modules/all", names.encode()),
            regular("init", init.encode(), 0o755),
        ]
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=_TOOLS, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
