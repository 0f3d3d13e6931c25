"""The three kinds as one: what the store keeps and reads back."""

from __future__ import annotations

from typing import Any

import msgspec

from volant.model.deployment import Deployment
from volant.model.meta import Kind
from volant.model.plugin import Plugin
from volant.model.vm import VM

Object = VM | Deployment | Plugin

KINDS: dict[Kind, type[VM] | type[Deployment] | type[Plugin]] = {"VM": VM, "Deployment": Deployment, "Plugin": Plugin}

_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(cls) for kind, cls in KINDS.items()}
_ENCODER = msgspec.json.Encoder()


def encode(obj: Object) -> bytes:
    """The stored form."""
    return _ENCODER.encode(obj)


def decode(kind: str, doc: bytes) -> Object:
    """What `encode` was given."""
    decoded: Object = _DECODERS[kind].decode(doc)
    return decoded
