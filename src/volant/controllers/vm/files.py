"""Which files a VM is started with, besides those of its plugin. Pure.

manifest.rootfs ─┐
config.disks    ─┴─▶ DiskSpec, ...      config.cloud_init, config.env ──▶ whether there is something to tell
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from volant.drivers import Attachment, DiskSpec
from volant.model import vm as vms
from volant.model.plugin import Plugin, digests
from volant.model.vm import VM, CloudInit


def wanted_disks(vm: VM, plugin: Plugin, artifact_path: Callable[[str], Path]) -> tuple[DiskSpec, ...]:
    """The disks of the next guest: that of its plugin first, then the others by name."""
    sizes, rootfs = vm.spec.config.disks, plugin.spec.manifest.rootfs
    disks = [DiskSpec(name=name, size_mb=sizes[name].size_mb) for name in sorted(sizes) if name != vms.ROOT]
    digest = digests(plugin).get("rootfs")
    if rootfs is None or digest is None:
        return tuple(disks)
    root = DiskSpec(
        name=vms.ROOT,
        size_mb=sizes[vms.ROOT].size_mb if vms.ROOT in sizes else None,
        base=artifact_path(digest),
        base_format=rootfs.format,
        base_digest=digest,
    )
    return (root, *disks)


async def nothing_told(vm: VM, attachment: Attachment) -> bytes:
    """A seed for guests that read none."""
    return b""


def is_told(vm: VM, plugin: Plugin) -> bool:
    """Whether the next guest gets a seed.

    A guest that boots itself always does, unless cloud-init is off: nothing else tells it its name and address.
    """
    config, manifest = vm.spec.config, plugin.spec.manifest
    if config.env or _says_something(config.cloud_init):
        return True
    is_off = config.cloud_init is not None and not config.cloud_init.enabled
    return manifest.kernel is None and not is_off


def _says_something(told: CloudInit | None) -> bool:
    return told is not None and told.enabled and any((told.user_data, told.meta_data, told.network_config))
