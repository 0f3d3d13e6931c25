"""What a guest is there for, and how its files get into an image."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.elves import a_kernel_tree, a_module
from tests.builders.seeds import ATTACHMENT, BUSYBOX, calls

from volant.clock import Uid
from volant.drivers import Boot, Forward
from volant.drivers.qemu.cmdline import kernel_cmdline
from volant.errors import ArtifactRefused, StartupError
from volant.images.guest import AGENT_PORT, Workload, boot_initramfs, guest_entries, initramfs, plant
from volant.images.guest.grow import grow_program
from volant.images.guest.userland import MODULES, laid_over
from volant.images.guest.workload import described
from volant.images.kernel import Kernel, find_kernel
from volant.images.newc import character_device, directory, newc, regular, symlink
from volant.model.vm import Booted, VMConfig

WORKLOAD = Workload(argv=("serve",))
FORWARD = Forward(host_address="10.127.0.5", host_port=80, guest_port=80)
SCRIPTS = ("init.sh", "network.sh", "seed.sh", "run.sh", "leave.sh", "boot.sh", "dhcp.sh")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """A kernel with the modules that guests need, each of which needs `virtio`."""
    names = [name for wanted in MODULES.values() for name in wanted]
    modules = {"virtio": a_module("virtio")} | {name: a_module(name, "virtio") for name in names}
    a_kernel_tree(tmp_path / "kernels/linux", "6.1.0-1-cloud-amd64", modules, image=b"")
    found = find_kernel(tmp_path / "kernels")
    assert found is not None
    return found


def listed(archive: bytes) -> list[str]:
    """The names in an archive."""
    done = subprocess.run([BUSYBOX, "cpio", "-t"], input=archive, capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def content(archive: bytes, name: str, directory: Path) -> bytes:
    """One file of an archive."""
    directory.mkdir(exist_ok=True)
    subprocess.run([BUSYBOX, "cpio", "-id", name], input=archive, capture_output=True, check=True, cwd=directory)
    return (directory / name).read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": ()},
        {"argv": ("",)},
        {"argv": ("a\0",)},
        {"env": {"": "x"}},
        {"env": {"A=B": "x"}},
        {"env": {"A": "\0"}},
        {"user": "a b"},
        {"user": "-x"},
        {"user": "1:2:3"},
        {"user": "1:"},
        {"cwd": "relative"},
        {"stop": "TERM"},
        {"stop": "SIGTERM; id"},
        {"before": ("\0",)},
    ],
    ids=str,
)
def test_a_workload_that_no_guest_can_run_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArtifactRefused, match=r"^cannot "):
        Workload(**{"argv": ("serve",), **wrong})


def test_a_workload_is_described_in_lines_that_people_can_read() -> None:
    workload = Workload(argv=("nginx", "-g", "daemon off;"), env={"A": "1"}, user="101:101", stop="SIGQUIT")
    assert described(workload).decode().splitlines() == [
        "env A=1",
        "user 101:101",
        "cwd /",
        "stop SIGQUIT",
        "argv nginx",
        "argv -g",
        "argv 'daemon off;'",
    ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_one_that_busybox_reads(script: str) -> None:
    text = files("volant.images.guest").joinpath(script).read_bytes()
    subprocess.run([BUSYBOX, "sh", "-n"], input=text, check=True)


def test_init_listens_on_the_port_that_the_driver_opens() -> None:
    assert AGENT_PORT in files("volant.images.guest").joinpath("leave.sh").read_text()


def test_init_reads_every_word_that_the_driver_writes() -> None:
    attachment = replace(ATTACHMENT, address="10.127.0.5", forwards=(FORWARD,))
    booted = Booted(config=VMConfig(), restart_nonce=0)
    line = kernel_cmdline(Boot(uid=Uid("u"), name="web-1", booted=booted, attachment=attachment))
    written = {word.partition("=")[0] for word in line.split() if word.startswith("volant.")}
    init = files("volant.images.guest").joinpath("init.sh").read_text()
    assert written == set(re.findall(r"^ +(volant\.\w+)=\*\)", init, re.MULTILINE))


def test_the_program_that_grows_a_disk_ends_with_the_number_of_the_error(tmp_path: Path) -> None:
    program = tmp_path / "grow"
    program.write_bytes(grow_program())
    program.chmod(0o755)
    ends = [subprocess.run([program, tmp_path, device], check=False).returncode for device in ("/dev/null", "/missing")]
    assert ends == [errno.ENOTTY, errno.EBADF]


def test_a_guest_in_memory_has_every_module_once_in_loading_order(kernel: Kernel, tmp_path: Path) -> None:
    archive = initramfs(kernel, b"busybox", [], WORKLOAD)
    lists = {name: content(archive, f"volant/modules/{name}", tmp_path / name).decode().split() for name in MODULES}
    assert lists["network"] == ["virtio.ko", "virtio_pci.ko", "virtio_net.ko"]
    assert lists["disks"] == ["virtio_blk.ko", "ext4.ko"]
    assert lists["seed"] == ["isofs.ko"]
    names = listed(archive)
    assert len(names) == len(set(names))
    assert names.index("volant") < names.index("volant/modules") < names.index("volant/modules/virtio.ko")
    assert content(archive, "volant/busybox", tmp_path / "own") == b"busybox"


def test_the_initramfs_of_a_root_disk_has_all_modules_and_no_workload(kernel: Kernel, tmp_path: Path) -> None:
    archive = boot_initramfs(kernel, b"busybox")
    modules = content(archive, "volant/modules/all", tmp_path / "own").decode().split()
    assert modules[0] == "virtio.ko"
    assert len(modules) == 1 + sum(len(wanted) for wanted in MODULES.values())
    assert "volant/workload" not in listed(archive)


def test_building_again_gives_the_same_bytes(kernel: Kernel) -> None:
    tree = [regular("b/c", b"1"), regular("a", b"2")]
    assert initramfs(kernel, b"b", tree, WORKLOAD) == initramfs(kernel, b"b", tree, WORKLOAD)
    assert boot_initramfs(kernel, b"b") == boot_initramfs(kernel, b"b")


def test_a_kernel_without_a_module_is_one_sentence(kernel: Kernel) -> None:
    next(kernel.modules_dir.rglob("isofs.ko*")).unlink()
    with pytest.raises(StartupError, match="isofs"):
        boot_initramfs(kernel, b"")


def test_our_files_win_over_the_image_and_its_directories_stay_as_they_are() -> None:
    image = [regular("volant/init", b"theirs"), directory("tmp", 0o700), regular("./x/y", b"1"), regular("x/y", b"2")]
    tree = {entry.name: entry for entry in laid_over(image, guest_entries(WORKLOAD, b""))}
    assert tree["volant/init"].data.startswith(b"#!/volant/busybox sh\n")
    assert stat.S_IMODE(tree["tmp"].mode) == 0o700
    assert tree["x/y"].data == b"2"
    assert list(tree).index("x") < list(tree).index("x/y")
    newc(tree.values())


@pytest.mark.parametrize(
    "shell", [[regular("bin/sh", b"own")], [symlink("bin", "usr/bin"), regular("usr/bin/sh", b"own")]]
)
def test_an_image_with_a_shell_keeps_it(kernel: Kernel, shell: list[Any]) -> None:
    names = listed(initramfs(kernel, b"", shell, WORKLOAD))
    assert [name for name in names if name.endswith("/sh")] == [shell[-1].name]
    assert "bin/sh" in listed(initramfs(kernel, b"", [], WORKLOAD))


def test_files_are_planted_with_their_modes(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o700)
    (tmp_path / "old").write_text("old")
    plant(
        [directory("etc"), regular("etc/x", b"1", 0o640), symlink("l", "/etc/passwd"), regular("old", b"new")], tmp_path
    )
    plant([regular("l", b"2")], tmp_path)
    assert stat.S_IMODE((tmp_path / "etc").stat().st_mode) == 0o700
    assert (stat.S_IMODE((tmp_path / "etc/x").stat().st_mode), (tmp_path / "etc/x").read_bytes()) == (0o640, b"1")
    assert ((tmp_path / "old").read_text(), (tmp_path / "l").read_bytes()) == ("new", b"2")


def test_a_guest_is_planted_and_its_workload_read_back(tmp_path: Path) -> None:
    plant(guest_entries(WORKLOAD, BUSYBOX.read_bytes()), tmp_path)
    assert (tmp_path / "volant/dev/fd").readlink() == Path("/proc/self/fd")
    assert calls((tmp_path / "volant/workload").read_bytes())[-1] == ["argv", "serve"]
    assert os.access(tmp_path / "volant/init", os.X_OK)


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/x", "a//x", "", "link/x", "file/x", "dir"], ids=lambda name: name or "empty"
)
def test_nothing_is_planted_outside_or_through_what_is_no_directory(tmp_path: Path, name: str) -> None:
    """C8: the tree may come from an image, and its links lead anywhere."""
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (tree / "dir").mkdir(parents=True)
    (tree / "link").symlink_to(outside)
    (tree / "file").write_text("")
    with pytest.raises(ArtifactRefused, match=r"^cannot write"):
        plant([regular(name, b"x")], tree)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_devices_are_not_planted(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused):
        plant([character_device("console", 5, 1)], tmp_path)


def test_a_tree_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"^cannot write x below "):
        plant([regular("x", b"")], tmp_path / "missing")
