"""Which disks a guest is started with, and whether it is told anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.objects import a_manifest, a_plugin, a_vm

from volant.controllers.vm.files import is_told, wanted_disks
from volant.drivers import DiskSpec
from volant.model.plugin import KernelSource, Plugin, Rootfs, Source
from volant.model.vm import CloudInit, DiskConfig, VMConfig

IN_MEMORY = a_plugin("hello", ready=True)
KERNEL = KernelSource(url="file:///kernel")
ROOTFS = Rootfs(url="file:///root", format="qcow2")


def from_disk(*, kernel: KernelSource | None = KERNEL) -> Plugin:
    initramfs = Source(url="file:///initramfs") if kernel is not None else None
    return a_plugin("disk", ready=True, manifest=a_manifest("disk", rootfs=ROOTFS, kernel=kernel, initramfs=initramfs))


def path_of(digest: str) -> Path:
    return Path("/cache") / digest


def test_a_guest_in_memory_has_no_disk() -> None:
    assert wanted_disks(a_vm(), IN_MEMORY, path_of) == ()


def test_the_disk_of_the_plugin_comes_first_and_the_others_by_name() -> None:
    plugin = from_disk()
    digest = plugin.status.artifacts["rootfs"].digest
    disks = {"z": DiskConfig(size_mb=1), "a": DiskConfig(size_mb=2), "root": DiskConfig(size_mb=9)}
    assert wanted_disks(a_vm(config=VMConfig(disks=disks)), plugin, path_of) == (
        DiskSpec(name="root", size_mb=9, base=path_of(str(digest)), base_format="qcow2", base_digest=digest),
        DiskSpec(name="a", size_mb=2),
        DiskSpec(name="z", size_mb=1),
    )


def test_a_root_disk_of_which_nothing_is_said_is_as_large_as_its_image() -> None:
    (root,) = wanted_disks(a_vm(), from_disk(), path_of)
    assert (root.name, root.size_mb) == ("root", None)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (VMConfig(), False),
        (VMConfig(env={"A": "b"}), True),
        (VMConfig(cloud_init=CloudInit()), False),
        (VMConfig(cloud_init=CloudInit(user_data="#cloud-config")), True),
        (VMConfig(cloud_init=CloudInit(user_data="#cloud-config", enabled=False)), False),
        (VMConfig(cloud_init=CloudInit(user_data="#cloud-config", enabled=False), env={"A": "b"}), True),
    ],
)
def test_a_guest_is_told_what_there_is_to_tell(config: VMConfig, told: bool) -> None:
    assert is_told(a_vm(config=config), IN_MEMORY) == told


def test_a_guest_that_boots_itself_learns_its_name_from_nothing_else() -> None:
    plugin = from_disk(kernel=None)
    assert is_told(a_vm(), plugin)
    assert not is_told(a_vm(config=VMConfig(cloud_init=CloudInit(enabled=False))), plugin)
    assert not is_told(a_vm(), from_disk())
