"""All kinds as one: what the store keeps and reads back."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from volant.model.deployment import Deployment
from volant.model.meta import Kind
from volant.model.plugin import Plugin
from volant.model.sync import Sync
from volant.model.vm import VM

Object = VM | Deployment | Plugin | Sync

KINDS: dict[Kind, type[VM] | type[Deployment] | type[Plugin] | type[Sync]] = {
    "VM": VM,
    "Deployment": Deployment,
    "Plugin": Plugin,
    "Sync": Sync,
}

KEPT = 32
"""Plugins that are decoded once for many readings of the same bytes."""

_DECODERS: dict[str, Callable[[bytes], Any]] = {kind: msgspec.json.Decoder(cls).decode for kind, cls in KINDS.items()}
# A plugin may hold a large document, is read at each step of each of its VMs, and hardly ever changes. What was decoded
# is immutable and told apart by its bytes alone: two readers may share it, and nobody sees an old one.
_DECODERS["Plugin"] = lru_cache(maxsize=KEPT)(_DECODERS["Plugin"])
_ENCODER = msgspec.json.Encoder()


def encode(obj: Object) -> bytes:
    """The stored form."""
    return _ENCODER.encode(obj)


def decode(kind: str, doc: bytes) -> Object:
    """What `encode` was given."""
    decoded: Object = _DECODERS[kind](doc)
    return decoded
