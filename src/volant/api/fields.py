"""`?fields=`: the parts of an object that a caller wants, cut out of its JSON.

    "name,resources.vcpu" ──projection──▶ Projection ──of(body)──▶ {"name": "web-1", "resources": {"vcpu": 2}}

The paths are those of the view, checked against it before anything is read. What a path leads to is copied as it was
encoded, in the order in which the whole object has it; a field that an object does not say is left out. A path through
an array takes the part of each member; after an object with keys of the user's, such as `labels`, the rest is the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec import inspect as kinds

from volant.api.body import MAX_ERRORS
from volant.errors import Invalid

Tree = dict[str, Any]
"""A field to the tree of its parts, or to None when it is wanted whole."""

PARTIAL = b"application/vnd.volant.partial+json"
"""What an answer with `?fields=` is: another type, because it need not have what the whole object always has."""

_ENCODER = msgspec.json.Encoder()
_USERS_KEY = re.compile(r"[A-Za-z0-9._/-]{1,320}")


class Projection:
    """Cuts the JSON of one kind of object. Made by `projection`."""

    def __init__(self, shape: Any) -> None:
        self._decoder = msgspec.json.Decoder(shape)

    def of(self, body: bytes) -> bytes:
        """The JSON of the wanted parts of the object that `body` is the JSON of."""
        return _ENCODER.encode(self._decoder.decode(body))


def chosen(fields: str | UnsetType, view: type[Struct]) -> Callable[[bytes], bytes] | None:
    """What cuts the JSON of a `view`; None when it is wanted whole. Raises Invalid, which names `?fields`."""
    return None if fields is UNSET else projection(fields, view).of


def media_of(fields: str | UnsetType) -> bytes:
    """The media type of an answer with these `fields`."""
    return b"application/json" if fields is UNSET else PARTIAL


@lru_cache(maxsize=128)
def projection(fields: str, view: type[Struct]) -> Projection:
    """The projection that a list of dotted paths says. Raises Invalid with every path that leads nowhere."""
    info = _described(view)
    tree: Tree = {}
    errors = [error for path in fields.split(",") if (error := _add(tree, info, path.strip(), "")) is not None]
    if errors:
        shown = [{"path": "?fields", "message": error} for error in errors[:MAX_ERRORS]]
        raise Invalid(f"cannot accept ?fields: {errors[0]}", fields=shown)
    return Projection(_shape(tree, info))


_described = lru_cache(kinds.type_info)


def _add(tree: Tree, info: kinds.Type, path: str, above: str) -> str | None:
    """Put a path into the tree; what is wrong with it, or None."""
    name, dot, rest = (path, "", "") if _is_flat(info) else path.partition(".")
    where, member = f"{above}{name}"[:64], _member(info, name)
    if member is None:
        close = get_close_matches(name, _names(info), 1)
        return f"unknown field '{where}'" + (f". Did you mean '{above}{close[0]}'?" if close else "")
    if not dot:
        tree[name] = None
        return None
    inner = _inside(member)
    if not isinstance(inner, kinds.StructType | kinds.DictType):
        return f"'{where}' has no parts"
    below = tree.setdefault(name, {})
    # Of what is wanted whole already, a part is checked and says nothing new.
    return _add({} if below is None else below, inner, rest, f"{above}{name}.")


def _shape(tree: Tree | None, member: kinds.Type) -> Any:
    """The type that reads the wanted parts and skips the others. What is wanted whole stays as it is, undecoded."""
    if tree is None:
        return Raw
    if isinstance(member, kinds.UnionType):
        return _shape(tree, _said(member)) | None
    if isinstance(member, kinds.ListType | kinds.VarTupleType):
        return list[_shape(tree, member.item_type)]  # type: ignore[misc]  # because it is made here
    names = [name for name in _names(member) if name in tree] if isinstance(member, kinds.StructType) else list(tree)
    parts = ((name, _member(member, name)) for name in names)
    fields = [
        (f"f{n}", _shape(tree[name], part), msgspec.field(name=name, default=UNSET))
        for n, (name, part) in enumerate(parts)
        if part is not None
    ]
    return msgspec.defstruct("Part", fields, frozen=True)


def _member(info: kinds.Type, name: str) -> kinds.Type | None:
    if isinstance(info, kinds.DictType):
        return info.value_type if _USERS_KEY.fullmatch(name) else None
    fields = info.fields if isinstance(info, kinds.StructType) else ()
    return next((field.type for field in fields if field.encode_name == name), None)


def _names(info: kinds.Type) -> list[str]:
    return [field.encode_name for field in info.fields] if isinstance(info, kinds.StructType) else []


def _is_flat(info: kinds.Type) -> bool:
    """Whether what follows is one key, dots and all."""
    return isinstance(info, kinds.DictType) and not isinstance(_inside(info.value_type), kinds.StructType)


def _said(info: kinds.UnionType) -> kinds.Type:
    return next(kind for kind in info.types if not isinstance(kind, kinds.NoneType))


def _inside(info: kinds.Type) -> kinds.Type:
    """The type of one member of an array, or of what is there when something is."""
    if isinstance(info, kinds.UnionType):
        return _inside(_said(info))
    if isinstance(info, kinds.ListType | kinds.VarTupleType):
        return _inside(info.item_type)
    return info
