"""The files that make an image a guest of ours, and the two initramfs that are made of them.

/volant/{init, *.sh, busybox, workload}        in every image
/volant/modules/{network, disks, seed, extras} in a guest that runs from memory: lists, and the modules beside them
/volant/modules/all                            in the initramfs that enters a root disk
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Final

from volant.errors import StartupError
from volant.images.elf import is_static
from volant.images.guest.grow import grow_program
from volant.images.guest.workload import Workload, described
from volant.images.kernel import Kernel, Module, modules_in_order
from volant.images.newc import Entry, character_device, directory, newc, regular, symlink

AGENT_PORT: Final = "org.volant.agent.0"
"""The virtio-serial port on which a guest obeys a line `shutdown` or `reboot`."""

CMDLINE: Final = "quiet panic=-1 cryptomgr.notests no_timer_check tsc=reliable noreplace-smp"
"""The kernel command line that guests of ours start fastest with; the driver adds console, name and addresses."""

MODULES: Final = {
    "network": ("virtio_pci", "virtio_net"),
    "disks": ("virtio_blk", "ext4"),
    "seed": ("isofs",),
    "extras": ("virtio_console", "button", "evdev", "pvpanic_mmio"),
}
"""What is loaded, in this order. What a kernel has built in is passed over."""

_PLACES: Final = ("dev", "proc", "run", "sys", "tmp", "volant")
_LINKS: Final = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
"""What the init copies into /dev."""
_SOURCED: Final = ("network.sh", "seed.sh", "run.sh", "leave.sh")
_PROGRAMS: Final = {"init": "init.sh", "dhcp.sh": "dhcp.sh"}


def static_busybox(path: Path) -> bytes:
    """The program at `path`. Raises StartupError when it needs libraries or is no program; OSError as it comes."""
    program = path.read_bytes()
    try:
        static = is_static(program)
    except ValueError as error:
        raise StartupError(f"cannot use {path} as the guest's userland: {error}") from error
    if not static:
        raise StartupError(f"cannot use {path} as the guest's userland: it needs libraries. Install busybox-static")
    return program


def guest_entries(workload: Workload, busybox: bytes) -> list[Entry]:
    """What a root disk needs to be a guest of ours: directories first. To be laid over the tree of the image."""
    return [
        *(directory(name, 0o1777 if name == "tmp" else 0o755) for name in _PLACES),
        regular("volant/busybox", busybox, 0o755),
        *(regular(f"volant/{name}", _script(source), 0o755) for name, source in _PROGRAMS.items()),
        *(regular(f"volant/{name}", _script(name)) for name in _SOURCED),
        regular("volant/workload", described(workload)),
        *(directory(f"volant/dev{name}") for name in ("", "/pts", "/shm")),
        *(symlink(f"volant/dev/{name}", target) for name, target in _LINKS.items()),
    ]


def initramfs(kernel: Kernel, busybox: bytes, tree_entries: Iterable[Entry], workload: Workload) -> bytes:
    """A whole guest that runs from memory: the tree with our init laid over it, as an archive before compression.

    Of two entries with one name the later one counts, ours last; missing parents are made. Raises StartupError when
    the kernel lacks a module, ValueError for a name that cannot be archived.
    """
    # A module that two lists need is loaded with the first.
    lists: dict[str, list[Module]] = {}
    loaded: set[str] = set()
    for name, wanted in MODULES.items():
        lists[name] = [module for module in modules_in_order(kernel, wanted) if module.name not in loaded]
        loaded.update(module.name for module in lists[name])
    tree = list(tree_entries)
    # An image with a /bin of its own has its own shell there, or gets ours when it boots: /bin may be a link.
    own_bin = any(entry.name.split("/")[0] == "bin" for entry in tree)
    shell = [] if own_bin else [symlink("bin/sh", "/volant/busybox")]
    return newc(
        laid_over(
            [directory("etc"), directory("run"), directory("run/volant"), *shell, *tree],
            [
                *guest_entries(workload, busybox),
                character_device("dev/console", 5, 1),
                symlink("init", "volant/init"),
                directory("volant/modules"),
                *(_module(module) for modules in lists.values() for module in modules),
                *(_list(name, modules) for name, modules in lists.items()),
            ],
        )
    )


def boot_initramfs(kernel: Kernel, busybox: bytes) -> bytes:
    """What enters the root disk of a guest, as an archive before compression. The same for every image."""
    modules = modules_in_order(kernel, [name for wanted in MODULES.values() for name in wanted])
    return newc(
        [
            *(directory(name) for name in ("dev", "proc", "root", "sys", "volant", "volant/modules")),
            character_device("dev/console", 5, 1),
            regular("volant/busybox", busybox, 0o755),
            regular("volant/grow", grow_program(), 0o755),
            regular("init", _script("boot.sh"), 0o755),
            *(_module(module) for module in modules),
            _list("all", modules),
        ]
    )


def laid_over(below: Iterable[Entry], above: Iterable[Entry]) -> list[Entry]:
    """One tree of two: parents before children, the later entry of each name, but directories stay as they were."""
    tree: dict[str, Entry] = {}
    for entry in (*below, *above):
        name = entry.name.strip("/").removeprefix("./")
        if name in ("", ".") or (name in tree and stat.S_ISDIR(entry.mode) and stat.S_ISDIR(tree[name].mode)):
            continue
        parts = name.split("/")
        for depth in range(1, len(parts)):
            tree.setdefault("/".join(parts[:depth]), directory("/".join(parts[:depth])))
        tree[name] = replace(entry, name=name)
    return [tree[name] for name in sorted(tree, key=lambda name: name.split("/"))]


def _script(name: str) -> bytes:
    return files("volant.images.guest").joinpath(name).read_bytes()


def _module(module: Module) -> Entry:
    return regular(f"volant/modules/{module.name}.ko", module.data)


def _list(name: str, modules: Sequence[Module]) -> Entry:
    return regular(f"volant/modules/{name}", "".join(f"{module.name}.ko\n" for module in modules).encode())
