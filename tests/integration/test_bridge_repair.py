"""What somebody takes away by hand is noticed and put back within a second; what is not ours stays as it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.builders.bridge_world import BRIDGE, GATEWAY, a_network, attached, sh
from tests.builders.netns import in_a_namespace

from volant import config
from volant.clock import SystemClock, Uid
from volant.daemon.parts import _network
from volant.drivers import Attachment, tap
from volant.drivers.bridge import BridgeNetwork
from volant.drivers.bridge.names import tap_name
from volant.drivers.bridge.teardown import look
from volant.errors import DriverRefused, DriverUnavailable
from volant.model.vm import Publish

UID = Uid("web-1")
WITHIN_S = 1.0


@contextlib.asynccontextmanager
async def a_keeper(network: BridgeNetwork, *attachments: tuple[Uid, Attachment]) -> AsyncIterator[list[Uid]]:
    """Somebody who does what the network controller does: looks at whoever the watch names, and repairs."""
    wanted = dict(attachments)
    told: list[Uid] = []

    async def keep() -> None:
        async for uid in network.watch():
            if uid is not None:
                told.append(uid)
                await network.ensure(uid, wanted[uid])

    keeping = asyncio.create_task(keep())
    await asyncio.sleep(0.1)
    yield told
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


@in_a_namespace
async def test_whatever_is_taken_away_by_hand_is_back_within_a_second(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    publish = (Publish(guest_port=80, host_port=8080),)
    attachment = await attached(network, UID, "10.127.0.5", publish=publish)
    name = attachment.tap
    took: dict[str, float] = {}
    async with a_keeper(network, (UID, attachment)):
        for harm in (
            f"ip link del {name}",
            f"ip link set {name} down",
            f"ip link set {name} nomaster",
            f"ip link set {name} group 0",
            f"bridge link set dev {name} isolated off",
            f"ip addr flush dev {BRIDGE}",
            f"ip link set {BRIDGE} down",
            f"ip link del {BRIDGE}",
            "nft delete table inet volant",
            "nft delete table bridge volant",
            "nft flush ruleset",
            f"nft flush chain bridge volant {name}",
            f"nft flush chain inet volant {name}p",
            f"nft delete element bridge volant taps '{{ {name} }}'",
            "nft delete element inet volant egress '{ 10.127.0.5 }'",
            "nft delete element inet volant published '{ 127.0.0.1 . 8080 }'",
            "nft insert rule inet volant to_host accept",
            "nft flush chain inet volant postrouting",
        ):
            sh(harm)
            began = time.monotonic()
            assert not await network.is_attached(UID, attachment), harm
            async with asyncio.timeout(10):
                while not await network.is_attached(UID, attachment):
                    await asyncio.sleep(0.01)
            took[harm] = time.monotonic() - began
    await network.close()
    assert max(took.values()) < WITHIN_S, took


@in_a_namespace
async def test_a_fresh_driver_finds_all_in_order_and_changes_nothing(tmp_path: Path) -> None:
    """A daemon that was restarted: one look, no commit of rules, no change of a link."""
    first = a_network(tmp_path)
    attachment = await attached(first, UID, "10.127.0.5")
    await first.close()
    before = sh("nft -a list ruleset; ip link")
    second = a_network(tmp_path)
    assert await second.observe() == [UID]
    assert await second.is_attached(UID, attachment)
    await second.ensure(UID, attachment)
    assert sh("nft -a list ruleset; ip link") == before
    await second.close()


@in_a_namespace
async def test_the_watch_is_silent_about_changes_that_are_not_ours(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    attachment = await attached(network, UID, "10.127.0.5")
    async with a_keeper(network, (UID, attachment)) as told:
        sh("ip link add other type bridge; ip link set other up; ip addr add 192.168.9.1/24 dev other")
        sh("nft add table inet theirs; nft add chain inet theirs c; nft add rule inet theirs c accept")
        sh("ip link del other; nft delete table inet theirs")
        await asyncio.sleep(0.3)
        assert told == []
    await network.close()


@in_a_namespace
async def test_rules_of_others_are_left_alone(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    sh("nft add table inet theirs; nft add chain inet theirs c; nft add rule inet theirs c counter accept")
    before = sh("nft list table inet theirs")
    await attached(network, UID, "10.127.0.5")
    await network.ensure_absent(UID)
    assert sh("nft list table inet theirs") == before
    await network.close()


@in_a_namespace
async def test_a_bridge_of_another_with_our_name_is_refused_and_left_alone(tmp_path: Path) -> None:
    sh(f"ip link add {BRIDGE} type bridge; ip addr add 192.168.9.1/24 dev {BRIDGE}; ip link set {BRIDGE} up")
    before = sh(f"ip addr show {BRIDGE} | grep -v valid_lft; ip link show {BRIDGE}")
    network = a_network(tmp_path)
    attachment = network.attachment(UID, "10.127.0.5", ())
    with pytest.raises(DriverRefused, match=rf"cannot use {BRIDGE}: there is an interface of that name that Volant"):
        await network.ensure(UID, attachment)
    assert not await network.is_attached(UID, attachment)
    await network.ensure_absent(UID)
    assert sh(f"ip addr show {BRIDGE} | grep -v valid_lft; ip link show {BRIDGE}") == before
    assert sh("ip -o link | wc -l").strip() == "2"
    await network.close()


@in_a_namespace
async def test_a_tap_of_another_with_our_name_is_refused_and_left_alone(tmp_path: Path) -> None:
    name = tap_name(UID)
    sh(f"ip tuntap add {name} mode tap; ip link set {name} alias theirs")
    network = a_network(tmp_path)
    with pytest.raises(DriverRefused, match=f"cannot use {name}: Volant has not made it"):
        await network.ensure(UID, network.attachment(UID, "10.127.0.5", ()))
    await network.ensure_absent(UID)
    assert "theirs" in sh(f"ip link show {name}")
    assert "master" not in sh(f"ip link show {name}")
    await network.close()


@in_a_namespace
async def test_what_belongs_to_another_data_directory_is_not_ours(tmp_path: Path) -> None:
    """Two daemons on one host: each sees its own VMs, and the second needs a bridge of its own."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = a_network(tmp_path / "a"), a_network(tmp_path / "b")
    await attached(one, UID, "10.127.0.5")
    with pytest.raises(DriverRefused, match="cannot use volbr0"):
        await other.ensure(Uid("x"), other.attachment(Uid("x"), "10.127.0.6", ()))
    third = a_network(tmp_path / "b", bridge="volbr1", pool="10.128.0.0/22")
    await attached(third, Uid("y"), "10.128.0.6")
    assert (await one.observe(), await third.observe()) == ([UID], [Uid("y")])
    await third.ensure_absent(UID)
    assert await one.is_attached(UID, one.attachment(UID, "10.127.0.5", (80,)))
    for network in (one, other, third):
        await network.close()


