"""The disks of a guest, as QEMU is told of them: a chain of nodes each, and the device in front of it.

    virtio-blk ──▶ qcow2, the VM's own ──▶ file
                     └─ below it ──▶ raw or qcow2, read-only ──▶ file, read-only

Every node of the chain is written out with its driver, so QEMU guesses no format and follows no name that an image
carries: what is below a layer is what is said here, or nothing. Files are locked by their VMM, so that a second one of
the same disk does not start. The host caches, and a guest's flush reaches the disk; a write that the host cannot take
is an error to the guest, because a guest that QEMU paused instead would wait for somebody to notice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct

from volant.model.vm import ROOT

SEED_SERIAL = "seed"
"""What guests find it by. No disk of a user is called so."""


class Layer(Struct, frozen=True, kw_only=True):
    """One disk, with paths as QEMU opens them."""

    name: str
    path: str
    base: str | None = None
    base_format: Literal["raw", "qcow2"] | None = None


def in_order(names: Iterable[str]) -> list[str]:
    """As guests count them: the root disk is the first, the others follow by name."""
    return sorted(names, key=lambda name: (name != ROOT, name))


def disks(layers: tuple[Layer, ...], seed: str | None, *, boots: bool) -> list[str]:
    """The arguments for all of them, the seed last. `boots`: the firmware starts what is on the root disk."""
    by_name = {layer.name: layer for layer in layers}
    words: list[str] = []
    for name in in_order(by_name):
        words += ["-blockdev", _json(_chain(by_name[name]))]
        # Without a boot index the firmware does not even look at a disk.
        words += [
            "-device",
            _json(_device(f"disk-{name}", name, **({"bootindex": 0} if boots and name == ROOT else {}))),
        ]
    if seed is not None:
        words += ["-blockdev", _json(_read_only("raw", "seed", "seedfile", seed))]
        words += ["-device", _json(_device("seed", SEED_SERIAL))]
    return words


def _chain(layer: Layer) -> dict[str, Any]:
    below = None
    if layer.base is not None:
        below = _read_only(str(layer.base_format), f"base-{layer.name}", f"basefile-{layer.name}", layer.base)
    file = {**_file(f"file-{layer.name}", layer.path), "discard": "unmap"}
    node = f"disk-{layer.name}"
    return {"driver": "qcow2", "node-name": node, "discard": "unmap", "file": file, "backing": below}


def _read_only(driver: str, node: str, file_node: str, path: str) -> dict[str, Any]:
    chain = {
        "driver": driver,
        "node-name": node,
        "read-only": True,
        "file": {**_file(file_node, path), "read-only": True},
    }
    return {**chain, "backing": None} if driver == "qcow2" else chain


def _file(node: str, path: str) -> dict[str, Any]:
    cache = {"direct": False, "no-flush": False}
    return {"driver": "file", "node-name": node, "filename": path, "locking": "on", "aio": "threads", "cache": cache}


def _device(drive: str, serial: str, **more: int) -> dict[str, Any]:
    errors = {"werror": "report", "rerror": "report"}
    return {"driver": "virtio-blk-pci", "drive": drive, "id": f"dev-{serial}", "serial": serial, **errors, **more}


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
