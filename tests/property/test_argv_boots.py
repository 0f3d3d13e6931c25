"""Ten thousand texts in every place of a boot where text can stand: refused, or the command line says what was meant.

What is meant is the command line of the same boot with a harmless word there. Both are read back by `qemu_options`; the
two may differ where that word stands, by that text, and nowhere else. So no text becomes an option, a key or another
file, whatever is in it. The API refuses most of these long before; here nobody has.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from tests.builders import nasty
from tests.builders.qemu_guests import a_boot
from tests.builders.qemu_options import Leaves, changed, leaves

from volant.clock import Uid
from volant.drivers import Attachment, Boot, DiskFile, Forward
from volant.drivers.qemu.blocks import Layer
from volant.drivers.qemu.command import Files, Sockets, argv, mark
from volant.errors import DriverRefused
from volant.model.vm import CloudInit

UID = Uid("0123456789abcdef0123456789abcdef")
SOCKETS = Sockets(qmp=10, monitor=11, console=12, agent=13, guest_agent=14)
KERNEL = Path("/k")
HOME = Attachment(
    mode="user",
    address="127.88.0.10",
    guest_address="10.0.2.15/24",
    gateway="10.0.2.2",
    mac="52:54:00:12:34:56",
    dns=("10.0.2.3",),
    forwards=(Forward(host_address="127.88.0.10", host_port=8080, guest_port=80),),
)


class Asked(NamedTuple):
    """A boot, and the files that it was handed."""

    boot: Boot
    files: Files


def asked(*, attachment: Attachment = HOME, layers: tuple[Layer, ...] | None = None, **more: Any) -> Asked:
    """A guest with everything that a guest can have. `seed` and such are paths; the rest are fields of Boot."""
    paths = {key: more.pop(key) for key in ("kernel", "initramfs", "console_log", "seed") if key in more}
    layers = layers or (Layer(name="root", path="/r", base="/b", base_format="raw"), Layer(name="data", path="/d"))
    disks = tuple(DiskFile(name=layer.name, path=Path("/ours")) for layer in layers)
    boot = replace(a_boot(UID, KERNEL, attachment=attachment), disks=disks, seed=Path("/s"), **more)
    files = Files(**{"console_log": "/c", "kernel": "/k", "initramfs": "/i", "seed": "/s", **paths}, disks=layers)
    return Asked(boot, files)


def line(what: Asked, owner_mark: str = "") -> Leaves:
    """What its command line says."""
    return leaves(
        argv(
            what.boot,
            qemu="qemu",
            mark=owner_mark or mark("abcd", UID),
            accelerator="tcg",
            sockets=SOCKETS,
            files=what.files,
        )
    )


def networked(**fields: Any) -> Asked:
    return asked(attachment=replace(HOME, **fields))


def forwarded(host: str) -> Asked:
    return networked(forwards=(Forward(host_address=host, host_port=8080, guest_port=80),))


def configured(**fields: Any) -> Asked:
    made = asked()
    config = replace(made.boot.booted.config, **fields)
    return made._replace(boot=replace(made.boot, booted=replace(made.boot.booted, config=config)))


def layered(**fields: Any) -> Asked:
    layer = {"name": "root", "path": "/r", "base": "/b", "base_format": "raw", **fields}
    return asked(layers=(Layer(**layer), Layer(name="data", path="/d")))


PLACES: dict[str, tuple[Callable[[str], Asked], str]] = {
    "name": (lambda t: asked(name=t), "-append"),
    "command line": (lambda t: asked(cmdline=t), "-append"),
    "address": (lambda t: networked(address=t), "-append"),
    "guest address": (lambda t: networked(guest_address=t), "-append -netdev.hostfwd.0.str"),
    "gateway": (lambda t: networked(gateway=t), "-append"),
    "IPv6 address": (lambda t: networked(guest_address6=t), "-append"),
    "IPv6 gateway": (lambda t: networked(gateway6=t), "-append"),
    "name server": (lambda t: networked(dns=(t,)), "-append"),
    "MAC": (lambda t: networked(mac=t), "-device.mac"),
    "published on": (forwarded, "-netdev.hostfwd.0.str"),
    "bridge": (lambda t: networked(bridge=t), ""),
    "tap": (lambda t: networked(tap=t), ""),
    "egress": (lambda t: networked(egress=(t,)), ""),
    "variable": (lambda t: configured(env={t: t}), ""),
    "user data": (lambda t: configured(cloud_init=CloudInit(user_data=t, meta_data=t, network_config=t)), ""),
    "kernel": (lambda t: asked(kernel=t), "-kernel"),
    "initramfs": (lambda t: asked(initramfs=t), "-initrd"),
    "console log": (lambda t: asked(console_log=t), "-chardev.logfile"),
    "seed": (lambda t: asked(seed=t), "-blockdev.file.filename"),
    "disk": (lambda t: layered(path=t), "-blockdev.file.filename"),
    "image": (lambda t: layered(base=t), "-blockdev.backing.file.filename"),
}
PATHS = {"kernel", "initramfs", "console log", "seed", "disk", "image"}
"""Given to QEMU as they are: every one is taken and comes back unchanged."""


def said(place: str, text: str, reference: Leaves) -> dict[str, str] | None:
    """Where the command line differs from the one that is meant, and by what; None if it was refused."""
    build, _ = PLACES[place]
    try:
        what = build(text)
        return changed(reference, line(what))
    except DriverRefused as error:
        assert str(error).startswith("cannot ")
        return None


def is_what_was_meant(place: str, text: str, different: dict[str, str], reference: Leaves) -> bool:
    """Whether the text stands there, whole, and does not reach beyond it."""
    if place in PATHS:
        return all(value == text for value in different.values())
    before = next(value for (_, path), value in reference.items() if path == "-append")
    after = different.get("-append", before)
    if place == "name":
        return after == before.replace("volant.name=web-1", f"volant.name={text}")
    if place == "command line":
        contradicts = [
            word for word in text.replace('"', "").split() if word.startswith(("init=", "rdinit=", "ip=", "volant."))
        ]
        return after == f"{before} {text}".rstrip(" ") and after.isascii() and after.isprintable() and not contradicts
    # Addresses are parsed and written anew: what stands there is made of these characters, whatever was asked.
    words = [word.partition("=")[2] for word in set(after.split(" ")) - set(before.split(" "))]
    others = [value for path, value in different.items() if path != "-append"]
    return all(re.fullmatch(r"[0-9a-f.:/]{2,49}|tcp:[0-9.]+:8080-[0-9.]+:80", word) for word in (*words, *others))


def a_place(text: str) -> str:
    """One of them, always the same for a text: all of them every time would take minutes."""
    names = list(PLACES)
    return names[zlib.crc32(text.encode("utf-8", "surrogatepass")) % len(names)]


def test_ten_thousand_texts_stay_where_they_were_put() -> None:
    """B4, B5, B6, B7, B9, A7: nothing else of the command line changes, and nothing secret is in it."""
    reference = line(asked())
    taken: Counter[str] = Counter()
    tried: set[str] = set()

    @settings(max_examples=175, derandomize=True, deadline=None, database=None)
    @given(nasty.texts)
    def everywhere(texts: list[str]) -> None:
        for text in texts:
            tried.add(text)
            place = a_place(text)
            different = said(place, text, reference)
            if different is not None:
                taken[place] += 1
                assert set(different) <= set(PLACES[place][1].split()), f"{place}: {text!r}"
                assert is_what_was_meant(place, text, different, reference), f"{place}: {text!r}"

    everywhere()
    assert len(tried) >= 10_000
    assert all(taken[place] > 400 for place in PATHS)


RIGHT = {
    "name": "web-2",
    "command line": "quiet x=a,b",
    "address": "127.88.0.11",
    "guest address": "10.0.2.16/24",
    "gateway": "10.0.2.3",
    "IPv6 address": "fd00::2/64",
    "IPv6 gateway": "fd00::1",
    "name server": "fd00::3",
    "MAC": "52:54:00:12:34:57",
    "published on": "127.88.0.11",
}


@pytest.mark.parametrize("place", RIGHT)
def test_what_is_right_is_said(place: str) -> None:
    """B6, B7: so that what is shown above is not only that everything is refused."""
    reference = line(asked())
    different = said(place, RIGHT[place], reference)
    assert different
    assert set(different) <= set(PLACES[place][1].split())
    assert is_what_was_meant(place, RIGHT[place], different, reference)


def test_what_controls_a_guest_listens_on_no_network() -> None:
    """E9, A10: of all that a VMM listens on, only ports of the guest's own card are addresses."""
    words = line(asked())
    chardevs = {path for _, path in words if path.startswith("-chardev")}
    assert chardevs == {f"-chardev{key}" for key in ("", ".id", ".fd", ".server", ".wait", ".logfile", ".logappend")}
    assert {text for (_, path), text in words.items() if path == "-chardev"} == {"socket"}
    listening = {text for (_, path), text in words.items() if "127.88.0.10" in text and path != "-append"}
    assert listening == {"tcp:127.88.0.10:8080-10.0.2.15:80"}
