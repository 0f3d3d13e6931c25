"""The kernel command line of a guest: ours first, then the plugin's.

    console=ttyS0 volant.ip=10.0.2.15/24 volant.gw=10.0.2.2 volant.name=web-1 ... │ quiet panic=-1 ...

Ours tells the guest who it is; the plugin's is text of a user. It can neither end ours nor contradict it: what names
the guest, its addresses or its first program is refused. The plugin's part comes last because everything after a
lone `--` goes to the guest's init instead of its kernel.

    volant.name=    the VM's name                  volant.address=  what users see as its address
    volant.ip=      CIDR, or dhcp                  volant.gw=       gateway
    volant.ip6=     CIDR                           volant.gw6=      gateway
    volant.dns=     addresses, with commas         volant.mtu=      bytes
    volant.port=    what the workload serves on

A kernel that is to find its root file system by itself is told `root=`, unless the plugin says it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from volant.drivers import Attachment, Boot
from volant.errors import DriverRefused
from volant.model.vm import ROOT

MAX_LENGTH = 2047
"""x86 kernels cut their command line after that many bytes, without a word."""

RESERVED = ("init=", "rdinit=", "ip=", "volant.")

_ROOT_WORDS = ("root=/dev/vda", "rw")
_MIN_MTU, _MAX_MTU = 576, 65535
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN = re.compile(r"[\x20-\x7e]*")

Parse = Callable[[str], object]
"""What reads an address, and raises ValueError for what is none."""


def kernel_cmdline(boot: Boot) -> str:
    """What the guest's kernel is told. Raises DriverRefused for a name, address or plugin part that cannot be used."""
    line = " ".join([*_ours(boot), checked(boot.cmdline)]).rstrip(" ")
    if len(line) > MAX_LENGTH:
        raise DriverRefused(f"cannot use a kernel command line of {len(line)} characters: {MAX_LENGTH} is the limit")
    return line


def checked(text: str) -> str:
    """The plugin's part, unchanged, if it is one line of printable ASCII that names nothing reserved."""
    if _PLAIN.fullmatch(text) is None:
        raise DriverRefused("cannot use the plugin's kernel command line: it must be one line of printable ASCII")
    for word in text.split():
        # The kernel takes quotes off and init scripts split at every space: a reserved word hidden in quotes would
        # be read by the one or the other.
        if word.replace('"', "").startswith(RESERVED):
            raise DriverRefused(f"cannot use {word!r} in a kernel command line: {', '.join(RESERVED)} are reserved")
    return text


def _ours(boot: Boot) -> list[str]:
    if _NAME.fullmatch(boot.name) is None:
        raise DriverRefused(f"cannot use {boot.name!r} as the name of a guest")
    return ["console=ttyS0", f"volant.name={boot.name}", *_network(boot.attachment), *_root(boot)]


def _network(attachment: Attachment) -> list[str]:
    words = ["volant.ip=dhcp"] if attachment.mode == "dhcp" and attachment.guest_address is None else []
    said: list[tuple[str, Parse, str | None]] = [
        ("ip", ipaddress.IPv4Interface, attachment.guest_address),
        ("gw", ipaddress.IPv4Address, attachment.gateway),
        ("ip6", _interface6, attachment.guest_address6),
        ("gw6", _address6, attachment.gateway6),
        ("address", ipaddress.IPv4Address, attachment.address),
    ]
    words += [f"volant.{word}={_checked(parse, text)}" for word, parse, text in said if text is not None]
    if attachment.dns:
        words.append(f"volant.dns={','.join(_checked(_address, text) for text in attachment.dns)}")
    if attachment.mtu is not None:
        words.append(f"volant.mtu={_mtu(attachment.mtu)}")
    if attachment.forwards:
        words.append(f"volant.port={attachment.forwards[0].guest_port}")
    return words


def _root(boot: Boot) -> list[str]:
    """An initramfs finds the root disk by its name; a kernel alone has to be told."""
    has_root = any(disk.name == ROOT for disk in boot.disks)
    is_said = any(word.replace('"', "").startswith("root=") for word in boot.cmdline.split())
    return [*_ROOT_WORDS] if has_root and boot.initramfs is None and not is_said else []


def _checked(parse: Parse, text: str) -> str:
    try:
        return str(parse(text))
    except ValueError as error:
        raise DriverRefused(f"cannot use {text!r} as an IP address") from error


def _address(text: str) -> object:
    return _address6(text) if ":" in text else ipaddress.IPv4Address(text)


def _address6(text: str) -> object:
    return ipaddress.IPv6Address(_unscoped(text))


def _interface6(text: str) -> object:
    return ipaddress.IPv6Interface(_unscoped(text))


def _unscoped(text: str) -> str:
    """A scope (`%eth0`) may be any text, and names an interface that only the host has."""
    if "%" in text:
        raise ValueError(text)
    return text


def _mtu(figure: int) -> int:
    if not _MIN_MTU <= figure <= _MAX_MTU:
        raise DriverRefused(f"cannot use {figure} as an MTU")
    return figure
