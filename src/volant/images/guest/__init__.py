"""Guests of ours: one init for every image that Volant builds, and the ways to put it there.

    a tree of files + Workload ──initramfs()──▶ a guest that runs from memory
    a tree of files + Workload ──guest_entries(), plant()──▶ a root disk ──┐
    kernel + busybox ──boot_initramfs()──▶ what finds and enters it ───────┴▶ a guest that runs from its disk

What the init does at boot and stop is told in its files beside this one (`init.sh` is the first to read) and, for
people, in docs/guests.md. The same input gives the same bytes.

Deliberately absent: making file systems and reading images (the builders do), and any shell or library of the image:
the init brings one static busybox and needs nothing else.
"""

from __future__ import annotations

from volant.images.guest.planting import plant
from volant.images.guest.userland import (
    AGENT_PORT,
    CMDLINE,
    boot_initramfs,
    guest_entries,
    initramfs,
    static_busybox,
)
from volant.images.guest.workload import Workload

__all__ = [
    "AGENT_PORT",
    "CMDLINE",
    "Workload",
    "boot_initramfs",
    "guest_entries",
    "initramfs",
    "plant",
    "static_busybox",
]
