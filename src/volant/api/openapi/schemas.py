"""Structs to JSON Schema (2020-12, the dialect of OpenAPI 3.1): what the decoder takes, what the encoder gives.

    Struct ──msgspec──▶ schema ──asked / given──▶ component

The two sides differ, so a Struct of both is two components where that shows. What is asked for may leave out whatever
has a default, and knows no other field. What is given has every field, but those that `omit_defaults` leaves out when
they have nothing to say; those are left out rather than null; and fields may be added to it one day.

Every constraint here is one that the decoder enforces. Of what it checks beyond them (one field that needs another),
`rules` says a part, and the descriptions the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET, Struct
from msgspec import inspect as types

from volant.api.openapi.prose import told
from volant.api.openapi.rules import RULES

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
NULL = {"type": "null"}

_END_OF_TEXT = r"(?!\n)"
"""What patterns for Python have after `$`. ECMA's `$` passes no line break, and its readers need not know the rest."""

_INT32 = (1 << 31) - 1


def public_name(cls: type) -> str:
    """What a Struct is called in the document: `VMView` -> `VM`, `NewVM` -> `VMInput`.

    `NewVM` itself is what a Go client calls the function that makes a VM.
    """
    name = cls.__name__.removesuffix("View")
    return f"{name.removeprefix('New')}Input" if name.startswith("New") else name


class Components:
    """The schemas that a document refers to. `asked` and `given` are the schema of each type on either side."""

    def __init__(self, asked: Iterable[Any], given: Iterable[Any], ref: str = REF) -> None:
        self.schemas: dict[str, Schema] = {}
        self._ref = ref
        self.given = self._add(given, _as_given)
        self.asked = self._add(asked, _as_asked)

    def _add(self, wanted: Iterable[Any], refine: Callable[[Schema, type[Struct]], None]) -> dict[Any, Schema]:
        unique = list(dict.fromkeys(wanted))
        refs, made = msgspec.json.schema_components(unique, ref_template="{name}")
        classes = {cls.__name__: cls for cls in structs_in(unique)}
        found = _plain(made)
        for name, schema in found.items():
            refine(schema, classes[name])
        names = self._names(found, classes)
        self.schemas.update({names[name]: self._renamed(schema, names) for name, schema in found.items()})
        return {cls: self._renamed(ref, names) for cls, ref in zip(unique, _plain(refs), strict=True)}

    def _names(self, found: Mapping[str, Schema], classes: Mapping[str, type]) -> dict[str, str]:
        """A name for each: another one where the other side means something else by it."""
        names = {name: public_name(classes[name]) for name in found}
        if len(set(names.values())) != len(names):
            raise ValueError(f"cannot tell apart two Structs of one name: {sorted(names)}")
        while True:
            clash = [
                name
                for name, public in names.items()
                if public in self.schemas and self._renamed(found[name], names) != self.schemas[public]
            ]
            if not clash:
                return names
            names.update({name: f"{public_name(classes[name])}Input" for name in clash})

    def _renamed(self, schema: Any, names: Mapping[str, str]) -> Any:
        if isinstance(schema, list):
            return [self._renamed(part, names) for part in schema]
        if not isinstance(schema, dict):
            return schema
        return {
            key: self._ref.format(name=names[part]) if key == "$ref" else self._renamed(part, names)
            for key, part in schema.items()
        }


def parameters_of(query: type[Struct]) -> list[tuple[str, Schema, bool]]:
    """Name, schema and whether it must be given, of each query parameter."""
    _, made = msgspec.json.schema_components([query], ref_template="{name}")
    schema = _plain(made)[query.__name__]
    _as_asked(schema, query)
    required = schema.get("required", [])
    return [(name, part, name in required) for name, part in schema["properties"].items()]


def structs_in(wanted: Iterable[Any]) -> Iterator[type[Struct]]:
    """Every Struct that the types are made of."""
    seen: set[Any] = set()

    def walk(found: types.Type) -> Iterator[type[Struct]]:
        if isinstance(found, types.StructType):
            if found.cls in seen:
                return
            seen.add(found.cls)
            yield found.cls
            inner: Iterable[Any] = [field.type for field in found.fields]
        else:
            names = ("type", "item_type", "key_type", "value_type")
            inner = [getattr(found, name) for name in names if hasattr(found, name)]
            inner = [*inner, *getattr(found, "types", ()), *getattr(found, "item_types", ())]
        for part in inner:
            if isinstance(part, types.Type):
                yield from walk(part)

    for found in types.multi_type_info(list(wanted)):
        yield from walk(found)


def _plain(made: Any) -> Any:
    """As JSON has it, without the titles, and every schema readable by any ECMA dialect."""
    return _tidied(json.loads(msgspec.json.encode(made)))


def _tidied(value: Any) -> Any:
    if isinstance(value, list):
        return [_tidied(part) for part in value]
    if not isinstance(value, dict):
        return value
    schema: Schema = {
        key: {name: _tidied(part) for name, part in inner.items()} if key == "properties" else _tidied(inner)
        for key, inner in value.items()
        if key != "title" or not isinstance(inner, str)
    }
    if "pattern" in schema:
        schema["pattern"] = schema["pattern"].replace(_END_OF_TEXT, "")
    if "enum" in schema and "type" not in schema and all(isinstance(word, str) for word in schema["enum"]):
        schema = {"type": "string", **schema}
    if isinstance(schema.get("description"), str):
        schema["description"] = told(schema["description"])
        if not schema["description"]:
            del schema["description"]
    if schema.get("required") == []:
        del schema["required"]
    if schema.get("type") == "integer":
        schema["format"] = "int32" if schema.get("maximum", 1 << 53) <= _INT32 else "int64"
    elif schema.get("type") == "number":
        schema["format"] = "double"
    return schema


def _as_asked(schema: Schema, cls: type[Struct]) -> None:
    """What the decoder takes. A default that is null says no more than that the field may be left out."""
    for part in schema["properties"].values():
        if part.get("default", ...) is None:
            del part["default"]
    schema.update(RULES.get(cls, {}))


def _as_given(schema: Schema, cls: type[Struct]) -> None:
    """What the encoder gives."""
    schema.pop("additionalProperties", None)
    always = []
    for field in msgspec.structs.fields(cls):
        part = schema["properties"][field.encode_name]
        has_default = field.default is not NODEFAULT or field.default_factory is not NODEFAULT
        is_left_out = cls.__struct_config__.omit_defaults and has_default
        if not is_left_out and field.default is not UNSET:
            always.append(field.encode_name)
            part.pop("default", None)
        elif field.default is None:
            schema["properties"][field.encode_name] = _never_null(part)
    if always:
        schema["required"] = always


def _never_null(part: Schema) -> Schema:
    rest = {key: value for key, value in part.items() if key not in ("anyOf", "default")}
    kinds = [kind for kind in part.get("anyOf", []) if kind != NULL]
    return {**kinds[0], **rest} if len(kinds) == 1 else {"anyOf": kinds, **rest}
