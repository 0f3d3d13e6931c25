"""What is suspect, since when, and what has been so for long enough: pure and total.

found on the host, unknown to the store ──▶ suspects ──▶ quarantined ──▶ due
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple


class Suspect(NamedTuple):
    """Something with our mark that nobody answers for: what the host has of a uid, or a file of the cache."""

    what: Literal["uid", "digest"]
    name: str


Quarantine = Mapping[Suspect, float]
"""Since when (monotonic) each suspect has been one, without a break."""


def suspects(
    found: Collection[str], known: Collection[str], files: Collection[str], referenced: Collection[str]
) -> frozenset[Suspect]:
    """The uids `found` on the host that are not `known`, and the digests of `files` that are not `referenced`."""
    strangers = (Suspect("uid", uid) for uid in set(found).difference(known))
    stale = (Suspect("digest", digest) for digest in set(files).difference(referenced))
    return frozenset([*strangers, *stale])


def quarantined(held: Quarantine, seen: Collection[Suspect], now: float) -> dict[Suspect, float]:
    """The quarantine after a look that found `seen`: who was held stays held from then on, who was not seen is free."""
    return {suspect: held.get(suspect, now) for suspect in sorted(seen)}


def due(held: Quarantine, now: float, quarantine_s: float) -> list[Suspect]:
    """Those who were held for `quarantine_s`: guests first, because they may hold files of the cache open.

    Reckoned as in `next_look_s`: rounded another way, a suspect could be due by the one and never quite by the other.
    """
    return sorted(
        (suspect for suspect, since in held.items() if since + quarantine_s <= now),
        key=lambda suspect: (suspect.what != "uid", suspect.name),
    )


def next_look_s(held: Quarantine, now: float, quarantine_s: float) -> float | None:
    """Seconds until the next suspect is due; None when none is held."""
    return max(0.0, min(held.values()) + quarantine_s - now) if held else None
