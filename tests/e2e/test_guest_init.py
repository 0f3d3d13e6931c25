"""Guests of ours on a bare QEMU: what the seed and the image say is done, and the workload ends before the machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.builders.bare_qemu import SEABIOS, Guest, disk, guests, the_kernel
from tests.builders.seeds import a_told

from volant.images.guest import Workload, boot_initramfs, guest_entries, initramfs, plant, static_busybox
from volant.images.newc import Entry, directory, gzip_bytes, regular
from volant.images.seed import seed
from volant.images.vmlinux import uncompressed

pytestmark = pytest.mark.e2e

BUSYBOX = Path("/bin/busybox")
USER_DATA = """#cloud-config
hostname: told.example
packages: [nginx]
bootcmd: ["echo bootcmd of $HOSTNAME"]
write_files:
- {path: "/srv/it's here/told", content: "written ü\\n", permissions: "0640", owner: "0:4712"}
runcmd:
- echo "runcmd has $TOLD"; stat -c "%a %u:%g" "/srv/it's here/told"; echo ran >>/runs
- [sh, -c, 'echo "list has $0"', "a 'b' $(id)"]
- exit 7
"""
SAYS = """
trap 'echo "asked to end"; exit 0' INT
echo "I am $(id -u):$(id -g) of $(id -G) in $(pwd), 1st word: $1"
echo "env: $TOLD, $OWN, $BOTH, HOME=$HOME"
cat "/srv/it's here/told"; cat /etc/hostname; grep -c told /etc/hosts
grep -c ran /runs
echo "to the device" >/dev/stdout
(sleep 0.1 &) # an orphan, to be reaped by the first process
ls /dev/disk/by-id /dev/shm /dev/pts
echo "root of $(df -m / | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2) MiB"
sleep 0.5
echo "zombies: $(grep -l '^State:.Z' /proc/[0-9]*/status | wc -l)"
[ "$TOLD" != second ] || exit 3
while :; do sleep 1 & wait $!; done
"""
WORKLOAD = Workload(
    argv=("sh", "/says.sh", "two\nlines 'quoted'"),
    env={"OWN": "of the image", "BOTH": "of the image"},
    user="4711:4712",
    cwd="/srv/new",
    stop="SIGINT",
    before=('echo "before: $(id -u) $BOTH"', "touch /before"),
)
TREE = [
    directory("etc"),
    regular("etc/hosts", b"127.0.0.1 localhost\n10.9.9.9 kept\n"),
    regular("says.sh", SAYS.encode()),
]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel, unpacked."""
    path = tmp_path_factory.mktemp("kernel") / "vmlinux"
    path.write_bytes(uncompressed(the_kernel().vmlinuz.read_bytes()) or b"")
    return path


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Start a guest. None outlives the test."""
    with guests(tmp_path) as start:
        yield start


def a_seed(path: Path, **env: str) -> tuple[str, ...]:
    """A seed disk."""
    path.write_bytes(seed(a_told(USER_DATA, env={"BOTH": "of the VM", **env}, instance_id="one")))
    return disk(path, "seed", read_only=True)


def a_root_disk(path: Path, tree: Path, entries: list[Entry]) -> tuple[str, ...]:
    """A root disk of our files and a few."""
    plant([*entries, *guest_entries(WORKLOAD, static_busybox(BUSYBOX))], tree)
    (tree / "run/kept").mkdir()
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, path, "48M"], check=True, capture_output=True)
    return disk(path, "root")


def test_a_guest_in_memory_does_what_it_is_told_and_its_workload_ends_first(
    boot: Callable[..., Guest], kernel: Path, tmp_path: Path
) -> None:
    image = tmp_path / "initramfs.gz"
    image.write_bytes(gzip_bytes(initramfs(the_kernel(), static_busybox(BUSYBOX), TREE, WORKLOAD)))
    guest = boot(kernel, image, *SEABIOS, *a_seed(tmp_path / "seed", TOLD="it's $(told)"))
    agent = guest.connect("agent")
    assert guest.greeting(agent) == "volant: agent of told\n"
    guest.says("zombies")
    monitor = guest.monitor()
    agent.sendall(b"shutdown\n")
    assert guest.reason(monitor) == "guest-shutdown"
    said = guest.console.splitlines()
    in_order = [
        "volant: note: not understood in cloud-config: packages",
        "bootcmd of told",
        "runcmd has it's $(told)",
        "640 0:4712",
        "list has a 'b' $(id)",
        "volant: runcmd ended with status 7",
        "before: 0 of the VM",
        "volant: ready",
        "I am 4711:4712 of 4712 in /srv/new, 1st word: two",
        "lines 'quoted'",
        "env: it's $(told), of the image, of the VM, HOME=/",
        "written ü",
        "told",
        "1",
        "1",
        "to the device",
        "virtio-seed",
        "zombies: 0",
        "asked to end",
        "volant: workload ended with status 0",
        "volant: poweroff",
    ]
    assert [line for line in said if line in in_order] == in_order, guest.console


def test_a_root_disk_keeps_its_data_and_does_once_what_is_done_once(
    boot: Callable[..., Guest], kernel: Path, tmp_path: Path
) -> None:
    """E6: the instance is the same over restarts, the environment is that of each start."""
    (tmp_path / "tree").mkdir()
    root = a_root_disk(tmp_path / "root", tmp_path / "tree", TREE)
    entry = tmp_path / "boot.gz"
    entry.write_bytes(gzip_bytes(boot_initramfs(the_kernel(), static_busybox(BUSYBOX))))

    first = boot(kernel, entry, *SEABIOS, *a_seed(tmp_path / "seed", TOLD="first"), *root)
    first.says("zombies")
    first.greeting(first.connect("agent"))
    assert first.reason(first.monitor("system_powerdown")) == "guest-shutdown"
    said = first.console
    assert int(said.partition("root of ")[2].split()[0]) < 48
    assert said.index("runcmd has first") < said.index("env: first") < said.index("asked to end")
    assert said.index("asked to end") < said.index("volant: poweroff")

    os.truncate(tmp_path / "root", 512 << 20)
    dhcp = "volant.ip=dhcp volant.name=web-1"
    second = boot(kernel, entry, *SEABIOS, *a_seed(tmp_path / "seed", TOLD="second"), *root, words=dhcp)
    assert second.reason(second.monitor(), status=1) == "guest-panic"
    said = second.console
    assert "runcmd has" not in said
    assert said.index("bootcmd of told") < said.index("env: second, of the image, of the VM")
    assert said.index("volant: workload ended with status 3") < said.index("volant: failed")
    assert 440 < int(said.partition("root of ")[2].split()[0]) < 512
    assert said.index("volant: address 10.0.2.15/24") < said.index("volant: ready")
    assert "Kernel panic" not in said
