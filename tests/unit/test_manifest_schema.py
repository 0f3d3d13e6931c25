"""The published schema of manifests takes what the command takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.builders.sources import ROOT

from volant.api.openapi.manifests import manifests
from volant.api.openapi.published import DIALECT
from volant.manifests import Said, check, read
from volant.manifests.marks import Marks, Place

JUDGE = Draft202012Validator(manifests(DIALECT))
EXAMPLE = read([str(ROOT / "examples" / "gitops" / "infra")], bytes)

PLUGIN: dict[str, Any] = {"version": "1", "rootfs": {"url": "file:///disk.raw", "format": "raw"}}


def vm(**spec: Any) -> dict[str, Any]:
    return {"kind": "VM", "metadata": {"name": "db"}, "spec": {"plugin": "hello", **spec}}


def plugin(**spec: Any) -> dict[str, Any]:
    return {"kind": "Plugin", "metadata": {"name": "pg"}, "spec": spec}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(manifests(DIALECT))


@pytest.mark.parametrize("one", EXAMPLE.said, ids=lambda one: f"{one.value['kind']}-{one.value['metadata']['name']}")
def test_the_example_is_right(one: Said) -> None:
    assert not list(JUDGE.iter_errors(one.value))
    assert not check([one])


def test_the_example_has_a_plugin_a_vm_and_two_deployments() -> None:
    assert not EXAMPLE.flaws
    assert sorted(one.value["kind"] for one in EXAMPLE.said) == ["Deployment", "Deployment", "Plugin", "VM"]


@pytest.mark.parametrize(
    ("manifest", "is_right"),
    [
        (vm(), True),
        (vm(power="stopped", grace_s=3, config={"env": {"A": "1"}}), True),
        (vm(power="off"), False),
        (vm(plugn="x"), False),
        (vm(config={"resources": {"vcpu": 0}}), False),
        (plugin(**PLUGIN), True),
        (plugin(**PLUGIN, enabled=False), True),
        (plugin(**PLUGIN, enabled="no"), False),
        (plugin(**PLUGIN, name="pg"), False),
        (plugin(**PLUGIN, labels={}), False),
        (plugin(version="1"), False),
        ({"kind": "Vm", "metadata": {"name": "a"}, "spec": {}}, False),
        ({"kind": "VM", "metadata": {"name": "A"}, "spec": {"plugin": "x"}}, False),
        ({"metadata": {"name": "a"}}, False),
    ],
    ids=json.dumps,
)
def test_the_schema_and_the_command_agree(manifest: dict[str, Any], is_right: bool) -> None:
    assert JUDGE.is_valid(manifest) == is_right
    assert (not check([Said("f.yaml", manifest, Marks(Place(1, 1)))])) == is_right
