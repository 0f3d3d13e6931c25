"""The comparison: what is missing or another is said, what is more is nobody's business."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.shapes import differences, leaves, missing

VM = {"name": "a", "ip": "10.0.0.5", "at": "2025-01-15T10:30:00Z", "resources": {"vcpu": 2}, "pid": 12}


def test_more_than_is_documented_is_fine() -> None:
    assert differences(VM, {**VM, "more": 1, "resources": {"vcpu": 2, "disk": 3}}) == []


@pytest.mark.parametrize("value", ["127.0.0.1", "192.168.0.9"])
def test_any_address_will_do(value: str) -> None:
    assert differences(VM, {**VM, "ip": value}) == []


@pytest.mark.parametrize("value", ["2031-12-01T00:00:00Z", "2031-12-01T00:00:00.123456Z"])
def test_any_instant_will_do(value: str) -> None:
    assert differences(VM, {**VM, "at": value}) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "b"),
        ("name", None),
        ("ip", "10.0.0.500"),
        ("ip", "::1"),
        ("at", "2025-01-15T10:30:00+00:00"),
        ("at", "2025-01-15 10:30:00"),
        ("at", 1736937000),
        ("resources", {}),
        ("resources", {"vcpu": 2.0}),
        ("resources", {"vcpu": True}),
        ("resources", [2]),
        ("pid", 13),
    ],
)
def test_what_is_another_is_said(field: str, value: Any) -> None:
    (why,) = differences(VM, {**VM, field: value})
    assert why.startswith(field)


def test_what_is_not_returned_is_said() -> None:
    returned = {"name": "a", "resources": {}}
    assert differences(VM, returned) == [
        "ip: not returned",
        "at: not returned",
        "resources.vcpu: not returned",
        "pid: not returned",
    ]
    assert missing(VM, returned) == ["ip", "at", "resources.vcpu", "pid"]


def test_what_is_free_must_be_of_its_type() -> None:
    assert differences(VM, {**VM, "pid": 99}, {"pid"}) == []
    assert differences(VM, {**VM, "pid": "99"}, {"pid"}) == ["pid: documented is 12, returned is '99'"]
    assert differences(VM, {**VM, "name": ""}, {"name"}) == ["name: returned is empty"]


def test_a_condition_that_is_a_boolean_is_not_the_documented_string() -> None:
    assert differences({"status": "true"}, {"status": True}) == ["status: documented is 'true', returned is True"]


def test_elements_are_found_by_name_among_others() -> None:
    documented = [{"name": "a", "x": 1}, {"name": "b"}]
    assert differences(documented, [{"name": "z"}, {"name": "a", "x": 1}, {"name": "b"}]) == []
    assert differences(documented, [{"name": "b"}, {"name": "a", "x": 1}]) == ["[]: not in the documented order"]
    assert differences(documented, [{"name": "a", "x": 1}]) == ["[]: name 'b' not returned"]
    assert differences(documented, [{"name": "a", "x": 2}, {"name": "b"}]) == ["[].x: documented is 1, returned is 2"]


def test_elements_without_a_name_are_compared_by_place() -> None:
    documented = [{"changes": {"resources.vcpu": {"new": 4}}}, {"changes": {"created": True}}]
    assert differences(documented, documented) == []
    assert differences(documented, documented[::-1]) != []
    assert differences(documented, documented[:1])[0].startswith(": documented are 2 elements, returned are 1")


def test_lists_of_words_are_compared_as_they_are() -> None:
    assert differences({"vms": ["a", "b"]}, {"vms": ["b", "a"]}) != []
    assert differences({"vms": []}, {"vms": ["a"]}) != []
    assert differences({"vms": []}, {"vms": ["a"]}, {"vms"}) == []
    assert differences({"vms": []}, {"vms": [1]}, {"vms"}) == ["vms: holds 1"]


def test_a_wrapped_list_is_no_bare_array() -> None:
    (why,) = differences([{"name": "a"}], {"items": [{"name": "a"}]})
    assert "documented is a bare array" in why


def test_an_empty_object_means_any_object() -> None:
    assert differences({"paths": {"/a": {}}}, {"paths": {"/a": {"get": {}}}}) == []
    assert differences({"paths": {"/a": {}}}, {"paths": {"/a": None}}) != []
    assert missing({"paths": {"/a": {}}}, {"paths": {"/a": {"get": {"x": 1}}}}) == []


def test_leaves_are_every_path_that_is_printed() -> None:
    assert list(leaves({"a": {"b": 1}, "c": [{"d": 1}, {"e": []}], "f": ["x"]})) == ["a.b", "c[].d", "c[].e", "f"]
