"""The command line of one QEMU: a pure function of what should boot.

`-device`, `-blockdev` and `-netdev` are given as JSON, which QEMU parses without separators to escape. `-chardev` takes
no JSON: its values are escaped by `option`. Nothing a user wrote is in any of them but as a checked name, address or
number; the kernel command line, the one text of users, is an argument of its own that QEMU hands to the guest unread.

A guest boots in one of three ways: a kernel with an initramfs, a kernel with a root disk, or what its root disk begins
with, by the firmware.

There is no `-drive` (it guesses formats), no `-readconfig`, and no way to add arguments.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from msgspec import Struct

from volant.clock import Uid
from volant.drivers import Accelerator, Attachment, Boot, Forward
from volant.drivers.qemu.blocks import Layer, disks
from volant.drivers.qemu.cmdline import kernel_cmdline
from volant.drivers.qemu.limits import translated_mb
from volant.errors import DriverRefused
from volant.model.vm import ROOT

AGENT_PORT = "org.volant.agent.0"
"""The virtio-serial port that the guest's init listens to."""
GUEST_AGENT_PORT = "org.qemu.guest_agent.0"
"""The one that QEMU's own guest agent listens to, where a system of a user has it."""

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_UID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class Sockets(Struct, frozen=True, kw_only=True):
    """Descriptors of listening Unix sockets. `qmp` is the driver's, `monitor` is for people.

    `guest_agent` is there for guests that boot themselves: their system is not ours and may have one.
    """

    qmp: int
    monitor: int
    console: int
    agent: int
    guest_agent: int | None = None


class Files(Struct, frozen=True, kw_only=True):
    """Paths as QEMU opens them; `tap` is a descriptor that it takes as it is."""

    console_log: str
    kernel: str | None = None
    initramfs: str | None = None
    disks: tuple[Layer, ...] = ()
    seed: str | None = None
    tap: int | None = None


def mark_prefix(owner: str) -> str:
    """What the marks of all VMs of one run directory start with. `owner` tells run directories apart."""
    return f"volant-{owner}-"


def mark(owner: str, uid: Uid) -> str:
    """What a VM's process carries on its command line, as QEMU's `-name`; never any text of a user."""
    if not is_uid(uid):
        raise DriverRefused(f"cannot start a VM with the uid {uid!r}: only lower-case letters, digits and dashes")
    return mark_prefix(owner) + uid


def is_uid(text: str) -> bool:
    """Whether it may be part of a command line and of a path."""
    return _UID.fullmatch(text) is not None


def argv(boot: Boot, *, qemu: str, mark: str, accelerator: Accelerator, sockets: Sockets, files: Files) -> list[str]:
    """The whole command. Raises DriverRefused for a boot that no QEMU of ours could run."""
    return [
        *(qemu, "-name", mark),
        *_machine(boot, accelerator),
        *_host_policy(),
        *_kernel(boot, files),
        *disks(files.disks, files.seed, boots=boots_itself(boot)),
        *_serial(sockets, files),
        *_agents(sockets),
        *_chance(boot),
        *_network(boot.attachment, files.tap),
        *_device(driver="pvpanic"),
    ]


def boots_itself(boot: Boot) -> bool:
    """Whether the firmware starts what is on the root disk, and no kernel of ours."""
    return boot.kernel is None


def option(first: str, **values: str) -> str:
    """One QEMU option in its `key=value,...` form; commas in values are doubled, which QEMU reads as one."""
    return ",".join([first, *(f"{key}={value.replace(',', ',,')}" for key, value in values.items())])


def _machine(boot: Boot, accelerator: Accelerator) -> list[str]:
    wants = boot.booted.config.resources
    cpu = "host" if accelerator == "kvm" else "max"
    # Left to itself, QEMU keeps up to a gigabyte of translated code for a guest of any size.
    accel = "kvm" if accelerator == "kvm" else option("tcg", **{"tb-size": str(translated_mb(wants.memory_mb))})
    # The disk controller, bus and mouse port that every q35 has otherwise: nothing of ours uses them, and what is
    # not there cannot be attacked.
    # With graphics off, the firmware and the boot loader that it starts speak on the serial console.
    firmware = {"graphics": "off"} if boots_itself(boot) else {}
    machine = option("q35", sata="off", smbus="off", usb="off", vmport="off", **firmware)
    size = ["-smp", str(wants.vcpu), "-m", f"{wants.memory_mb}M"]
    return ["-machine", machine, "-accel", accel, "-cpu", cpu, *size]


