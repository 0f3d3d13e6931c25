"""From options and files to what is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from volant.cli.bodies import body_of, document, pairs
from volant.cli.vm_config import _patch
from volant.cli.vms import _published
from volant.errors import Invalid

NOTHING: dict[str, Any] = {
    "file": None,
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
    return body_of({**NOTHING, "file": file, **said}, FIELDS, **parts)


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


@pytest.mark.parametrize("text", ["", "[]", "{", "1", '{"a":NaN'])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text)
    with pytest.raises(Invalid, match="cannot"):
        document(str(tmp_path / "a"))


def test_a_pair_is_cut_at_its_first_equals_sign() -> None:
    assert pairs(("A=b=c", "D="), "a variable") == {"A": "b=c", "D": ""}
    with pytest.raises(click.UsageError):
        pairs(("A",), "a variable")


def test_a_change_is_json_where_it_is_some_and_text_where_text_is_meant() -> None:
    changes = ("resources.vcpu=4", "network.mode=user", "env.PORT=80", "env.NO=no", "cloud_init.enabled=false", "x=[1]")
    assert _patch(changes, ("env.OLD",), {}) == {
        "resources": {"vcpu": 4},
        "network": {"mode": "user"},
        "env": {"PORT": "80", "NO": "no", "OLD": None},
        "cloud_init": {"enabled": False},
        "x": [1],
    }


def test_a_published_port_is_two_ports() -> None:
    assert _published("8080:80") == {"host_port": 8080, "guest_port": 80}
    for wrong in ("80", "a:80", ":80", "80:"):
        with pytest.raises(click.UsageError):
            _published(wrong)
