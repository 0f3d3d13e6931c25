"""References to images in registries, read by the grammar and by nothing else.

    registry.example:5000/team/app:1.2@sha256:…
    └──── host ─────┘└port┘└─ name ─┘└tag┘└─ digest ─┘

A reference that parses can be put into a path of the registry's API as it stands: its name has neither `..`, `//`, `%`,
`?` nor `@` in it. With a digest, the digest is what is asked for, and the tag says nothing.

Deliberately absent: a default registry and short names. Which host is asked is said by whoever asks.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from volant.errors import ArtifactRefused

DEFAULT_TAG: Final = "latest"

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\]"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE: Final = re.compile(
    rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?/(?P<name>{_PART}(?:/{_PART})*)"
    rf"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?"
)
_MAX_NAME: Final = 255
_MAX_REFERENCE: Final = 600


@dataclass(frozen=True, slots=True)
class Reference:
    """One image of one registry. `digest` (`sha256:<hex>`) is that of its manifest, where it was given."""

    host: str
    port: int | None
    name: str
    tag: str
    digest: str | None

    @property
    def registry(self) -> str:
        """Scheme, host and port. `http` is spoken on loopback only, where nobody listens in."""
        authority = self.host if self.port is None else f"{self.host}:{self.port}"
        return f"{'http' if is_loopback(self.host) else 'https'}://{authority}"

    @property
    def wanted(self) -> str:
        """What the registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        authority = self.host if self.port is None else f"{self.host}:{self.port}"
        return f"{authority}/{self.name}" + (f"@{self.digest}" if self.digest else f":{self.tag}")


def parse_reference(text: str) -> Reference:
    """The image that `text` names. Raises ArtifactRefused; the message repeats nothing that could be a password."""
    found = _REFERENCE.fullmatch(text) if len(text) <= _MAX_REFERENCE else None
    if "@" in text and (found is None or found["digest"] is None):
        raise ArtifactRefused(
            "cannot read an image reference: '@' belongs before a sha256 digest. Credentials are not taken from it."
        )
    if found is None or not _is_registry(found["host"], found["port"]):
        raise ArtifactRefused(
            f"cannot read the image reference {text[:200]!r}: expected HOST[:PORT]/NAME[:TAG][@sha256:DIGEST] "
            "in lower case. There is no default registry: begin with its host."
        )
    port = None if found["port"] is None else int(found["port"])
    if len(found["name"]) > _MAX_NAME or (port is not None and not 0 < port < 65536):
        raise ArtifactRefused(f"cannot read the image reference {text[:200]!r}: its name is too long or its port wrong")
    return Reference(found["host"].lower(), port, found["name"], found["tag"] or DEFAULT_TAG, found["digest"])


def _is_registry(host: str, port: str | None) -> bool:
    # `library/app` is a short name of a registry that is not said: only these forms cannot be one.
    if host.startswith("["):
        return _address(host) is not None
    return port is not None or "." in host or host == "localhost"


def is_loopback(host: str) -> bool:
    """Whether the host is this one: `localhost`, 127.0.0.0/8 or ::1. No name is looked up."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
