"""What changed, as people read it, and what of it is nobody's business."""

from __future__ import annotations

from typing import Any

import pytest

from volant.model.history import changes, digest, flat, is_secret, redacted
from volant.model.vm import CloudInit, NetworkConfig, Resources, VMConfig


def test_a_change_is_a_dotted_path_with_what_was_and_what_is() -> None:
    old = VMConfig(resources=Resources(vcpu=2, memory_mb=512))
    new = VMConfig(resources=Resources(vcpu=4, memory_mb=512))
    assert changes(old, new) == {"resources.vcpu": {"old": 2, "new": 4}}


def test_a_side_that_has_nothing_is_null() -> None:
    bare, told = VMConfig(), VMConfig(cloud_init=CloudInit(user_data="x"), env={"A": "1"})
    assert changes(bare, told) == {
        "cloud_init.enabled": {"old": None, "new": True},
        "cloud_init.user_data": {"old": None, "new": "x"},
        "env.A": {"old": None, "new": "1"},
    }
    assert changes(told, bare)["env.A"] == {"old": "1", "new": None}


def test_what_is_the_same_is_no_change() -> None:
    config = VMConfig(network=NetworkConfig(mode="user"), env={"A": "1"})
    assert changes(config, VMConfig(network=NetworkConfig(mode="user"), env={"A": "1"})) == {}


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1}, {"a": 1}, []),
        ({}, {"a": {}}, []),
        ({"a": None}, {}, []),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": {"b": 1}}, {"a": 1}, ["a", "a.b"]),
        ({"b": 1, "a": 1}, {"a": 2, "c": 1}, ["a", "c", "b"]),
        (None, {"a": {"b": 1}}, ["a.b"]),
    ],
)
def test_plain_values_are_walked_as_well(old: Any, new: Any, paths: list[str]) -> None:
    assert list(changes(old, new)) == paths


def test_a_document_without_end_is_walked_so_far_and_compared_whole_from_there() -> None:
    deep: Any = 1
    other: Any = 2
    for _ in range(300):
        deep, other = {"x": deep}, {"x": other}
    assert len(flat(deep)) == 1
    assert list(changes(deep, other)) == [".".join("x" * 16)]


@pytest.mark.parametrize(
    "path",
    [
        *("env.TOKEN", "config.env.TOKEN", "cloud_init", "cloud_init.user_data", "config.cloud_init.user_data"),
        *("cloud_init.meta_data", "cloud_init.network_config"),
    ],
)
def test_values_of_variables_and_texts_for_cloud_init_are_secret(path: str) -> None:
    assert is_secret(path)


@pytest.mark.parametrize(
    "path", ["cloud_init.enabled", "resources.vcpu", "labels.env", "network.mode", "environment.a"]
)
def test_nothing_else_is(path: str) -> None:
    assert not is_secret(path)


def test_of_a_secret_there_is_a_digest_that_tells_one_from_another() -> None:
    shown = redacted(
        changes(VMConfig(env={"A": "hunter2"}), VMConfig(env={"A": "hunter3"}, resources=Resources(vcpu=3)))
    )
    assert shown["resources.vcpu"] == {"old": 1, "new": 3}
    assert shown["env.A"] == {"old": digest("hunter2"), "new": digest("hunter3")}
    assert "hunter" not in str(shown)
    assert digest("hunter2") == "sha256:f52fbd32b2b3b86f"
    assert digest(None) is None