@in_a_namespace
async def test_another_subnet_is_refused_while_vms_are_on_the_bridge(tmp_path: Path) -> None:
    """The network of guests that run is not pulled from under them; with none it is as the settings say."""
    network = a_network(tmp_path)
    await attached(network, UID, "10.127.0.5")
    renumbered = a_network(tmp_path, pool="10.99.0.0/24")
    wanted = renumbered.attachment(Uid("b"), "10.99.0.5", ())
    with pytest.raises(DriverRefused, match=r"cannot give volbr0 the pool 10.99.0.0/24: it has 10.127.0.1/22 and 1 VM"):
        await renumbered.ensure(Uid("b"), wanted)
    assert f"{GATEWAY}/22" in sh(f"ip -br addr show {BRIDGE}")
    await network.ensure_absent(UID)
    await renumbered.ensure(Uid("b"), wanted)
    addresses = sh(f"ip -br addr show {BRIDGE}")
    assert "10.99.0.1/24" in addresses
    assert GATEWAY not in addresses
    await network.close()
    await renumbered.close()


SEEN = "nft list ruleset; ip -br link | cut -d@ -f1; ip -br addr"


@in_a_namespace
async def test_another_name_for_the_bridge_is_refused_while_the_old_one_is_there(tmp_path: Path) -> None:
    """Guests on the old one would be nobody's, and two bridges have the same pool."""
    network = a_network(tmp_path)
    await attached(network, UID, "10.127.0.5")
    before = sh(SEEN)
    renamed = a_network(tmp_path, bridge="volbr1")
    with pytest.raises(
        DriverRefused, match=r"cannot make volbr1: this data directory has the bridge volbr0\. Go back to"
    ):
        await renamed.ensure(Uid("b"), renamed.attachment(Uid("b"), "10.127.0.6", ()))
    assert sh(SEEN) == before
    sh(f"ip link del {BRIDGE}; ip link del {tap_name(UID)}")
    await attached(renamed, "b", "10.127.0.6")
    for one in (network, renamed):
        await one.close()


