"""What guests are told and what their disks may be: the model's words put to `images`, which knows no controller."""

from __future__ import annotations

import asyncio
from pathlib import Path

from volant.drivers import Attachment
from volant.images.rootdisk import check_root_disk
from volant.images.seed import Told, plain_yaml, seed
from volant.model.meta import Misfit
from volant.model.plugin import Rootfs, Source
from volant.model.vm import VM, VMConfig


async def seed_of(vm: VM, attachment: Attachment) -> bytes:
    """The disk that tells the next guest of `vm` its name, its network and its config.

    The instance id is the VM's uid: it stays over restarts, and another VM has another one. Raises ArtifactRefused.
    """
    config = vm.spec.config
    told = Told(
        instance_id=vm.meta.uid,
        hostname=vm.meta.name,
        cloud_init=config.cloud_init,
        env=config.env,
        attachment=attachment,
    )
    return await asyncio.to_thread(seed, told)  # because the largest texts take a second


def check_told(config: VMConfig) -> None:
    """Raises Misfit, with the path below the config, for texts of which no seed could be made for any VM."""
    told = config.cloud_init
    if told is None or not told.enabled:
        return
    for name, text in (("meta_data", told.meta_data), ("network_config", told.network_config)):
        try:
            value = plain_yaml.read(text) if text is not None else None
        except ValueError as error:
            raise Misfit(f"/cloud_init/{name}", str(error)) from None
        if value is not None and not isinstance(value, dict):
            raise Misfit(f"/cloud_init/{name}", "expected a YAML mapping")


def check_artifact(source: Source, path: Path) -> None:
    """Raises ArtifactRefused for a root disk that is not what its manifest says, or that leads to other files."""
    if isinstance(source, Rootfs):
        check_root_disk(path, source.format)
