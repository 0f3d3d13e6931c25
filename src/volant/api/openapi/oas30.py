"""From OpenAPI 3.1, which is what the code says, to 3.0.3, which is what most generators read.

3.1 has JSON Schema; 3.0.3 has a dialect of its own from before: `nullable` instead of a type, flags where JSON Schema
has limits, one example, and nothing that describes the names of keys. What it cannot say is left out, so a schema here
takes everything that its original takes, and sometimes more.
"""

from __future__ import annotations

from typing import Any

from volant.api.openapi.schemas import NULL, Schema

VERSION = "3.0.3"

_UNKNOWN = ("propertyNames", "patternProperties", "dependentRequired", "dependentSchemas", "if", "then", "else")
_NESTED = ("items", "additionalProperties", "not")
_LISTS = ("allOf", "anyOf", "oneOf")


def to_oas30(document: Any) -> Any:
    """The same document with every schema in it converted."""
    if isinstance(document, list):
        return [to_oas30(part) for part in document]
    if not isinstance(document, dict):
        return document
    converted = {}
    for key, part in document.items():
        if key == "schema":
            converted[key] = schema30(part)
        elif key == "schemas":
            converted[key] = {name: schema30(schema) for name, schema in part.items()}
        elif key == "links":
            # Generators stop at a body that is not one text.
            converted[key] = {name: link for name, link in part.items() if "requestBody" not in link}
        elif key in ("example", "examples"):
            converted[key] = part
        else:
            converted[key] = to_oas30(part)
    if "openapi" in converted:
        converted["openapi"] = VERSION
        converted["info"] = {**converted["info"], "license": _license(converted["info"]["license"])}
    return converted


def schema30(schema: Any) -> Any:
    """One schema of JSON Schema 2020-12 as a Schema Object of 3.0.3."""
    if not isinstance(schema, dict):
        return schema
    schema = {key: part for key, part in _without_null(schema).items() if key not in _UNKNOWN}
    for key in _LISTS:
        if key in schema and "properties" in schema:
            del schema[key]  # A rule: see there.
        elif key in schema:
            schema[key] = [schema30(part) for part in schema[key]]
    for key in _NESTED:
        if key in schema:
            schema[key] = schema30(schema[key])
    if "properties" in schema:
        schema["properties"] = {name: schema30(part) for name, part in schema["properties"].items()}
    if "prefixItems" in schema:
        schema["items"] = {"anyOf": [schema30(part) for part in schema.pop("prefixItems")]}
    _limits(schema)
    _values(schema)
    if "$ref" in schema and len(schema) > 1:
        # Beside a $ref, 3.0.3 reads nothing.
        return {"allOf": [{"$ref": schema.pop("$ref")}], **schema}
    return schema


def _without_null(schema: Schema) -> Schema:
    """`nullable` for what else may be null."""
    kind = schema.get("type")
    if kind == "null":
        return {**{k: v for k, v in schema.items() if k != "type"}, "enum": [None], "nullable": True}
    if isinstance(kind, list):
        rest = [name for name in kind if name != "null"]
        return {**schema, "type": rest[0], **({"nullable": True} if len(rest) < len(kind) else {})}
    for key in ("anyOf", "oneOf"):
        if NULL not in schema.get(key, ()):
            continue
        kinds = [part for part in schema[key] if part != NULL]
        others = {k: v for k, v in schema.items() if k != key}
        if len(kinds) > 1:
            return {**others, key: kinds, "nullable": True}
        if "$ref" in kinds[0]:
            return {**others, "allOf": kinds, "nullable": True}
        inner = dict(kinds[0])
        if "enum" in inner:
            inner["enum"] = [*inner["enum"], None]
        return {**inner, **others, "nullable": True}
    return schema


def _limits(schema: Schema) -> None:
    for strict, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if strict in schema:
            schema[limit], schema[strict] = schema[strict], True


def _values(schema: Schema) -> None:
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "examples" in schema:
        schema["example"] = schema.pop("examples")[0]
    if schema.pop("contentEncoding", None) == "base64":
        schema["format"] = "byte"


def _license(found: Schema) -> Schema:
    return {key: value for key, value in found.items() if key != "identifier"}