@in_a_namespace
async def test_a_pool_that_another_interface_overlaps_is_refused(tmp_path: Path) -> None:
    """A LAN of the host's, or the bridge of another daemon; once guests may be on ours, who comes later has to move."""
    network = a_network(tmp_path, pool6="fd00:77::/64")
    sh("ip link add br9 type bridge; ip link set br9 up")
    for address in ("10.127.2.9/24", "10.1.2.3/8", "10.127.0.77/32", "fd00:77::9/48"):
        sh(f"ip addr add {address} dev br9 nodad")
        before = sh(SEEN)
        with pytest.raises(
            DriverRefused, match=rf"cannot give volbr0 the pool 10.127.0.0/22: br9 has {address}, which"
        ):
            await attached(network, UID, "10.127.0.5")
        assert sh(SEEN) == before
        sh(f"ip addr del {address} dev br9")
    sh("ip addr add 10.126.0.1/16 dev br9")
    attachment = await attached(network, UID, "10.127.0.5")
    sh(f"ip addr add 10.127.2.9/24 dev br9; ip link set {BRIDGE} down; ip link del {attachment.tap}")
    await attached(network, UID, "10.127.0.5")
    (tmp_path / "b").mkdir()
    other = a_network(tmp_path / "b", bridge="volbr1", pool="10.127.0.0/16")
    with pytest.raises(DriverRefused, match="cannot give volbr1 the pool"):
        await attached(other, "b", "10.127.0.6")
    for one in (network, other):
        await one.close()


