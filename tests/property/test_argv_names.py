"""Ten thousand texts through every field of the API that is text: refused, or what its own grammar allows.

The grammars stand here once more, by other means than the model's patterns: what passes the first and not the second
would be on its way to a path, a command line or an interface.
"""

from __future__ import annotations

import ipaddress
import string
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from tests.builders import nasty

from volant.model.plugin import Manifest
from volant.model.requests import NewDeployment, NewVM

LOWER = set(string.ascii_lowercase + string.digits)
WORD = LOWER | set(string.ascii_uppercase)
VISIBLE = set(string.ascii_letters + string.digits + string.punctuation)
PRINTABLE = VISIBLE | {" "}

Grammar = Callable[[str], bool]
Body = Callable[[str], Any]


def label(most: int = 63) -> Grammar:
    """A DNS label."""
    return lambda text: 0 < len(text) <= most and set(text) <= LOWER | {"-"} and {text[0], text[-1]} <= LOWER


def of(letters: set[str], most: int) -> Grammar:
    return lambda text: len(text) <= most and set(text) <= letters


def is_label_key(text: str) -> bool:
    domain, slash, name = text.rpartition("/")
    is_name = 0 < len(name) <= 63 and set(name) <= WORD | set("._-") and {name[0], name[-1]} <= WORD
    return is_name and (not slash or (0 < len(domain) <= 253 and set(domain) <= LOWER | set(".-")))


def is_variable(text: str) -> bool:
    return text.isascii() and text.isidentifier() and len(text) <= 128


def is_line(text: str) -> bool:
    return not set(text) & set("\0\r\n")


def is_address(text: str) -> bool:
    return str(ipaddress.IPv4Address(text)) == text


def is_bridge(text: str) -> bool:
    return 0 < len(text) <= 15 and set(text) <= LOWER | {"-"} and text[0] in LOWER


def is_url(text: str) -> bool:
    scheme, _, rest = text.partition(":")
    has_user = rest.startswith("//") and "@" in rest[2:].replace("?", "/").replace("#", "/").split("/")[0]
    return scheme in ("http", "https", "file") and set(rest) <= VISIBLE and not has_user


def is_path(text: str) -> bool:
    return text.startswith("/") and set(text) <= VISIBLE


def is_path_inside(text: str) -> bool:
    steps = text.split("/")
    return not steps[0] and not {"", ".", ".."} & set(steps[1:]) and not set(text) & set(map(chr, [*range(32), 127]))


def is_network(text: str) -> bool:
    return set(text) <= set("0123456789abcdef.:/") and text.count("/") == 1


def vm(**fields: Any) -> Any:
    return {"name": "a", "plugin": "p", **fields}


def config(**fields: Any) -> Any:
    return vm(config=fields)


def manifest(**fields: Any) -> Any:
    source = {"url": "file:///x"}
    parts = {"name": "p", "version": "1", "kernel": source, "initramfs": source, "rootfs": {**source, "format": "raw"}}
    return {**parts, **fields}


def publish(text: str) -> Any:
    return config(network={"publish": [{"guest_port": 1, "host_port": 1, "host_ip": text}]})


