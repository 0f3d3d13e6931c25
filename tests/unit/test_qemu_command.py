"""The command line of a QEMU is a pure function of what should boot."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.qemu_guests import NO_NETWORK, a_boot

from volant.clock import Uid
from volant.drivers import Attachment, Boot, Forward
from volant.drivers.qemu.cmdline import kernel_cmdline
from volant.drivers.qemu.command import Files, Sockets, argv, mark
from volant.drivers.user import UserNetwork
from volant.errors import DriverRefused

UID = Uid("0123456789abcdef0123456789abcdef")
SOCKETS = Sockets(qmp=10, monitor=11, console=12, agent=13)
FILES = Files(console_log="/proc/self/fd/14", kernel="/proc/self/fd/15", initramfs="/proc/self/fd/16")


def an_attachment(*ports: int, address: str = "127.88.0.10") -> Attachment:
    return UserNetwork(first_unprivileged=1024).attachment(UID, address, ports)


def words(boot: Boot | None = None, **other: Any) -> list[str]:
    given: dict[str, Any] = {"qemu": "qemu", "mark": mark("abcd", UID), "accelerator": "tcg", "sockets": SOCKETS}
    boot = boot or a_boot(UID, Path("/k"), attachment=an_attachment(8080))
    return argv(boot, **{**given, "files": FILES, **other})


def after(line: list[str], option: str) -> list[str]:
    return [value for word, value in itertools.pairwise(line) if word == option]


def device(line: list[str], driver: str) -> dict[str, Any]:
    parsed: list[dict[str, Any]] = [json.loads(text) for text in after(line, "-device")]
    return next(one for one in parsed if one["driver"] == driver)


def test_the_sandbox_denies_all_four() -> None:
    """A4"""
    assert after(words(), "-sandbox") == ["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]


def test_nothing_is_there_that_was_not_asked_for() -> None:
    """A12"""
    line = words()
    assert {"-nodefaults", "-no-user-config"} <= set(line)
    assert after(line, "-display") == ["none"]
    assert not {"-monitor", "-vnc", "-usb", "-drive"} & set(line)
    [machine] = after(line, "-machine")
    assert machine == "q35,sata=off,smbus=off,usb=off,vmport=off"


def test_the_name_is_made_from_the_uid_alone() -> None:
    """B9, V15: a name given to QEMU could carry options."""
    boot = a_boot(UID, Path("/k"), name="pretty")
    line = words(boot)
    assert after(line, "-name") == [f"volant-abcd-{UID}"]
    assert [word for word in line if "pretty" in word] == after(line, "-append")


@pytest.mark.parametrize("uid", ["", "a,process=sshd", "../x", "A", "a b", "-a", "a-", "x" * 65, "a\n"])
def test_what_is_no_uid_never_becomes_a_mark(uid: str) -> None:
    with pytest.raises(DriverRefused):
        mark("abcd", Uid(uid))


def test_devices_and_networks_are_json() -> None:
    """B2"""
    line = words()
    assert all(text.startswith("{") for text in (*after(line, "-device"), *after(line, "-netdev")))


def test_each_port_is_forwarded_on_the_address_of_the_vm_alone() -> None:
    line = words(a_boot(UID, Path("/k"), attachment=an_attachment(8080, 9090)))
    [netdev] = [json.loads(text) for text in after(line, "-netdev")]
    assert netdev["hostfwd"] == [
        {"str": "tcp:127.88.0.10:8080-10.0.2.15:8080"},
        {"str": "tcp:127.88.0.10:9090-10.0.2.15:9090"},
    ]


def test_the_guest_reaches_nothing_but_its_clients() -> None:
    """F1"""
    [netdev] = [json.loads(text) for text in after(words(), "-netdev")]
    assert netdev["restrict"] is True
    assert netdev["ipv6"] is False


def test_the_card_has_the_mac_of_the_attachment_and_no_boot_program() -> None:
    attachment = an_attachment(8080)
    card = device(words(a_boot(UID, Path("/k"), attachment=attachment)), "virtio-net-pci")
    assert card["mac"] == attachment.mac
    assert card["romfile"] == ""


def test_without_a_network_there_is_no_card() -> None:
    line = words(a_boot(UID, Path("/k"), attachment=NO_NETWORK))
    assert "-netdev" not in line
    assert not any("virtio-net" in word for word in line)


def test_the_agent_port_has_the_name_that_the_guest_looks_for() -> None:
    port = device(words(), "virtserialport")
    assert port["name"] == "org.volant.agent.0"
    assert port["chardev"] == "agent"


def test_people_have_a_monitor_of_their_own() -> None:
    assert after(words(), "-mon") == ["chardev=qmp,mode=control", "chardev=monitor,mode=readline"]


def test_the_console_log_is_opened_for_appending() -> None:
    """A15: only so can it be cut while QEMU writes."""
    [console] = [text for text in after(words(), "-chardev") if "id=console" in text]
    assert console == "socket,id=console,fd=12,server=on,wait=off,logfile=/proc/self/fd/14,logappend=on"


def test_a_panic_is_told_from_a_shutdown() -> None:
    line = words()
    assert after(line, "-action") == ["panic=exit-failure"]
    assert device(line, "pvpanic")


@pytest.mark.parametrize(("accelerator", "cpu"), [("kvm", "host"), ("tcg", "max")])
def test_the_processor_follows_the_accelerator(accelerator: str, cpu: str) -> None:
    line = words(accelerator=accelerator)
    assert after(line, "-cpu") == [cpu]
    assert after(line, "-accel")[0].split(",")[0] == accelerator


def test_the_guest_gets_the_size_it_was_promised() -> None:
    line = words(a_boot(UID, Path("/k"), memory_mb=200))
    assert after(line, "-m") == ["200M"]
    assert after(line, "-smp") == ["1"]


def test_a_network_that_this_driver_has_not_is_refused() -> None:
    with pytest.raises(DriverRefused, match="bridge"):
        words(a_boot(UID, Path("/k"), attachment=Attachment(mode="bridge")))


@pytest.mark.parametrize(
    "changes",
    [
        {"mac": "52:54:00:12:34:56,romfile=/etc/passwd"},
        {"mac": "nonsense"},
        {"guest_address": "10.0.2.15,hostfwd=tcp::22-:22/24"},
        {"forwards": (Forward(host_address="127.0.0.1,x", host_port=1, guest_port=1),)},
        {"forwards": (Forward(host_address="localhost", host_port=1, guest_port=1),)},
        {"forwards": (Forward(host_address="127.88.0.1", host_port=0, guest_port=1),)},
        {"forwards": (Forward(host_address="127.88.0.1", host_port=1, guest_port=65536),)},
        {"gateway": "10.0.2.2 init=/bin/sh"},
        {"address": "127.88.0.1\ninit=/bin/sh"},
    ],
)
def test_addresses_are_parsed_never_pasted(changes: dict[str, Any]) -> None:
    """B6, B7, V11"""
    with pytest.raises(DriverRefused):
        words(a_boot(UID, Path("/k"), attachment=replace(an_attachment(8080), **changes)))


def test_the_guest_is_told_who_it_is() -> None:
    boot = a_boot(UID, Path("/k"), attachment=an_attachment(80), cmdline="quiet panic=-1")
    assert kernel_cmdline(boot) == (
        "console=ttyS0 volant.name=web-1 volant.ip=10.0.2.15/24 volant.gw=10.0.2.2 volant.address=127.88.0.10"
        " volant.port=80 quiet panic=-1"
    )


def test_the_guest_is_told_all_of_its_network() -> None:
    attachment = Attachment(
        mode="bridge",
        address="10.127.0.5",
        guest_address="10.127.0.5/22",
        gateway="10.127.0.1",
        guest_address6="fd00::5/64",
        gateway6="FD00::1",
        dns=("9.9.9.9", "2620:fe::fe"),
        mtu=1400,
        forwards=(Forward(host_address="10.127.0.5", host_port=80, guest_port=80),),
    )
    assert kernel_cmdline(a_boot(UID, Path("/k"), attachment=attachment)) == (
        "console=ttyS0 volant.name=web-1 volant.ip=10.127.0.5/22 volant.gw=10.127.0.1 volant.ip6=fd00::5/64"
        " volant.gw6=fd00::1 volant.address=10.127.0.5 volant.dns=9.9.9.9,2620:fe::fe volant.mtu=1400 volant.port=80"
    )


def test_a_guest_of_a_network_that_is_not_ours_asks_for_its_address() -> None:
    boot = a_boot(UID, Path("/k"), attachment=Attachment(mode="dhcp", mtu=1500))
    assert kernel_cmdline(boot) == "console=ttyS0 volant.name=web-1 volant.ip=dhcp volant.mtu=1500"


@pytest.mark.parametrize(
    "changes",
    [
        {"guest_address6": "fd00::5/64 init=/bin/sh"},
        {"guest_address6": "fe80::1%a b/64"},
        {"gateway6": "fe80::1%eth0 init=/bin/sh"},
        {"gateway6": "10.0.2.2"},
        {"guest_address6": "10.0.2.15/24"},
        {"dns": ("9.9.9.9", "dns.example")},
        {"dns": ("9.9.9.9,init=/bin/sh",)},
        {"dns": ("fe80::1%x y",)},
        {"mtu": 575},
        {"mtu": 65536},
    ],
)
def test_what_a_guest_is_told_of_its_network_is_parsed(changes: dict[str, Any]) -> None:
    """B6, B7"""
    with pytest.raises(DriverRefused):
        kernel_cmdline(a_boot(UID, Path("/k"), attachment=replace(an_attachment(8080), **changes)))


@pytest.mark.parametrize(
    "cmdline",
    [
        "init=/bin/sh",
        "quiet rdinit=/bin/sh",
        "volant.name=other",
        "ip=dhcp",
        '"volant.ip=10.0.2.99/24"',
        'x="a volant.name=other"',
        'vol"ant.name=other',
        "a\nb",
        "a\0b",
        "a\tb",
        "\N{RIGHT-TO-LEFT OVERRIDE}",
        "x" * 2048,
    ],
)
def test_the_plugins_part_can_neither_contradict_nor_break_ours(cmdline: str) -> None:
    """B5"""
    with pytest.raises(DriverRefused):
        kernel_cmdline(a_boot(UID, Path("/k"), cmdline=cmdline))


@pytest.mark.parametrize(
    "cmdline", ['a="b  c"', "systemd.unit=x -- --flag", "nosuchinit=1", "x=ip=1", "$(id) `id` ;id"]
)
def test_the_plugins_part_is_handed_over_unchanged(cmdline: str) -> None:
    assert kernel_cmdline(a_boot(UID, Path("/k"), cmdline=cmdline)).endswith(" " + cmdline)


@pytest.mark.parametrize("name", ["", "a b", "a init=/bin/sh", "A", "-a", "x" * 64, "a\n", "a.b"])
def test_a_name_that_is_no_dns_label_is_refused(name: str) -> None:
    """B1"""
    with pytest.raises(DriverRefused):
        kernel_cmdline(a_boot(UID, Path("/k"), name=name))
