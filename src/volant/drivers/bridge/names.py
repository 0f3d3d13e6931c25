"""What things of ours are called, and how they are known again: pure.

    volbr0            bridge   ifalias volant:<owner>          or volant:<owner>+ip_forward
    vt0123456789ab    tap      ifalias volant:<owner>:<uid>    name = hash of the uid, interface group GROUP

`owner` tells daemons with different data directories apart. A name alone is no mark: what has our name and another
alias is somebody else's.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from msgspec import Struct

from volant.clock import Uid

GROUP = 0x766F
"""The interface group of every tap of ours, by which rules know them. Nothing on a host has it by itself."""

_FORWARDS = "+ip_forward"


def owner_of(data_dir: Path) -> str:
    """The owner in the marks of the daemon with that data directory."""
    return hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:8]


def table_of(bridge: str) -> str:
    """The name of our tables: `volant`, or with the bridge's, where a second daemon has another."""
    return "volant" if bridge == "volbr0" else f"volant-{bridge}"


def tap_name(uid: Uid) -> str:
    """The VM's tap. Interface names end at 15 characters, hence a hash."""
    return "vt" + hashlib.sha256(uid.encode()).hexdigest()[:12]


def mac_of(uid: Uid) -> str:
    """The VM's address: locally administered, the same for ever, of 40 bits of the uid's hash."""
    return _mac(f"guest {uid}")


class Marks(Struct, frozen=True):
    """The marks of one owner."""

    owner: str

    def bridge(self, *, has_set_forwarding: bool) -> str:
        """The bridge's alias, which remembers for `volant network down` who turned IP forwarding on."""
        return f"volant:{self.owner}{_FORWARDS if has_set_forwarding else ''}"

    def bridge_mac(self, bridge: str) -> str:
        """The bridge's address. It is given at birth, and so marks a bridge that has no alias yet."""
        return _mac(f"bridge {self.owner} {bridge}")

    def is_bridge(self, alias: str | None) -> bool:
        """Whether a bridge with that alias is ours."""
        return alias in (self.bridge(has_set_forwarding=False), self.bridge(has_set_forwarding=True))

    def has_set_forwarding(self, alias: str | None) -> bool:
        """Whether we turned IP forwarding on, as the bridge's alias says."""
        return alias == self.bridge(has_set_forwarding=True)

    def tap(self, uid: Uid) -> str:
        """The alias of a VM's tap."""
        return f"volant:{self.owner}:{uid}"

    def uid(self, alias: str | None) -> Uid | None:
        """Whose tap it is that has that alias; None when it is none of ours."""
        prefix = f"volant:{self.owner}:"
        return Uid(alias[len(prefix) :]) if alias is not None and alias.startswith(prefix) else None


def _mac(of: str) -> str:
    octets = hashlib.sha256(of.encode()).digest()[:5]
    return ":".join(f"{octet:02x}" for octet in (0x02, *octets))
