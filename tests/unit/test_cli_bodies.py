"""From options and files to what is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from volant.cli import deployments
from volant.cli.bodies import body_of, document, pairs, patch_of
from volant.cli.ending import ERROR, Ended
from volant.cli.vm_config import _is_text
from volant.cli.vms import _published

NOTHING: dict[str, Any] = {
    "name": None,
    "plugin": None,
    "vcpu": None,
    "memory_mb": None,
    "env": (),
    "label": (),
}
FIELDS = ("name", "plugin")


def body(file: str | None = None, **said: Any) -> dict[str, Any]:
    parts = {key: said.pop(key) for key in ("network", "cloud_init") if key in said}
    return body_of({**NOTHING, **said}, FIELDS, document(file) if file else None, **parts)


def test_only_what_was_said_is_sent() -> None:
    assert body(name="a", plugin="p") == {"name": "a", "plugin": "p"}
    assert body(name="a", plugin="p", vcpu=2, network={"mode": "none"}, cloud_init=None)["config"] == {
        "resources": {"vcpu": 2},
        "network": {"mode": "none"},
    }


def test_options_are_laid_over_the_file_and_leave_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"name": "a", "plugin": "p", "labels": {"x": "1"}, "config": {"env": {"A": "1"}}}))
    merged = body(str(file), name="b", label=("y=2",), env=("A=2", "B="), memory_mb=64)
    assert merged == {
        "name": "b",
        "plugin": "p",
        "labels": {"x": "1", "y": "2"},
        "config": {"env": {"A": "2", "B": ""}, "resources": {"memory_mb": 64}},
    }


@pytest.mark.parametrize("text", ["", "[]", "{", "1", '{"a":NaN', "a: 1\n---\nb: 2", "a: &a [*a]"])
@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a"])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Ended, match="cannot") as caught:
        document(str(tmp_path / name))
    assert caught.value.exit_code == ERROR


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    """As manifests do: an address of a network card stays text, and so does NO."""
    (tmp_path / "a.yaml").write_text("mac: 52:54:00:12:34:56\nanswer: NO\ncount: 0o14\nnothing: ~\n")
    (tmp_path / "a.json").write_text('{"mac": "52:54:00:12:34:56", "answer": "NO", "count": 12, "nothing": null}')
    assert document(str(tmp_path / "a.yaml")) == document(str(tmp_path / "a.json"))


def test_a_pair_is_cut_at_its_first_equals_sign() -> None:
    assert pairs(("A=b=c", "D="), "a variable") == {"A": "b=c", "D": ""}
    with pytest.raises(click.UsageError):
        pairs(("A",), "a variable")


def test_a_change_is_json_where_it_is_some_and_text_where_text_is_meant() -> None:
    changes = ("resources.vcpu=4", "network.mode=user", "env.PORT=80", "env.NO=no", "cloud_init.enabled=false", "x=[1]")
    assert patch_of(changes, ("env.OLD",), {}, _is_text) == {
        "resources": {"vcpu": 4},
        "network": {"mode": "user"},
        "env": {"PORT": "80", "NO": "no", "OLD": None},
        "cloud_init": {"enabled": False},
        "x": [1],
    }


def test_a_change_of_a_deployment_knows_where_text_is_meant() -> None:
    changes = ("replicas=3", "plugin=7", "config.env.PORT=80", "labels.example.com/v=1", "strategy.max_surge=50%")
    assert patch_of(
        changes, ("labels.old.key",), {"replicas": 1, "config": {"env": {"A": "1"}}}, deployments._is_text
    ) == {
        "replicas": 3,
        "plugin": "7",
        "config": {"env": {"A": "1", "PORT": "80"}},
        "labels": {"example.com/v": "1", "old.key": None},
        "strategy": {"max_surge": "50%"},
    }


def test_what_changes_nothing_or_itself_is_wrong_usage() -> None:
    for changes in ((), ("a=1", "a.b=2")):
        with pytest.raises(click.UsageError):
            patch_of(changes, (), {}, _is_text)


def test_a_published_port_is_two_ports() -> None:
    assert _published("8080:80") == {"host_port": 8080, "guest_port": 80}
    for wrong in ("80", "a:80", ":80", "80:"):
        with pytest.raises(click.UsageError):
            _published(wrong)
