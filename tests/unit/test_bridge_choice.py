"""What a VM may ask of a bridge, what it gets, and what that is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from volant.clock import Uid
from volant.drivers import Forward
from volant.drivers.bridge.choice import Offer
from volant.drivers.bridge.names import Marks, mac_of, owner_of, table_of, tap_name
from volant.drivers.bridge.site import Site
from volant.errors import DriverRefused
from volant.model.meta import Misfit
from volant.model.vm import NetworkConfig, Publish

UID = Uid("a" * 32)
SITE = Site(table="volant", bridge="volbr0", pool="10.127.0.0/22", pool6="fd00:77::/64", dns=("9.9.9.9",))
OFFER = Offer(site=SITE, foreign=("br9",), reserved=frozenset({8080}), mtu=1400)


def config(**asked: Any) -> NetworkConfig:
    return NetworkConfig(**asked)


def test_a_vm_on_our_bridge_is_told_all_of_its_network() -> None:
    publish = (Publish(guest_port=80, host_port=9090),)
    got = OFFER.attachment(UID, "10.127.1.2", (80, 443), config(publish=publish))
    assert (got.mode, got.bridge, got.tap, got.mtu) == ("bridge", "volbr0", tap_name(UID), 1400)
    assert (got.address, got.guest_address, got.gateway) == ("10.127.1.2", "10.127.1.2/22", "10.127.0.1")
    assert (got.guest_address6, got.gateway6) == ("fd00:77::102/128", "fe80::1")
    assert (got.dns, got.egress, got.mac) == (("9.9.9.9",), "public", mac_of(UID))
    assert got.forwards == (
        Forward(host_address="10.127.1.2", host_port=80, guest_port=80),
        Forward(host_address="10.127.1.2", host_port=443, guest_port=443),
        Forward(host_address="127.0.0.1", host_port=9090, guest_port=80),
    )


def test_a_vm_in_a_lan_has_the_address_that_the_lan_gives_it() -> None:
    for asked in (config(mode="dhcp"), config(mode="dhcp", bridge_name="br9")):
        got = OFFER.attachment(UID, None, (80,), asked)
        assert (got.bridge, got.address, got.guest_address, got.forwards) == ("br9", None, None, ())


@pytest.mark.parametrize("address", [None, "10.99.0.5"])
def test_without_an_address_of_the_pool_nobody_is_attached(address: str | None) -> None:
    with pytest.raises(DriverRefused, match="not of its pool"):
        OFFER.attachment(UID, address, (), config())


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (config(bridge_name="br9"), "/bridge_name"),
        (config(mode="dhcp", bridge_name="eth-bridge"), "/bridge_name"),
        (config(mode="dhcp", egress="public"), "/egress"),
        (config(mode="dhcp", publish=(Publish(guest_port=80, host_port=9090),)), "/publish"),
        (config(egress=("10.0.0.0/8", "10.0.0.1/8")), "/egress/1"),
        (config(egress=("999.0.0.0/8",)), "/egress/0"),
        (
            config(publish=(Publish(guest_port=80, host_port=9090), Publish(guest_port=80, host_port=80))),
            "/publish/1/host_port",
        ),
        (config(publish=(Publish(guest_port=80, host_port=8080),)), "/publish/0/host_port"),
    ],
)
def test_what_cannot_be_had_is_said_with_its_path(asked: NetworkConfig, path: str) -> None:
    """F4: privileged ports and the API's own; B7: bridges are those that were allowed."""
    with pytest.raises(Misfit) as caught:
        OFFER.check(asked)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "asked",
    [
        config(),
        config(mode="bridge", bridge_name="volbr0", egress=("10.0.0.0/8", "fd00::/8")),
        config(mode="dhcp", egress="all"),
        config(egress="deny", publish=(Publish(guest_port=80, host_port=9090, host_ip="0.0.0.0"),)),
    ],
)
def test_what_can_be_had_is_not_refused(asked: NetworkConfig) -> None:
    OFFER.check(asked)


def test_of_two_foreign_bridges_one_has_to_be_named() -> None:
    offer = Offer(site=SITE, foreign=("br8", "br9"))
    with pytest.raises(Misfit, match="br8, br9"):
        offer.check(config(mode="dhcp"))
    offer.check(config(mode="dhcp", bridge_name="br8"))


def test_names_fit_and_are_the_same_for_ever() -> None:
    assert tap_name(Uid("web")) == tap_name(Uid("web")) != tap_name(Uid("web2"))
    assert len(tap_name(Uid("x" * 64))) == 14
    first = int(mac_of(UID).split(":")[0], 16)
    assert first & 0b11 == 0b10, "locally administered, and no group"


def test_marks_are_known_again_and_those_of_others_are_not() -> None:
    marks, others = Marks("abcd1234"), Marks("ffff0000")
    assert marks.uid(marks.tap(UID)) == UID
    assert [marks.uid(alias) for alias in (others.tap(UID), None, "", "volant:abcd1234", "uplink")] == [None] * 5
    for has_set in (True, False):
        alias = marks.bridge(has_set_forwarding=has_set)
        assert marks.is_bridge(alias)
        assert not others.is_bridge(alias)
        assert marks.has_set_forwarding(alias) is has_set
    assert not marks.is_bridge(None)
    assert not marks.is_bridge(marks.tap(UID))


def test_a_second_bridge_has_tables_of_its_own(tmp_path: Path) -> None:
    assert (table_of("volbr0"), table_of("volbr1")) == ("volant", "volant-volbr1")
    assert owner_of(tmp_path / "a") != owner_of(tmp_path / "b")
    assert owner_of(tmp_path / "a") == owner_of(tmp_path / "b" / ".." / "a")
