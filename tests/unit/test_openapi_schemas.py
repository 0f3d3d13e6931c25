"""What is asked for and what is given are two schemas of one Struct."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from volant.api.openapi.oas30 import schema30
from volant.api.openapi.prose import sentences, told
from volant.api.openapi.schemas import Components, parameters_of


class Size(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A size (Q1, W3)."""

    vcpu: Annotated[int, Meta(ge=1, le=64)] = 1


class ThingView(Struct, kw_only=True, omit_defaults=True):
    """`GET /things/{name}`: A thing."""

    name: str
    size: Size
    share: float
    ip: str | None = None
    seen: bool | UnsetType = UNSET
    parent: str | None
    size_of_parent: Size | None = None


class NewThing(Struct, kw_only=True, forbid_unknown_fields=True):
    """Asked for."""

    name: Annotated[str, Meta(pattern=r"^[a-z]+$(?!\n)", description="A name.")]
    size: Size = Size()
    note: str | None = None
    count: int = 0


class Query(Struct, kw_only=True):
    """Parameters."""

    name: str
    order: Annotated[Literal["up", "down"], Meta(description="Which way.")] = "up"


def both() -> Components:
    return Components(asked=[NewThing], given=[ThingView, list[ThingView]])


def test_a_given_struct_always_has_what_it_never_leaves_out() -> None:
    thing = both().schemas["Thing"]
    assert thing["required"] == ["name", "size", "share", "parent"]
    assert both().schemas["Size"]["required"] == ["vcpu"]


def test_what_is_left_out_when_it_is_none_is_never_null() -> None:
    properties = both().schemas["Thing"]["properties"]
    assert properties["ip"] == {"type": "string"}
    assert properties["size_of_parent"] == {"$ref": "#/components/schemas/Size"}
    assert properties["parent"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_what_is_asked_for_may_leave_out_its_defaults_and_knows_no_other_field() -> None:
    new = both().schemas["ThingInput"]
    assert new["required"] == ["name"]
    assert new["additionalProperties"] is False
    assert new["properties"]["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_a_struct_of_both_sides_is_two_where_they_differ() -> None:
    schemas = both().schemas
    assert schemas["Size"] != schemas["SizeInput"]
    assert schemas["Thing"]["properties"]["size"] == {"$ref": "#/components/schemas/Size"}
    assert schemas["ThingInput"]["properties"]["size"]["$ref"] == "#/components/schemas/SizeInput"


def test_types_are_referred_to_by_their_public_names() -> None:
    made = both()
    assert made.given[list[ThingView]] == {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}
    assert made.asked[NewThing] == {"$ref": "#/components/schemas/ThingInput"}


def test_two_structs_of_one_public_name_are_refused() -> None:
    other = type("Thing", (Struct,), {"__annotations__": {"x": int}})
    with pytest.raises(ValueError, match="one name"):
        Components(asked=[], given=[ThingView, other])


def test_a_pattern_is_written_as_ecma_has_it() -> None:
    assert both().schemas["ThingInput"]["properties"]["name"]["pattern"] == "^[a-z]+$"


def test_a_number_says_how_wide_it_is() -> None:
    schemas = both().schemas
    assert schemas["Size"]["properties"]["vcpu"]["format"] == "int32"
    assert schemas["ThingInput"]["properties"]["count"]["format"] == "int64"
    assert schemas["Thing"]["properties"]["share"]["format"] == "double"


def test_a_description_tells_neither_the_route_nor_the_rules() -> None:
    assert both().schemas["Thing"]["description"] == "A thing."
    assert both().schemas["Size"]["description"] == "A size."


def test_parameters_say_whether_they_must_be_given() -> None:
    assert parameters_of(Query) == [
        ("name", {"type": "string"}, True),
        ("order", {"description": "Which way.", "enum": ["down", "up"], "default": "up", "type": "string"}, False),
    ]


def test_a_docstring_is_summary_and_description() -> None:
    def handler() -> None:
        """`POST /things`: make a thing (D3).

        And then
        some.
        """

    assert sentences(handler) == ("Make a thing", "And then\nsome.")
    assert told("`GET /healthz` and `/readyz`.") == ""


@pytest.mark.parametrize(
    ("schema", "converted"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        (
            {"anyOf": [{"$ref": "#/x"}, {"type": "null"}], "description": "d"},
            {"allOf": [{"$ref": "#/x"}], "description": "d", "nullable": True},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True},
        ),
        (
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
            {"type": "string", "enum": ["a", None], "nullable": True},
        ),
        ({"type": "null"}, {"enum": [None], "nullable": True}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"exclusiveMinimum": 0}, {"minimum": 0, "exclusiveMinimum": True}),
        ({"const": 1}, {"enum": [1]}),
        ({"examples": [1, 2]}, {"example": 1}),
        ({"$ref": "#/x", "description": "d"}, {"allOf": [{"$ref": "#/x"}], "description": "d"}),
        ({"$ref": "#/x"}, {"$ref": "#/x"}),
        (
            {"anyOf": [{"type": "object", "propertyNames": {"pattern": "a"}}, {"type": "null"}]},
            {"type": "object", "nullable": True},
        ),
        (
            {"type": "array", "prefixItems": [{"const": 1}, {"type": "null"}]},
            {"type": "array", "items": {"anyOf": [{"enum": [1]}, {"enum": [None], "nullable": True}]}},
        ),
        (
            {"type": "object", "properties": {"const": {"const": 1}, "examples": {"type": "null"}}},
            {"type": "object", "properties": {"const": {"enum": [1]}, "examples": {"enum": [None], "nullable": True}}},
        ),
        ({"additionalProperties": {"type": "null"}}, {"additionalProperties": {"enum": [None], "nullable": True}}),
        ({"type": "string", "contentEncoding": "base64"}, {"type": "string", "format": "byte"}),
        ({}, {}),
    ],
)
def test_a_schema_of_json_schema_becomes_one_of_3_0(schema: dict[str, Any], converted: dict[str, Any]) -> None:
    assert schema30(schema) == converted
