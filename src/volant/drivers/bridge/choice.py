"""What a VM may ask for on a bridge, and what it gets: pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Uid
from volant.drivers import Attachment, Forward
from volant.drivers.bridge.names import mac_of, tap_name
from volant.drivers.bridge.site import GATEWAY6, Site
from volant.errors import DriverRefused
from volant.model.meta import Misfit
from volant.model.vm import NetworkConfig, NetworkMode


class Offer(Struct, frozen=True, kw_only=True):
    """What this host has to give.

    `foreign`: bridges of others that guests may be attached to. `reserved`: ports of the host that stay its own.
    `first_port`: the lowest that may be published. `mtu` in bytes; None leaves it to the kernel.
    """

    site: Site
    foreign: tuple[str, ...] = ()
    reserved: frozenset[int] = frozenset()
    first_port: int = 1024
    mtu: int | None = None

    def check(self, asked: NetworkConfig) -> None:
        """Raise Misfit, with the path below `/network`, for what no VM can be given."""
        mode = asked.mode or "bridge"
        if mode == "dhcp":
            self._check_dhcp(asked)
            return
        if asked.bridge_name not in (None, self.site.bridge):
            raise Misfit("/bridge_name", f"with the mode 'bridge' it is '{self.site.bridge}', or left out")
        if isinstance(asked.egress, tuple):
            _check_networks(asked.egress)
        for at, said in enumerate(asked.publish):
            if said.host_port < self.first_port:
                message = f"expected {self.first_port} or more: lower ports are the host's own"
                raise Misfit(f"/publish/{at}/host_port", message)
            if said.host_port in self.reserved:
                raise Misfit(f"/publish/{at}/host_port", f"{said.host_port} is a port of Volant itself")

    def attachment(self, uid: Uid, address: str | None, ports: tuple[int, ...], asked: NetworkConfig) -> Attachment:
        """How that VM is attached. DriverRefused where it cannot be."""
        mode = asked.mode or "bridge"
        if mode == "dhcp":
            return self._by_dhcp(uid, asked)
        if address is None or ipaddress.IPv4Address(address) not in ipaddress.IPv4Network(self.site.pool):
            raise DriverRefused(f"cannot attach a VM with the address {address} to {self.site.bridge}: not of its pool")
        published = [
            Forward(host_address=said.host_ip, host_port=said.host_port, guest_port=said.guest_port)
            for said in asked.publish
        ]
        at_itself = [Forward(host_address=address, host_port=port, guest_port=port) for port in dict.fromkeys(ports)]
        return replace(
            self._at(uid, mode, self.site.bridge),
            address=address,
            guest_address=f"{address}/{ipaddress.IPv4Network(self.site.pool).prefixlen}",
            gateway=self.site.gateway,
            guest_address6=self._address6(address),
            gateway6=GATEWAY6 if self.site.pool6 is not None else None,
            dns=self.site.dns,
            egress=asked.egress if asked.egress is not None else "public",
            forwards=(*at_itself, *published),
        )

    def foreign_bridge(self, asked: NetworkConfig) -> str | None:
        """The bridge that a VM of mode dhcp is attached to; None when nobody has allowed it."""
        if asked.bridge_name is None:
            return self.foreign[0] if len(self.foreign) == 1 else None
        return asked.bridge_name if asked.bridge_name in self.foreign else None

    def _by_dhcp(self, uid: Uid, asked: NetworkConfig) -> Attachment:
        bridge = self.foreign_bridge(asked)
        if bridge is None:
            raise DriverRefused(f"cannot attach a VM to the bridge {asked.bridge_name}: {_allowed(self.foreign)}")
        return replace(self._at(uid, "dhcp", bridge), egress="all")

    def _at(self, uid: Uid, mode: NetworkMode, bridge: str) -> Attachment:
        return Attachment(mode=mode, mac=mac_of(uid), mtu=self.mtu, bridge=bridge, tap=tap_name(uid))

    def _address6(self, address: str) -> str | None:
        """The same place in the IPv6 pool that the address has in the IPv4 one."""
        if self.site.pool6 is None:
            return None
        at = int(ipaddress.IPv4Address(address)) - int(ipaddress.IPv4Network(self.site.pool).network_address)
        return f"{ipaddress.IPv6Network(self.site.pool6)[at]}/128"

    def _check_dhcp(self, asked: NetworkConfig) -> None:
        if self.foreign_bridge(asked) is None:
            raise Misfit("/bridge_name", _allowed(self.foreign))
        if asked.egress not in (None, "all"):
            raise Misfit("/egress", "with the mode 'dhcp' a VM is a machine of the LAN, whose rules apply: 'all' only")
        if asked.publish:
            raise Misfit("/publish", "with the mode 'dhcp' a VM is reached at its own address in the LAN")


def _allowed(foreign: Collection[str]) -> str:
    if not foreign:
        return "no bridge is allowed; start the daemon with --bridge-allow NAME"
    return f"expected one of the bridges that are allowed: {', '.join(sorted(foreign))}"


def _check_networks(cidrs: tuple[str, ...]) -> None:
    for at, cidr in enumerate(cidrs):
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            raise Misfit(f"/egress/{at}", f"expected a network without host bits: {error}") from None