@in_a_namespace
async def test_a_vm_that_is_gone_is_not_looked_at_again_because_somebody_asked_late(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    attachment = await attached(network, UID, "10.127.0.5")
    await network.ensure_absent(UID)
    assert not await network.is_attached(UID, attachment)
    assert network._wanted == {}
    await network.ensure(UID, attachment)
    second = a_network(tmp_path)
    assert await second.is_attached(UID, attachment)
    assert second._wanted == {UID: attachment}
    for one in (network, second):
        await one.close()


@in_a_namespace
async def test_bridge_and_taps_have_the_mtu_that_is_asked_for(tmp_path: Path) -> None:
    for mtu in (1280, 65521):
        network = a_network(tmp_path, mtu=mtu)
        attachment = await attached(network, UID, "10.127.0.5")
        assert attachment.mtu == mtu
        for name in (BRIDGE, attachment.tap):
            assert f" mtu {mtu} " in sh(f"ip link show {name}")
        await network.close()
    for asked, told in (("1400", 1400), ("0", None)):
        settings = config.load({"network": "bridge", "bridge_mtu": asked, "data_dir": str(tmp_path)}, {}, uid=0)
        made = _network(settings, SystemClock(), 0)
        assert made.attachment(UID, "10.127.0.5", ()).mtu == told
        await made.close()


@in_a_namespace
async def test_without_the_right_to_ask_for_rules_the_error_says_what_it_needs(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    await network.observe()  # with the right, which also loads what others may not read
    os.seteuid(65534)
    try:
        with pytest.raises(DriverUnavailable, match=r"cannot ask for the rules: .*It needs root or CAP_NET_ADMIN"):
            await network.observe()
    finally:
        os.seteuid(0)
        await network.close()


@in_a_namespace
async def test_a_foreign_bridge_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    network = a_network(tmp_path, allow=("br9",))
    with pytest.raises(DriverUnavailable, match="there is no bridge br9"):
        await attached(network, UID, None, mode="dhcp")
    sh("ip link add br9 type bridge")
    await attached(network, UID, None, mode="dhcp")
    assert "master br9" in sh(f"ip link show {tap_name(UID)}")
    await network.close()


@pytest.mark.gate
@in_a_namespace
async def test_two_hundred_vms_come_and_go_and_leave_nothing(tmp_path: Path) -> None:
    """F7: no tap, no rule, no element."""
    network = a_network(tmp_path)
    await attached(network, "first", "10.127.3.250")
    links, rules = sh("ip -o link | wc -l"), sh("nft list ruleset | sed s/counter.*drop/drop/")
    publish = (Publish(guest_port=80, host_port=9000),)
    began = time.monotonic()
    for number in range(200):
        more = {"publish": publish} if number == 0 else {}
        attachment = network.attachment(Uid(f"vm-{number}"), f"10.127.1.{number}", (80,))
        if more:
            attachment = await attached(network, f"vm-{number}", f"10.127.1.{number}", **more)
        await network.ensure(Uid(f"vm-{number}"), attachment)
    made = time.monotonic()
    assert len(await network.observe()) == 201
    looked = time.monotonic()
    assert await network.is_attached(Uid("vm-199"), network.attachment(Uid("vm-199"), "10.127.1.199", (80,)))
    asked = time.monotonic()
    for number in range(200):
        await network.ensure_absent(Uid(f"vm-{number}"))
    gone = time.monotonic()
    print(
        f"200 made in {made - began:.2f} s, observed in {looked - made:.3f} s, one asked in {asked - looked:.4f} s,"
        f" removed in {gone - asked:.2f} s"
    )
    assert await network.observe() == [Uid("first")]
    assert sh("ip -o link | wc -l") == links
    assert sh("nft list ruleset | sed s/counter.*drop/drop/") == rules
    found = await look(BRIDGE, network._marks.owner)
    assert [one.uid for one in found.taps] == ["first"]
    await network.close()


@in_a_namespace
async def test_forwarding_is_turned_on_and_the_mark_says_that_it_was_us(tmp_path: Path) -> None:
    assert sh("cat /proc/sys/net/ipv4/ip_forward").strip() == "0"
    network = a_network(tmp_path)
    await attached(network, UID, "10.127.0.5")
    assert sh("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
    assert (await look(BRIDGE, network._marks.owner)).has_set_forwarding
    sh("sysctl -q -w net.ipv4.ip_forward=0")
    assert not await network.is_attached(UID, network.attachment(UID, "10.127.0.5", (80,)))
    await network.close()


@in_a_namespace
async def test_a_bridge_that_was_made_and_not_yet_marked_is_ours(tmp_path: Path) -> None:
    """R1: the daemon died in between; its successor knows the bridge by its MAC and goes on."""
    network = a_network(tmp_path)
    mac = network._marks.bridge_mac(BRIDGE)
    sh(f"ip link add {BRIDGE} address {mac} type bridge")
    attachment = await attached(network, UID, "10.127.0.5")
    assert await network.is_attached(UID, attachment)
    assert "alias volant:" in sh(f"ip link show {BRIDGE}")
    await network.close()


@in_a_namespace
async def test_a_tap_that_its_maker_did_not_live_to_mark_is_gone(tmp_path: Path) -> None:
    """R1: a tap lives no longer than who makes it until it carries our mark."""
    name = tap_name(UID)
    descriptor = tap.new_tap(name)
    assert name in sh("ip -br link")
    os.close(descriptor)
    assert name not in sh("ip -br link")
    with pytest.raises(FileNotFoundError):
        tap.open_tap(name)
    network = a_network(tmp_path)
    await attached(network, UID, "10.127.0.5")
    with pytest.raises(FileExistsError):
        tap.new_tap(name)
    held = tap.open_tap(name)
    with pytest.raises(OSError, match="busy"):
        tap.open_tap(name)
    os.close(held)
    await network.close()