def _host_policy() -> list[str]:
    # A guest that panics ends QEMU with status 1 and one that shuts down with 0: told apart even when nobody
    # listened to QMP. A guest that reboots ends QEMU too: whether it comes back is the controller's decision.
    return [
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-action", "panic=exit-failure"),
        *("-sandbox", SANDBOX),
    ]


def _kernel(boot: Boot, files: Files) -> list[str]:
    if files.kernel is None:
        if all(disk.name != ROOT for disk in files.disks):
            raise DriverRefused(
                f"cannot start {boot.name}: it has neither a kernel nor a root disk. "
                "Give its plugin a 'kernel' with an 'initramfs', or a 'rootfs'"
            )
        return ["-boot", "strict=on"]
    initrd = ["-initrd", files.initramfs] if files.initramfs is not None else []
    return ["-kernel", files.kernel, *initrd, "-append", kernel_cmdline(boot)]


def _serial(sockets: Sockets, files: Files) -> list[str]:
    # logappend: the log is opened for appending, so that it can be cut while QEMU writes to it.
    log = {"logfile": files.console_log, "logappend": "on"}
    return [
        *_listening("console", sockets.console, **log),
        *("-serial", "chardev:console"),
        *_listening("qmp", sockets.qmp),
        *("-mon", "chardev=qmp,mode=control"),
        *_listening("monitor", sockets.monitor),
        *("-mon", "chardev=monitor,mode=readline"),
    ]


def _agents(sockets: Sockets) -> list[str]:
    words = [*_device(driver="virtio-serial-pci", id="ports"), *_port_of("agent", sockets.agent, AGENT_PORT)]
    if sockets.guest_agent is not None:
        words += _port_of("qga", sockets.guest_agent, GUEST_AGENT_PORT)
    return words


def _port_of(chardev: str, descriptor: int, name: str) -> list[str]:
    port = _device(driver="virtserialport", bus="ports.0", chardev=chardev, name=name)
    return [*_listening(chardev, descriptor), *port]


def _chance(boot: Boot) -> list[str]:
    """Random numbers of the host, for systems that make keys when they start. A guest in memory has none to keep."""
    if all(disk.name != ROOT for disk in boot.disks):
        return []
    source = {"qom-type": "rng-builtin", "id": "chance"}
    return ["-object", _json(source), *_device(driver="virtio-rng-pci", rng="chance")]


def _network(attachment: Attachment, tap: int | None) -> list[str]:
    if attachment.mode == "none":
        return []
    # On a tap, the guest's frames go through a descriptor that was opened for QEMU: it needs no right to any interface.
    netdev = _user(attachment) if attachment.mode == "user" else _tap(attachment, tap)
    mac = {"mac": _checked_mac(attachment.mac)} if attachment.mac is not None else {}
    # An empty romfile: nobody boots from this card, and its boot program would only be loaded and run.
    return ["-netdev", _json(netdev), *_device(driver="virtio-net-pci", netdev="net0", romfile="", **mac)]


def _user(attachment: Attachment) -> dict[str, Any]:
    return {
        "type": "user",
        "id": "net0",
        "restrict": True,
        "ipv6": False,
        "hostfwd": [{"str": _forward(attachment, forward)} for forward in attachment.forwards],
    }


def _tap(attachment: Attachment, tap: int | None) -> dict[str, Any]:
    if tap is None:
        raise DriverRefused(f"cannot attach a VM to a network of mode {attachment.mode}: it was given no tap")
    return {"type": "tap", "id": "net0", "fd": str(tap)}


def _forward(attachment: Attachment, forward: Forward) -> str:
    guest = _address(attachment.guest_address.split("/")[0]) if attachment.guest_address else ""
    host = _address(forward.host_address)
    return f"tcp:{host}:{_port(forward.host_port)}-{guest}:{_port(forward.guest_port)}"


def _listening(name: str, descriptor: int, **more: str) -> list[str]:
    return ["-chardev", option("socket", id=name, fd=str(descriptor), server="on", wait="off", **more)]


def _device(**properties: str) -> list[str]:
    return ["-device", _json(properties)]


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _checked_mac(text: str) -> str:
    if _MAC.fullmatch(text) is None:
        raise DriverRefused(f"cannot use {text!r} as a MAC address")
    return text


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise DriverRefused(f"cannot use {text!r} as an IPv4 address") from error


def _port(number: int) -> int:
    if not 0 < number <= 65535:
        raise DriverRefused(f"cannot use {number} as a port")
    return number