FIELDS: dict[str, tuple[type[msgspec.Struct], Body, Grammar]] = {
    "VM": (NewVM, lambda t: vm(name=t), label()),
    "its plugin": (NewVM, lambda t: vm(plugin=t), label()),
    "label": (NewVM, lambda t: vm(labels={t: "v"}), is_label_key),
    "label value": (NewVM, lambda t: vm(labels={"k": t}), of(PRINTABLE, 63)),
    "bridge": (NewVM, lambda t: config(network={"bridge_name": t}), is_bridge),
    "mode": (NewVM, lambda t: config(network={"mode": t}), {"user", "bridge", "dhcp", "none"}.__contains__),
    "egress": (NewVM, lambda t: config(network={"egress": t}), {"deny", "public", "all"}.__contains__),
    "egress network": (NewVM, lambda t: config(network={"egress": [t]}), is_network),
    "published on": (NewVM, publish, is_address),
    "variable": (NewVM, lambda t: config(env={t: "v"}), is_variable),
    "its value": (NewVM, lambda t: config(env={"V": t}), is_line),
    "disk": (NewVM, lambda t: config(disks={t: {"size_mb": 1}}), label(20)),
    "user data": (NewVM, lambda t: config(cloud_init=t), lambda t: len(t) <= 65536),
    "restart": (NewVM, lambda t: vm(restart_policy=t), {"always", "on_failure", "never"}.__contains__),
    "deployment": (NewDeployment, lambda t: vm(name=t), label(57)),
    "plugin": (Manifest, lambda t: manifest(name=t), label()),
    "kernel": (Manifest, lambda t: manifest(kernel={"url": t}), is_url),
    "kernel on the web": (
        Manifest,
        lambda t: manifest(kernel={"url": "https://" + t}),
        lambda t: is_url("https://" + t),
    ),
    "kernel file": (Manifest, lambda t: manifest(kernel={"url": "file:///" + t}), of(VISIBLE, 2048)),
    "command line": (
        Manifest,
        lambda t: manifest(kernel={"url": "file:///x", "cmdline": t}),
        of(PRINTABLE, 1024),
    ),
    "checksum": (
        Manifest,
        lambda t: manifest(kernel={"url": "file:///x", "checksum": "sha256:" + t}),
        lambda t: len(t) == 64 and set(t) <= set("0123456789abcdef"),
    ),
    "format": (
        Manifest,
        lambda t: manifest(rootfs={"url": "file:///x", "format": t}),
        {"raw", "qcow2"}.__contains__,
    ),
    "workload": (Manifest, lambda t: manifest(workload={"type": t, "port": 1}), {"http", "tcp", "none"}.__contains__),
    "probed path": (Manifest, lambda t: manifest(health_check={"type": "http", "port": 1, "path": t}), is_path),
    "document at": (Manifest, lambda t: manifest(openapi={"path": t, "port": 1}), is_path),
    "document in": (Manifest, lambda t: manifest(openapi={"file": "/" + t}), lambda t: is_path_inside("/" + t)),
}
FREE = {"user data", "its value", "command line", "kernel file", "kernel on the web", "label value"}
"""Fields that take a good part of it: a test that only ever sees refusals would show nothing."""


def accepts(cls: type[msgspec.Struct], body: Any) -> bool:
    """Whether the API takes it."""
    try:
        msgspec.convert(body, cls)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return False
    return True


def test_ten_thousand_texts_are_refused_or_what_their_field_allows() -> None:
    """B1, B4, B5, B6, B7"""
    taken: Counter[str] = Counter()
    tried: set[str] = set()

    @settings(max_examples=175, derandomize=True, deadline=None, database=None)
    @given(nasty.texts)
    def every_field(texts: list[str]) -> None:
        for text in texts:
            tried.add(text)
            for name, (cls, body, allows) in FIELDS.items():
                if accepts(cls, body(text)):
                    taken[name] += 1
                    assert allows(text), f"{name}: {text!r}"

    every_field()
    assert len(tried) >= 10_000
    assert {name for name in FREE if taken[name] > 1000} == FREE
    assert {name for name in FIELDS if taken[name]} >= {"VM", "plugin", "deployment", "label", "bridge", "disk"}


def test_whatever_has_a_line_break_at_its_end_is_refused() -> None:
    """B1: a pattern's `$` alone would let it pass."""
    right = {
        "VM": "web",
        "plugin": "p",
        "bridge": "br0",
        "variable": "V",
        "disk": "data",
        "label": "k",
        "checksum": "0" * 64,
    }
    for name, text in right.items():
        cls, body, _ = FIELDS[name]
        assert accepts(cls, body(text)), name
        assert not accepts(cls, body(text + "\n")), name
