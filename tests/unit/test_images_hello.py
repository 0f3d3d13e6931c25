"""The demo guest's image: what is in it, and that it is the same every time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from tests.builders.elves import a_bzimage, a_kernel_tree, a_module, a_vmlinux, an_elf, gzipped

from volant.errors import StartupError
from volant.images.hello import PORT, build_hello, hello_initramfs
from volant.images.kernel import Kernel, find_kernel
from volant.model.plugin import Manifest, parse_checksum

BUSYBOX = Path("/bin/busybox")
MODULES = {
    "virtio_ring": a_module("virtio_ring"),
    "virtio": a_module("virtio", "virtio_ring"),
    "virtio_pci": a_module("virtio_pci", "virtio"),
    "virtio_net": a_module("virtio_net", "virtio"),
    "virtio_blk": a_module("virtio_blk", "virtio"),
    "ext4": a_module("ext4"),
    "isofs": a_module("isofs"),
    "virtio_console": a_module("virtio_console", "virtio"),
    "button": a_module("button"),
    "evdev": a_module("evdev"),
    "pvpanic_mmio": a_module("pvpanic_mmio"),
}
VMLINUX = a_vmlinux()


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """A kernel that QEMU can enter directly."""
    image = a_bzimage(gzipped(VMLINUX), size=len(VMLINUX))
    a_kernel_tree(tmp_path / "kernels/linux", "6.1.0-1-cloud-amd64", MODULES, image=image)
    found = find_kernel(tmp_path / "kernels")
    assert found is not None
    return found


def unpacked(archive: bytes, directory: Path) -> Path:
    """The files of an initramfs. Its one device node, which only root may make, is left out."""
    directory.mkdir()
    wanted = ["volant/*", "hello.sh"]
    subprocess.run([BUSYBOX, "cpio", "-id", *wanted], input=archive, capture_output=True, check=True, cwd=directory)
    return directory


def test_the_manifest_is_one_that_volant_takes(tmp_path: Path, kernel: Kernel) -> None:
    built = build_hello(tmp_path / "out", kernel, BUSYBOX)
    manifest = msgspec.json.decode(built.manifest.read_bytes(), type=Manifest)
    assert (manifest.name, manifest.workload.port, manifest.resources.memory_mb) == ("hello", PORT, 128)
    assert json.loads(built.manifest.read_text()) == built.content


def test_the_manifest_names_the_files_beside_it_and_their_digests(tmp_path: Path, kernel: Kernel) -> None:
    built = build_hello(tmp_path / "with space", kernel, BUSYBOX)
    manifest = msgspec.json.decode(built.manifest.read_bytes(), type=Manifest)
    for role, path in (("kernel", built.kernel), ("initramfs", built.initramfs)):
        source = manifest.sources()[role]  # type: ignore[index]
        assert Path(unquote(urlsplit(source.url).path)) == path.absolute()
        assert parse_checksum(source.checksum or "") == hashlib.sha256(path.read_bytes()).hexdigest()


def test_building_again_changes_nothing(tmp_path: Path, kernel: Kernel) -> None:
    first = build_hello(tmp_path / "out", kernel, BUSYBOX)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert build_hello(tmp_path / "out", kernel, BUSYBOX) == first
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert set(before) == {"vmlinux", "initramfs.gz", "hello.json"}


def test_the_kernel_is_unpacked_where_it_can_be(tmp_path: Path, kernel: Kernel) -> None:
    assert build_hello(tmp_path / "out", kernel, BUSYBOX).kernel.read_bytes() == VMLINUX
    kernel.vmlinuz.write_bytes(b"some other format")
    plain = build_hello(tmp_path / "other", kernel, BUSYBOX).kernel
    assert (plain.name, plain.read_bytes()) == ("vmlinuz", b"some other format")


def test_the_image_serves_its_page_by_the_init_of_all_guests(tmp_path: Path, kernel: Kernel) -> None:
    root = unpacked(hello_initramfs(kernel, BUSYBOX.read_bytes()), tmp_path / "root")
    assert (root / "volant/workload").read_text().splitlines()[-2:] == ["argv sh", "argv /hello.sh"]
    subprocess.run([BUSYBOX, "sh", "-n", root / "hello.sh"], check=True)
    assert (root / "volant/init").stat().st_mode & 0o111


@pytest.mark.parametrize("program", ["dynamic", "script", "missing"])
def test_a_busybox_that_cannot_run_alone_is_one_sentence(tmp_path: Path, kernel: Kernel, program: str) -> None:
    (tmp_path / "script").write_bytes(b"#!/bin/sh\n")
    busybox = Path(sys.executable).resolve() if program == "dynamic" else tmp_path / program
    with pytest.raises(StartupError, match=r"^cannot (use|build)"):
        build_hello(tmp_path / "out", kernel, busybox)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, kernel: Kernel) -> None:
    (tmp_path / "file").write_bytes(an_elf())
    with pytest.raises(StartupError, match="cannot build the hello image"):
        build_hello(tmp_path / "file" / "out", kernel, BUSYBOX)
