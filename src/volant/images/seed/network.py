"""The guest's network as cloud-init is told it: ours, or the user's own where it claims nothing that is another's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, Final, Protocol

from volant.errors import ArtifactRefused
from volant.images.seed import plain_yaml

NIC: Final = "eth0"


class Attached(Protocol):
    """How a VM is on the network: the part of an attachment that the guest is told."""

    @property
    def mode(self) -> str:
        """user, bridge, dhcp or none."""

    @property
    def mac(self) -> str | None:
        """The address of its only card."""

    @property
    def guest_address(self) -> str | None:
        """IPv4, with prefix."""

    @property
    def gateway(self) -> str | None:
        """Its way out."""

    @property
    def guest_address6(self) -> str | None:
        """IPv6, with prefix."""

    @property
    def gateway6(self) -> str | None:
        """Its way out."""

    @property
    def dns(self) -> tuple[str, ...]:
        """The name servers."""

    @property
    def mtu(self) -> int | None:
        """The largest packet."""


def described(attachment: Attached) -> dict[str, Any]:
    """The network-config, version 2, that says of the attachment what the kernel command line says to our init."""
    if attachment.mode == "none":
        return {"version": 2, "ethernets": {}}
    card: dict[str, Any] = {}
    if attachment.mac is not None:
        card |= {"match": {"macaddress": attachment.mac}, "set-name": NIC}
    if attachment.mtu is not None:
        card["mtu"] = attachment.mtu
    if attachment.mode == "dhcp":
        card["dhcp4"] = True
    else:
        card |= _static(attachment)
    return {"version": 2, "ethernets": {NIC: card}}


def check(text: str, attachment: Attached) -> None:
    """Raises ArtifactRefused for a network-config that cannot be read or claims a foreign address (E4).

    The bridge drops what a guest sends from addresses that are not its own. This is to say so before it starts.
    """
    try:
        config = plain_yaml.read(text)
    except ValueError as error:
        raise ArtifactRefused(f"cannot use cloud_init.network_config: {error}") from None
    own = {_ip(address) for address in (attachment.guest_address, attachment.guest_address6) if address is not None}
    for kind, claimed in _claims(config):
        if kind == "mac" and claimed.lower() != (attachment.mac or "").lower():
            raise ArtifactRefused("cannot use cloud_init.network_config: it names a MAC address that is not the VM's")
        if kind == "ip" and _ip(claimed) not in own:
            raise ArtifactRefused(
                "cannot use cloud_init.network_config: it claims an address that is not the VM's own"
                + (f" ({', '.join(sorted(own))})" if own else "")
            )


def _static(attachment: Attached) -> dict[str, Any]:
    said: dict[str, Any] = {"dhcp4": False, "dhcp6": False}
    addresses = [address for address in (attachment.guest_address, attachment.guest_address6) if address is not None]
    if addresses:
        said["addresses"] = addresses
    if attachment.gateway is not None:
        said["routes"] = [{"to": "0.0.0.0/0", "via": attachment.gateway}]
    if attachment.gateway6 is not None:
        # Not a route to ::/0, of which cloud-init makes one to ::/64.
        said["gateway6"] = attachment.gateway6
    if attachment.dns:
        said["nameservers"] = {"addresses": list(attachment.dns)}
    return said


def _claims(value: object) -> Iterator[tuple[str, str]]:
    """Every address that a config of either version gives to a card, as ("mac" | "ip", text)."""
    if isinstance(value, list):
        for item in value:
            yield from _claims(item)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key in ("macaddress", "mac_address"):
            yield "mac", str(inner)
        elif key in ("addresses", "address") and value.get("type") != "nameserver":
            yield from (("ip", text) for text in _texts(inner))
        elif key != "nameservers":
            yield from _claims(inner)


def _texts(value: object) -> list[str]:
    # One address, a list of them, or of mappings from an address to what else is said of it.
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [str(key) for key in value] if isinstance(value, dict) else [str(value)]


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_interface(text).ip)
    except ValueError:
        return ""
