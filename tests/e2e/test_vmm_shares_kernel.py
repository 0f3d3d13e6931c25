"""The limits that are written for a VMM, on a Linux whose control groups are all of version 2: a guest of our own.

The host that runs the tests may have none. What is written here is what the driver writes, file for file, and whoever
goes into the group does so by the driver's own line; what the kernel makes of it is read back and tried out.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.builders.qemu_guests import ROOT, a_boot

from volant.clock import Uid
from volant.drivers.qemu.cgroup import CONTROLLERS, ENTER
from volant.drivers.qemu.limits import shares
from volant.images.kernel import find_kernel
from volant.images.newc import character_device, directory, newc, regular, symlink

pytestmark = [pytest.mark.e2e, pytest.mark.gate]

BOOT_S = 45.0
BOOT = a_boot(Uid("a"), None, memory_mb=64)
LEAF = "/cg/volant/leaf"

_SCRIPT = r"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc none /proc
mkdir /cg
mount -t cgroup2 none /cg
mkdir /cg/volant
for group in /cg /cg/volant; do
  for controller in {controllers}; do echo +$controller > $group/cgroup.subtree_control; done
done
mkdir {leaf}
{write}
echo "parent: $(cat /cg/volant/cgroup.subtree_control)"
sh -c '{enter}' volant {leaf}/cgroup.procs cat /proc/self/cgroup
sh -c '{enter}' volant {leaf}/nowhere echo never
echo "not entered: $?"
sh -c '{enter}' volant {leaf}/cgroup.procs tail /dev/zero
echo "hog: $?"
sh -c '{enter}' volant {leaf}/cgroup.procs sh -c 'i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done' 2>/dev/null
echo "bomb: $(cat {leaf}/pids.current)"
echo "outside: $(sleep 0 && echo works)"
echo 1 > {leaf}/cgroup.kill
until rmdir {leaf} 2>/dev/null; do :; done
echo "removed: $(ls -d {leaf} 2>&1)"
poweroff -f
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the guest printed."""
    kernel = find_kernel(ROOT / ".cache" / "volant" / "kernel")
    assert kernel is not None, "there is no guest kernel. Run: make setup"
    initramfs = tmp_path_factory.mktemp("shares") / "initramfs"
    initramfs.write_bytes(
        newc(
            [
                *(directory(name) for name in ("bin", "dev", "proc")),
                character_device("dev/console", 5, 1),
                character_device("dev/zero", 1, 5),
                character_device("dev/null", 1, 3),
                regular("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755),
                symlink("bin/sh", "busybox"),
                regular("init", script().encode(), 0o755),
            ]
        )
    )
    command = [
        *("qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nodefaults"),
        *("-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", str(kernel.vmlinuz)),
        *("-initrd", str(initramfs), "-append", "console=ttyS0 quiet panic=-1"),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=BOOT_S, check=True).stdout


def script() -> str:
    """What the guest does: everything that the driver does, in its order."""
    write = [
        f"echo '{text}' > {LEAF}/{file} && echo '{file} = '$(tr '\\n' ' ' < {LEAF}/{file})"
        for file, text in shares(BOOT, "tcg").items()
    ]
    return _SCRIPT.format(controllers=" ".join(CONTROLLERS), leaf=LEAF, write="\n".join(write), enter=ENTER)


def test_a_kernel_takes_every_limit_as_it_is_written(said: str) -> None:
    """A8"""
    for file, text in shares(BOOT, "tcg").items():
        assert f"{file} = {text}" in said, said
    assert "parent: cpu io memory pids" in said, said


def test_a_process_goes_into_its_group_or_does_not_start(said: str) -> None:
    """A8"""
    assert f"0::{LEAF.removeprefix('/cg')}" in said, said
    assert "never" not in said.splitlines(), said
    assert "not entered: 1" in said or "not entered: 2" in said, said


def test_what_takes_too_much_hits_only_itself(said: str) -> None:
    """A8: a hog of memory is killed at its limit, and a bomb of processes stays below its own."""
    assert "hog: 137" in said, said
    most = int(shares(BOOT, "tcg")["pids.max"])
    assert json.loads(said.partition("bomb: ")[2].split()[0]) <= most, said
    assert "outside: works" in said, said
    assert "removed: ls:" in said, said
