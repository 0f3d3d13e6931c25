"""What a command says of a refusal: once, and with a hint that names something."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest

from volant.cli.ending import Ended, explained
from volant.cli.options import Memory, Token, Whole
from volant.cli.planned import in_conflict
from volant.cli.revisions import table
from volant.client import ApiError
from volant.clock import rfc3339
from volant.manifests import in_the_way
from volant.model.views import RevisionView
from volant.model.views.configs import ConfigView, NetworkView
from volant.model.vm import Resources


def told(code: str, message: str, **details: Any) -> str:
    """What is printed."""
    with pytest.raises(Ended) as ended, explained("http://127.0.0.1:1"):
        raise ApiError(409, code, message, details=details)
    return ended.value.message


def test_one_field_that_the_message_has_told_is_not_told_again() -> None:
    field = {"path": "/name", "message": "expected a name"}
    other = {"path": "/plugin", "message": "missing"}
    assert told("invalid", "cannot accept /name: expected a name", fields=[field]) == (
        "cannot accept /name: expected a name"
    )
    assert told("invalid", "cannot accept it", fields=[field]) == "cannot accept it\n  /name: expected a name"
    both = told("invalid", "cannot accept /name: expected a name", fields=[field, other])
    assert both.splitlines()[1:] == ["  /name: expected a name", "  /plugin: missing"]


def test_a_hint_names_what_the_error_is_about() -> None:
    assert told("no_such_revision", "no", set="infra").endswith("`volant sets get infra` shows those that are.")
    assert told("no_such_revision", "no", name="web").endswith("rollout history web` shows those that are.")
    assert told("no_such_revision", "no") == "no"
    assert told("deployment_failed", "no") == "no"


def test_a_conflict_is_told_in_values_of_json() -> None:
    clashes = [
        {"path": "replicas", "owners": ["api"], "live": None, "wanted": 3},
        {"path": "labels.a", "owners": ["api"], "live": True, "wanted": "x"},
    ]
    objects = [{"path": "/objects/0", "error": "", "details": {"conflicts": clashes}}]
    assert [one["message"] for one in in_the_way({"objects": objects})] == [
        "api says nothing, not 3",
        'api says true, not "x"',
    ]


def test_whose_what_is_in_conflict_is_by_its_path() -> None:
    clash = {"path": "replicas", "owners": ["api", "ui"]}
    objects = [
        {"kind": "VM", "name": "db", "details": {"set": "other"}},
        {"kind": "Deployment", "name": "web", "details": {"conflicts": [clash]}},
    ]
    assert in_conflict({"objects": objects}) == {
        ("VM", "db"): {"": "the set other"},
        ("Deployment", "web"): {"replicas": "api, ui"},
    }


@pytest.mark.parametrize(("text", "size_mb"), [("512", 512), ("512M", 512), ("1G", 1024), ("2GiB", 2048), ("32", 32)])
def test_memory_has_a_unit(text: str, size_mb: int) -> None:
    assert Memory().convert(text, None, None) == size_mb


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Memory(), "512X", "a number of MiB such as 512"),
        (Memory(), "31", "32 at least"),
        (Whole(1, 64), "two", "a whole number from 1 to 64, not 'two'"),
        (Whole(1), "0", "a whole number of 1 or more, not '0'"),
        (Token(), "deadbeef", "`volant plan` prints one"),
    ],
)
def test_a_wrong_word_is_told_what_was_expected(kind: click.ParamType[Any], text: str, said: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        kind.convert(text, None, None)
    assert said in refused.value.message


def states(*known: str) -> list[str]:
    """The cells of a history of which these are the states, the newest first."""
    found = [
        RevisionView(
            revision=len(known) - at,
            created_at=rfc3339(0.0),
            cause="why",
            plugin="p",
            restart_policy="always",
            config=ConfigView(resources=Resources(vcpu=1, memory_mb=64), network=NetworkView(mode="none")),
            template=str(at),
            current="current" in words,
            complete="complete" in words,
            reverted="reverted" in words,
        )
        for at, words in enumerate(known)
    ]
    return [re.split(r"\s{2,}", line)[2] for line in table(found)[1:]]


def test_only_what_is_current_is_complete_and_else_the_last_that_was() -> None:
    assert states("current complete", "complete", "complete") == ["current,complete", "-", "-"]
    assert states("current", "reverted", "complete", "complete") == ["current", "reverted", "last complete", "-"]
    assert states("current") == ["current"]
