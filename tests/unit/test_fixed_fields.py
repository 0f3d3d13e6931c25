"""What is said once, when an object is made: refused later, with what to do instead."""

from __future__ import annotations

import json

import msgspec
import pytest

from volant.api.body import decode_body
from volant.errors import Invalid
from volant.model.requests import NewDeployment, Scale


@pytest.mark.parametrize("name", ["name"])
def test_a_field_that_cannot_be_changed_says_what_to_do_instead(name: str) -> None:
    """A10: by its own path, beside whatever else is wrong."""
    with pytest.raises(Invalid) as refused:
        decode_body(json.dumps({"replicas": -1, name: "x"}).encode(), Scale)
    fields = {field["path"]: field["message"] for field in refused.value.details["fields"]}
    assert fields.keys() == {f"/{name}", "/replicas"}
    assert fields[f"/{name}"] == "cannot be changed: delete the deployment and create it again with another one"


def test_what_was_never_a_field_is_unknown() -> None:
    """A10"""
    with pytest.raises(Invalid) as refused:
        decode_body(b'{"replicas": 1, "status": {}}', Scale)
    assert refused.value.details["fields"] == [{"path": "/status", "message": "unknown field"}]


def test_every_field_of_a_new_deployment_is_either_changed_or_fixed() -> None:
    """A10: a field that is added to one of them is thought of in the other."""
    changed = {field.encode_name for field in msgspec.structs.fields(Scale)}
    assert changed | set(Scale.FIXED) == {field.encode_name for field in msgspec.structs.fields(NewDeployment)}
    assert not changed & set(Scale.FIXED)
