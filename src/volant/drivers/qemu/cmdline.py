"""The kernel command line of a guest: ours first, then the plugin's.

    console=ttyS0 volant.ip=10.0.2.15/24 volant.gw=10.0.2.2 volant.name=web-1 ... │ quiet panic=-1 ...

Ours tells the guest who it is; the plugin's is text of a user. It can neither end ours nor contradict it: what names
the guest, its addresses or its first program is refused. The plugin's part comes last because everything after a
lone `--` goes to the guest's init instead of its kernel.
"""

from __future__ import annotations

import ipaddress
import re

from volant.drivers import Boot
from volant.errors import DriverRefused

MAX_LENGTH = 2047
"""x86 kernels cut their command line after that many bytes, without a word."""

RESERVED = ("init=", "rdinit=", "ip=", "volant.")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN = re.compile(r"[\x20-\x7e]*")


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
    attachment = boot.attachment
    if _NAME.fullmatch(boot.name) is None:
        raise DriverRefused(f"cannot use {boot.name!r} as the name of a guest")
    words = ["console=ttyS0", f"volant.name={boot.name}"]
    if attachment.guest_address is not None:
        words.append(f"volant.ip={_checked(ipaddress.IPv4Interface, attachment.guest_address)}")
    if attachment.gateway is not None:
        words.append(f"volant.gw={_checked(ipaddress.IPv4Address, attachment.gateway)}")
    if attachment.address is not None:
        words.append(f"volant.address={_checked(ipaddress.IPv4Address, attachment.address)}")
    if attachment.forwards:
        words.append(f"volant.port={attachment.forwards[0].guest_port}")
    return words


def _checked(kind: type[ipaddress.IPv4Address], text: str) -> str:
    try:
        return str(kind(text))
    except ValueError as error:
        raise DriverRefused(f"cannot use {text!r} as an IPv4 address") from error
