"""Which addresses may be asked for an artifact."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.addresses import is_allowed, is_public, parse, resolve, vet

NOT_PUBLIC = [
    *("127.0.0.1", "127.88.0.10", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "198.18.0.1", "198.51.100.7", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.0.2.1", "192.88.99.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1"),
    *("2002:7f00:1::", "2001::7f00:1", "100::1", "5f00::1", "3fff::1", "64:ff9b:1::a00:1"),
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.15.0.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00::1",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_that_only_this_host_or_its_neighbours_reach_is_not_public(text: str) -> None:
    """D2"""
    assert not is_public(parse(text))


@pytest.mark.parametrize("text", [*PUBLIC, "::ffff:8.8.8.8"])
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(parse(text))


@given(st.ip_addresses())
def test_what_python_knows_to_be_private_is_never_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """D2"""
    special = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    assert not (special and is_public(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_ipv6_clothes_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    """D2"""
    assert is_public(ipaddress.IPv6Address(f"::ffff:{address}")) == is_public(address)


@pytest.mark.parametrize(
    ("host", "address", "allow", "expected"),
    [
        ("files.test", "10.0.0.1", ["files.test"], True),
        ("FILES.test.", "10.0.0.1", ["files.TEST"], True),
        ("evil-files.test", "10.0.0.1", ["files.test"], False),
        ("x.test", "127.88.0.1", ["127.0.0.0/8"], True),
        ("x.test", "127.0.0.1", ["127.0.0.1"], True),
        ("x.test", "127.0.0.2", ["127.0.0.1"], False),
        ("x.test", "::ffff:127.0.0.1", ["127.0.0.0/8"], True),
        ("x.test", "::1", ["127.0.0.0/8", "::1"], True),
        ("x.test", "::1", ["127.0.0.0/8"], False),
        ("x.test", "10.1.2.3", [], False),
    ],
)
def test_the_operator_allows_by_name_address_or_network(
    host: str, address: str, allow: list[str], expected: bool
) -> None:
    assert is_allowed(host, parse(address), allow) is expected


def answering(*addresses: str) -> object:
    """A resolver that knows one answer."""

    async def resolver(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolver


async def test_every_public_address_may_be_tried_in_its_order() -> None:
    assert await vet("x.test", 80, [], answering("8.8.8.8", "1.1.1.1")) == ["8.8.8.8", "1.1.1.1"]  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]])
async def test_one_private_address_among_the_answers_is_enough_to_refuse(answer: list[str]) -> None:
    """D3"""
    with pytest.raises(ArtifactRefused, match=r"cannot fetch from x\.test: it is not a public address") as refused:
        await vet("x.test", 80, [], answering(*answer))  # type: ignore[arg-type]
    assert not any(address in str(refused.value) for address in answer)


@pytest.mark.parametrize("answer", [[], ["nonsense"]])
async def test_a_name_without_an_address_is_worth_another_try(answer: list[str]) -> None:
    with pytest.raises(ArtifactUnavailable, match="cannot find the address"):
        await vet("x.test", 80, [], answering(*answer))  # type: ignore[arg-type]


async def test_a_resolver_that_fails_is_worth_another_try() -> None:
    async def failing(host: str, port: int) -> list[str]:
        raise OSError("name or service not known")

    with pytest.raises(ArtifactUnavailable):
        await vet("x.test", 80, [], failing)


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1"])
async def test_the_resolver_sees_through_odd_spellings_of_loopback(spelling: str) -> None:
    """D2"""
    with pytest.raises(ArtifactRefused):
        await vet(spelling, 80, [], resolve)
