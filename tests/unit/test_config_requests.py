"""What a VM is made with: what it asks for itself, and for the rest what its plugin says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.builders.objects import a_manifest

from volant.api.body import decode_body
from volant.errors import Invalid
from volant.model.meta import Misfit
from volant.model.objects import decode
from volant.model.patches import ConfigPatch, patched
from volant.model.requests import AskedConfig, NewVM, resolve
from volant.model.vm import MAX_ENV_BYTES, VM, CloudInit, NetworkConfig, Resources, VMConfig


def asked(**config: Any) -> AskedConfig:
    return decode_body(msgspec.json.encode(config), AskedConfig)


def patch(**config: Any) -> ConfigPatch:
    return decode_body(msgspec.json.encode(config), ConfigPatch)


MANIFEST = a_manifest(
    resources=Resources(vcpu=2, memory_mb=512),
    env={"MODE": "prod", "PORT": "80"},
    cloud_init=CloudInit(user_data="#cloud-config", meta_data="a: 1"),
    network=NetworkConfig(mode="bridge", bridge_name="volbr0"),
)


def test_what_a_vm_asks_for_nothing_of_is_the_plugin_s() -> None:
    assert resolve(AskedConfig(), MANIFEST) == VMConfig(
        resources=Resources(vcpu=2, memory_mb=512),
        env={"MODE": "prod", "PORT": "80"},
        cloud_init=CloudInit(user_data="#cloud-config", meta_data="a: 1"),
        network=NetworkConfig(mode="bridge", bridge_name="volbr0"),
    )
    assert resolve(AskedConfig(), a_manifest()) == VMConfig()


def test_variables_are_merged_name_by_name() -> None:
    found = resolve(asked(env={"PORT": "8080", "DEBUG": ""}), MANIFEST)
    assert found.env == {"MODE": "prod", "PORT": "8080", "DEBUG": ""}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("mine", CloudInit(user_data="mine", meta_data="a: 1")),
        ({"user_data": ""}, CloudInit(user_data="", meta_data="a: 1")),
        ({"enabled": False}, CloudInit(enabled=False, user_data="#cloud-config", meta_data="a: 1")),
        ({"network_config": "n"}, CloudInit(user_data="#cloud-config", meta_data="a: 1", network_config="n")),
        ({"user_data": None}, CloudInit(user_data="#cloud-config", meta_data="a: 1")),
        (None, CloudInit(user_data="#cloud-config", meta_data="a: 1")),
    ],
)
def test_cloud_init_is_merged_part_by_part(own: Any, expected: CloudInit) -> None:
    assert resolve(asked(cloud_init=own), MANIFEST).cloud_init == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("text", CloudInit(user_data="text")),
        ({}, None),
        ({"enabled": True}, CloudInit()),
        ({"enabled": False}, CloudInit(enabled=False)),
    ],
)
def test_without_a_plugin_s_own_it_is_what_was_asked_for(said: Any, expected: CloudInit | None) -> None:
    assert resolve(asked(cloud_init=said), a_manifest()).cloud_init == expected


def test_a_plugin_may_say_its_user_data_as_a_string() -> None:
    assert resolve(AskedConfig(), a_manifest(cloud_init="text")).cloud_init == CloudInit(user_data="text")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"mode": "user"}, NetworkConfig(mode="user")),
        ({"mode": "bridge"}, NetworkConfig(mode="bridge", bridge_name="volbr0")),
        ({"bridge_name": "br1"}, NetworkConfig(mode="bridge", bridge_name="br1")),
        ({"mode": "bridge", "bridge_name": "br1"}, NetworkConfig(mode="bridge", bridge_name="br1")),
    ],
)
def test_a_bridge_s_name_goes_with_its_mode(own: dict[str, str], expected: NetworkConfig) -> None:
    assert resolve(asked(network=own), MANIFEST).network == expected


def test_everything_wrong_with_a_config_is_said_at_once() -> None:
    config = {
        "resources": {"vcpu": 0, "memory": 5},
        "cloud_init": {"user_data": 5, "meta_data": "x" * 16385},
        "env": {"1A": "x", "A B": "x", "OK": "x", "NUL": "a\0b", "TWO": "a\nb", "N": 1},
    }
    body = msgspec.json.encode({"name": "a", "plugin": "p", "config": config})
    with pytest.raises(Invalid) as refused:
        decode_body(body, NewVM)
    paths = [field["path"] for field in refused.value.details["fields"]]
    assert paths == [
        *("/config/resources/memory", "/config/resources/vcpu", "/config/cloud_init/user_data"),
        *("/config/cloud_init/meta_data", "/config/env/1A", "/config/env/A B", "/config/env/NUL"),
        *("/config/env/TWO", "/config/env/N"),
    ]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"cloud_init": "x" * 65537}, "/cloud_init"),
        ({"cloud_init": 5}, "/cloud_init"),
        ({"env": {f"V{n}": "" for n in range(65)}}, "/env"),
        ({"env": {f"V{n}": "x" * 8192 for n in range(5)}}, "/env"),
        ({"env": {"A": "x" * 8193}}, "/env/A"),
        ({"env": ["A=1"]}, "/env"),
    ],
)
def test_what_is_too_much_or_of_another_kind_is_refused(config: dict[str, Any], path: str) -> None:
    with pytest.raises(Invalid) as refused:
        asked(**config)
    assert [field["path"] for field in refused.value.details["fields"]] == [path]


def test_a_vm_s_variables_and_the_plugin_s_count_together() -> None:
    manifest = a_manifest(env={f"P{n}": "" for n in range(40)})
    with pytest.raises(Misfit, match="at most 64 variables in all, not 70") as refused:
        resolve(asked(env={f"V{n}": "" for n in range(30)}), manifest)
    assert refused.value.path == "/env"
    assert len(resolve(asked(env={f"P{n}": "x" for n in range(40)}), manifest).env) == 40


def test_a_patch_may_not_make_it_more_than_a_vm_may_have() -> None:
    half = "x" * (MAX_ENV_BYTES // 5)
    config = VMConfig(env={f"V{n}": half for n in range(4)})
    assert patched(config, patch(env={"V0": None, "V9": half}), VMConfig()).env.keys() == {"V1", "V2", "V3", "V9"}
    with pytest.raises(Misfit, match="bytes in all"):
        patched(config, patch(env={"V9": half}), VMConfig())


def test_a_patch_changes_what_it_names() -> None:
    config = VMConfig(resources=Resources(vcpu=2, memory_mb=512), env={"A": "1"})
    found = patched(config, patch(resources={"vcpu": 4}, env={"B": "2"}), VMConfig(env={"C": "3"}))
    assert found == VMConfig(resources=Resources(vcpu=4, memory_mb=512), env={"A": "1", "B": "2"})


def test_null_goes_back_to_the_plugin_s() -> None:
    default = resolve(AskedConfig(), MANIFEST)
    config = VMConfig(
        resources=Resources(vcpu=8, memory_mb=1024),
        env={"MODE": "test", "MINE": "1"},
        cloud_init=CloudInit(enabled=False, user_data="mine"),
        network=NetworkConfig(mode="none"),
    )
    removing = patch(resources={"vcpu": None}, env={"MODE": None, "MINE": None}, cloud_init={"user_data": None})
    assert patched(config, removing, default) == VMConfig(
        resources=Resources(vcpu=2, memory_mb=1024),
        env={"MODE": "prod"},
        cloud_init=CloudInit(enabled=False, user_data="#cloud-config"),
        network=NetworkConfig(mode="none"),
    )
    everything = patch(resources=None, env=None, cloud_init=None, network=None)
    assert patched(config, everything, default) == default
    assert patched(config, everything, VMConfig()) == VMConfig()


def test_a_string_takes_the_place_of_all_of_cloud_init() -> None:
    config = VMConfig(cloud_init=CloudInit(enabled=False, user_data="old", meta_data="m"))
    assert patched(config, patch(cloud_init="new"), VMConfig()).cloud_init == CloudInit(user_data="new")


def test_an_empty_patch_is_no_change() -> None:
    config = resolve(AskedConfig(), MANIFEST)
    assert patched(config, patch(), VMConfig()) == config
    assert patched(config, patch(resources={}, network={}, cloud_init={}, env={}), VMConfig()) == config


def test_a_vm_of_an_earlier_database_is_read() -> None:
    doc = b"""{"meta": {"name": "a", "uid": "u", "kind": "VM", "created_at": 1.5}, "spec": {"plugin": "p", "config":
    {"resources": {"vcpu": 1, "memory_mb": 64}, "network": {}, "cloud_init": {"user_data": "x"}}},
    "status": {"booted": {"config": {"resources": {"vcpu": 1, "memory_mb": 64}, "network": {}}, "restart_nonce": 0}}}"""
    vm = decode("VM", doc)
    assert isinstance(vm, VM)
    assert vm.spec.config == VMConfig(resources=Resources(vcpu=1, memory_mb=64), cloud_init=CloudInit(user_data="x"))
