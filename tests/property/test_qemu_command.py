"""Whatever a user wrote, the command line read back is the command line that was meant (B3, B4)."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.builders.qemu_guests import a_boot

from volant.clock import Uid
from volant.drivers.qemu.blocks import Layer, disks
from volant.drivers.qemu.cmdline import checked, kernel_cmdline
from volant.drivers.qemu.command import Files, Sockets, argv, is_uid, mark, option
from volant.drivers.user import UserNetwork
from volant.errors import DriverRefused

UID = Uid("0123456789abcdef0123456789abcdef")
SOCKETS = Sockets(qmp=10, monitor=11, console=12, agent=13)

NASTY = st.sampled_from(
    [
        "a,b",
        "a,file=/etc/passwd",
        "-x",
        "a b",
        "a\nb",
        "json:{}",
        "nbd:h:1",
        "..",
        "%2e%2e",
        "$(id)",
        "`id`",
        ";id",
        ",,",
        "=",
    ]
)
TEXT = st.lists(st.one_of(NASTY, st.text(max_size=8)), max_size=6).map("".join)
PATHS = TEXT.filter(lambda text: "\0" not in text and text != "")


def parse_option(text: str) -> tuple[str, list[tuple[str, str]]]:
    """As QEMU's own parser does it: a comma ends a value, unless it is doubled."""
    parts, current, at = [], "", 0
    while at < len(text):
        if text[at] != ",":
            current += text[at]
        elif text[at : at + 2] == ",,":
            current += ","
            at += 1
        else:
            parts.append(current)
            current = ""
        at += 1
    first, *rest = [*parts, current]
    pairs = [part.partition("=") for part in rest]
    return first, [(key, value) for key, _, value in pairs]


@given(st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True), TEXT, max_size=5))
def test_every_value_comes_back_as_it_went_in(values: dict[str, str]) -> None:
    assert parse_option(option("socket", **values)) == ("socket", list(values.items()))


@given(PATHS, PATHS, PATHS)
def test_every_path_comes_back_as_it_went_in(kernel: str, initramfs: str, log: str) -> None:
    files = Files(kernel=kernel, initramfs=initramfs, console_log=log)
    line = argv(
        a_boot(UID, Path("/k")), qemu="qemu", mark=mark("abcd", UID), accelerator="tcg", sockets=SOCKETS, files=files
    )
    assert line[line.index("-kernel") + 1] == kernel
    assert line[line.index("-initrd") + 1] == initramfs
    [console] = [word for word in line if word.startswith("socket,id=console,")]
    assert dict(parse_option(console)[1])["logfile"] == log
    assert len(line) == len(reference())


@given(PATHS, PATHS, PATHS)
def test_every_disk_is_the_file_that_was_meant(path: str, base: str, seed: str) -> None:
    """B3: one whole argument each, in which nothing but the path comes from it."""
    layer = Layer(name="root", path=path, base=base, base_format="raw")
    meant = disks((layer,), seed, boots=True)
    plain = disks((Layer(name="root", path="p", base="b", base_format="raw"),), "s", boots=True)
    assert len(meant) == len(plain)
    chain, front, drive, last = (json.loads(word) for word in meant[1::2])
    assert (chain["file"].pop("filename"), chain["backing"]["file"].pop("filename")) == (path, base)
    assert drive["file"].pop("filename") == seed
    reference = [json.loads(word) for word in plain[1::2]]
    for node in (reference[0]["file"], reference[0]["backing"]["file"], reference[2]["file"]):
        del node["filename"]
    assert [chain, front, drive, last] == reference


@given(TEXT)
def test_a_kernel_command_line_is_refused_or_handed_over_unchanged(cmdline: str) -> None:
    boot = a_boot(UID, Path("/k"), cmdline=cmdline)
    try:
        line = kernel_cmdline(boot)
    except DriverRefused:
        return
    assert line == ("console=ttyS0 volant.name=web-1 " + cmdline).rstrip(" ")
    assert line.isprintable()


@given(
    st.lists(st.sampled_from(['"', " ", "volant.ip=1", "ip=", "init=", "rdinit=/x", "a=", "b"]), max_size=8).map(
        "".join
    )
)
def test_no_quoting_lets_a_reserved_word_through(cmdline: str) -> None:
    """B5: neither as the kernel splits, outside of quotes, nor as a script does, at every space."""
    try:
        checked(cmdline)
    except DriverRefused:
        return
    for words in (cmdline.split(), as_the_kernel_splits(cmdline)):
        assert not [word for word in words if word.startswith(("volant.", "ip=", "init=", "rdinit="))]


@given(st.lists(st.integers(1, 65535), max_size=6).map(tuple), st.integers(0, 0xFFFF))
def test_every_forward_reads_back(ports: tuple[int, ...], host: int) -> None:
    address = f"127.88.{host >> 8}.{host & 255}"
    attachment = UserNetwork(first_unprivileged=1024).attachment(UID, address, ports)
    boot = a_boot(UID, Path("/k"), attachment=attachment)
    files = Files(kernel="/k", console_log="/c")
    line = argv(boot, qemu="qemu", mark=mark("abcd", UID), accelerator="tcg", sockets=SOCKETS, files=files)
    netdev = json.loads(line[line.index("-netdev") + 1])
    meant = [f"tcp:{address}:{one.host_port}-10.0.2.15:{one.guest_port}" for one in attachment.forwards]
    assert [one["str"] for one in netdev["hostfwd"]] == meant


@given(TEXT)
def test_a_uid_is_one_plain_word(text: str) -> None:
    assert not is_uid(text) or set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def reference() -> list[str]:
    files = Files(kernel="k", initramfs="i", console_log="l")
    return argv(
        a_boot(UID, Path("/k")), qemu="qemu", mark=mark("abcd", UID), accelerator="tcg", sockets=SOCKETS, files=files
    )


def as_the_kernel_splits(line: str) -> list[str]:
    """At spaces outside of quotes; then a leading quote of the word is dropped (next_arg in lib/cmdline.c)."""
    words, current, is_quoted = [], "", False
    for letter in line:
        if letter == '"':
            is_quoted = not is_quoted
        if letter == " " and not is_quoted:
            words.append(current)
            current = ""
        else:
            current += letter
    return [word.removeprefix('"') for word in (*words, current)]
