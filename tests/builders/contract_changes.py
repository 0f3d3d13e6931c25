"""What breaks for a client when one OpenAPI document takes the place of another.

    breaking(old, new) -> ["POST /vms: request body: plugin: must be given now", ...]

The two sides are judged differently. What is asked for may only grow laxer: whatever the old document let a client
send, the new one must take. What is given may only grow: whatever the old one let a client read must still be there, of
the same type. Prose, examples and links break nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Schema = dict[str, Any]
Side = Literal["asked", "given"]

LIMITS = (
    ("maximum", "lower"),
    ("maxLength", "lower"),
    ("maxItems", "lower"),
    ("maxProperties", "lower"),
    ("minimum", "higher"),
    ("minLength", "higher"),
    ("minItems", "higher"),
)
METHODS = ("get", "put", "post", "patch", "delete", "head", "options")


def breaking(old: Schema, new: Schema) -> list[str]:
    """Each change that some client would notice, as a sentence that says where."""
    return list(dict.fromkeys(_Changes(old, new).all()))


class _Changes:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str, Side]] = set()

    def all(self) -> Iterator[str]:
        for path, item in self._old["paths"].items():
            now = self._new["paths"].get(path)
            if now is None:
                yield f"{path}: is gone"
                continue
            for verb in METHODS:
                if verb not in item:
                    continue
                where = f"{verb.upper()} {path}"
                if verb not in now:
                    yield f"{where}: is gone"
                else:
                    yield from self._operation(where, item[verb], now[verb])

    def _operation(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        if old.get("operationId") != new.get("operationId"):
            yield f"{where}: operationId {old.get('operationId')} is now {new.get('operationId')}"
        yield from self._parameters(where, old, new)
        yield from self._body(where, old.get("requestBody"), new.get("requestBody"))
        yield from self._responses(where, old["responses"], new["responses"])

    def _parameters(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = self._by_name(self._old, old), self._by_name(self._new, new)
        for key, parameter in before.items():
            place = f"{where}: {key[0]} parameter {key[1]}"
            now = after.get(key)
            if now is None:
                yield f"{place}: is gone"
                continue
            if now.get("required") and not parameter.get("required"):
                yield f"{place}: must be given now"
            yield from self._schema(place, parameter["schema"], now["schema"], "asked")
        for key, parameter in after.items():
            if key not in before and parameter.get("required"):
                yield f"{where}: {key[0]} parameter {key[1]}: is new, and must be given"

    def _by_name(self, document: Schema, operation: Schema) -> dict[tuple[str, str], Schema]:
        found = [_resolved(document, parameter) for parameter in operation.get("parameters", [])]
        return {(parameter["in"], parameter["name"]): parameter for parameter in found}

    def _body(self, where: str, old: Schema | None, new: Schema | None) -> Iterator[str]:
        place = f"{where}: request body"
        if new is None:
            if old is not None:
                yield f"{place}: is not taken any more"
            return
        if new.get("required") and not (old or {}).get("required"):
            yield f"{place}: must be given now"
        if old is not None:
            yield from self._content(place, old["content"], new["content"], "asked")

    def _responses(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        for status, response in old.items():
            place = f"{where}: {status}"
            if status not in new:
                yield f"{place}: is gone"
                continue
            before, after = _resolved(self._old, response), _resolved(self._new, new[status])
            for name in before.get("headers", {}):
                if name not in after.get("headers", {}):
                    yield f"{place}: header {name}: is gone"
            yield from self._content(place, before.get("content", {}), after.get("content", {}), "given")

    def _content(self, where: str, old: Schema, new: Schema, side: Side) -> Iterator[str]:
        for media, content in old.items():
            if media not in new:
                yield f"{where}: {media}: is gone"
            elif "schema" in content:
                yield from self._schema(where, content["schema"], new[media].get("schema", {}), side)

    def _schema(self, where: str, old: Schema, new: Schema, side: Side) -> Iterator[str]:
        visit = (_name(old), _name(new), side)
        if all(visit):
            if visit in self._seen:
                return
            self._seen.add(visit)
        old, new = _flat(self._old, old), _flat(self._new, new)
        if old.get("type") != new.get("type"):
            yield f"{where}: type {old.get('type', 'any')} is now {new.get('type', 'any')}"
            return
        if old.get("format") != new.get("format"):
            yield f"{where}: format {old.get('format', 'none')} is now {new.get('format', 'none')}"
        yield from _null(where, old, new, side)
        yield from _enum(where, old, new, side)
        if side == "asked":
            yield from _narrowed(where, old, new)
        yield from self._alternatives(where, old, new, side)
        yield from self._properties(where, old, new, side)
        for key in ("items", "additionalProperties"):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                yield from self._schema(f"{where}: {key}", old[key], new[key], side)

    def _properties(self, where: str, old: Schema, new: Schema, side: Side) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name, part in before.items():
            if name in after:
                yield from self._schema(f"{where}: {name}", part, after[name], side)
            else:
                yield f"{where}: {name}: is gone"
        if side == "asked":
            for name in sorted(needs - needed):
                yield f"{where}: {name}: must be given now"
            if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
                yield f"{where}: takes no other fields any more"
        else:
            for name in sorted((needed - needs) & after.keys()):
                yield f"{where}: {name}: may be left out now"

    def _alternatives(self, where: str, old: Schema, new: Schema, side: Side) -> Iterator[str]:
        for key in ("anyOf", "oneOf"):
            before, after = old.get(key), new.get(key)
            if before is None and after is None:
                continue
            if before is None or after is None:
                yield f"{where}: {key} is {'new' if before is None else 'gone'}"
                continue
            kept, found = (before, after) if side == "asked" else (after, before)
            for at, part in enumerate(kept):
                pairs = [(part, other) if side == "asked" else (other, part) for other in found]
                if not any(self._is_same(a, b, side) for a, b in pairs):
                    yield f"{where}: {key}[{at}]: {'is not taken any more' if side == 'asked' else 'is new'}"

    def _is_same(self, old: Schema, new: Schema, side: Side) -> bool:
        return not list(_Changes(self._old, self._new)._schema("", old, new, side))


def _null(where: str, old: Schema, new: Schema, side: Side) -> Iterator[str]:
    was, may = bool(old.get("nullable")), bool(new.get("nullable"))
    if side == "asked" and was and not may:
        yield f"{where}: may not be null any more"
    if side == "given" and may and not was:
        yield f"{where}: may be null now"


def _enum(where: str, old: Schema, new: Schema, side: Side) -> Iterator[str]:
    before, after = old.get("enum"), new.get("enum")
    if before is not None and after is not None:
        for value in before:
            if value not in after:
                yield f"{where}: {value!r} is not {'taken' if side == 'asked' else 'given'} any more"
    elif after is not None and side == "asked":
        yield f"{where}: takes only some values now"
    elif before is not None and side == "given":
        yield f"{where}: may be any value now"


def _narrowed(where: str, old: Schema, new: Schema) -> Iterator[str]:
    for name, direction in LIMITS:
        before, after = old.get(name), new.get(name)
        if after is None:
            continue
        if before is None or (after < before if direction == "lower" else after > before):
            yield f"{where}: {name} {'none' if before is None else before} is now {after}"
    if new.get("pattern") not in (None, old.get("pattern")):
        yield f"{where}: pattern {old.get('pattern', 'none')} is now {new['pattern']}"


def _resolved(document: Schema, part: Schema) -> Schema:
    while "$ref" in part:
        found: Any = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def _name(schema: Schema) -> str:
    """What a schema refers to, also where that stands in an `allOf` because of what stands beside it."""
    name: str = schema.get("$ref") or (_name(schema["allOf"][0]) if schema.get("allOf") else "")
    return name


def _flat(document: Schema, schema: Schema) -> Schema:
    """A schema with what it refers to, and what it is all of, in one."""
    schema = _resolved(document, schema)
    if "allOf" not in schema:
        return schema
    flat: Schema = {}
    for part in schema["allOf"]:
        inner = _flat(document, part)
        flat = {
            **flat,
            **inner,
            "properties": {**flat.get("properties", {}), **inner.get("properties", {})},
            "required": [*flat.get("required", []), *inner.get("required", [])],
        }
    return {**flat, **{key: value for key, value in schema.items() if key != "allOf"}}
