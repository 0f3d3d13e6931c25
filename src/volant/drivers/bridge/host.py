"""What a host has to have, and the switches of its kernel that a routed bridge needs.

    net.ipv4.ip_forward                1   guests reach anything but the host at all
    net.ipv6.conf.all.forwarding       1   the same, only when guests have IPv6 addresses
    net.ipv4.conf.<bridge>.
        proxy_arp_pvlan                1   the host answers for one guest to another, isolated ports
        route_localnet                 1   ports published on 127.0.0.1 lead somewhere
    net.ipv4.neigh.<bridge>.
        proxy_delay                    0   nor does it let them wait for the answer
    net.ipv6.conf.<bridge>.accept_dad  0   its own addresses are good at once: nobody else can have them

Those with the bridge's name go with the bridge. The first is noted in the bridge's mark, when it was us who set it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from volant.drivers import tap
from volant.drivers.bridge.nft import NFT, PACKAGE
from volant.errors import DriverUnavailable, StartupError

FORWARD4 = "ipv4/ip_forward"
FORWARD6 = "ipv6/conf/all/forwarding"

_SYSCTL = Path("/proc/sys/net")
_CAP_NET_ADMIN = 1 << 12
_CHECK_S = 10.0
_NOTHING = '{"nftables":[{"metainfo":{"json_schema_version":1}}]}'


def require_host() -> None:
    """Raise StartupError, with what to install or to allow, where no bridge network can be made."""
    _require_nft()
    if not _capabilities() & _CAP_NET_ADMIN:
        raise StartupError("cannot make a bridge network: it needs CAP_NET_ADMIN. Start as root, or use --network user")
    try:
        os.close(os.open(tap.DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise StartupError(
            f"cannot make taps: {tap.DEVICE}: {error.strerror}. Load the kernel module tun, or use --network user"
        ) from error


def switches(bridge: str, *, has_v6: bool) -> dict[str, str]:
    """What has to be set, below /proc/sys/net."""
    conf = f"ipv4/conf/{bridge}"
    wanted = {
        FORWARD4: "1",
        f"{conf}/forwarding": "1",
        f"{conf}/proxy_arp_pvlan": "1",
        f"ipv4/neigh/{bridge}/proxy_delay": "0",
        f"{conf}/route_localnet": "1",
    }
    conf6 = f"ipv6/conf/{bridge}"
    return wanted | ({FORWARD6: "1", f"{conf6}/accept_ra": "0", f"{conf6}/accept_dad": "0"} if has_v6 else {})


def are_set(wanted: dict[str, str]) -> bool:
    """Whether every switch stands as wanted."""
    return all(is_set(name, value) for name, value in wanted.items())


def is_set(name: str, value: str) -> bool:
    """Whether one does. A switch that is not there is not set."""
    try:
        return (_SYSCTL / name).read_text().strip() == value
    except OSError:
        return False


def turn(name: str, value: str) -> None:
    """Set a switch unless it stands so. DriverUnavailable when it cannot be."""
    if is_set(name, value):
        return
    try:
        (_SYSCTL / name).write_text(value)
    except OSError as error:
        dotted = f"net.{name.replace('/', '.')}"
        raise DriverUnavailable(f"cannot set {dotted} to {value}: {error.strerror}") from error


def silence(tap_: str) -> None:
    """Let a port have no IPv6 address of its own, where the kernel has IPv6: it would speak to its guest with it."""
    with contextlib.suppress(OSError):
        (_SYSCTL / f"ipv6/conf/{tap_}/disable_ipv6").write_text("1")


def _require_nft() -> None:
    program = shutil.which(NFT)
    if program is None:
        raise StartupError(f"cannot make a bridge network: there is no {NFT}. Install {PACKAGE}, or use --network user")
    tried = subprocess.run(
        [program, "--check", "-j", "-f", "-"],
        input=_NOTHING,
        capture_output=True,
        text=True,
        timeout=_CHECK_S,
        check=False,
    )
    if "JSON" in tried.stderr:
        raise StartupError(
            f"cannot make a bridge network: {program} was built without JSON. Install {PACKAGE} 0.9.1 or later"
        )


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
