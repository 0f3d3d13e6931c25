"""From the query of a stream to what it shows."""

from __future__ import annotations

from typing import Any

import pytest

from volant.api.filters import wanted
from volant.api.frames import Wanted
from volant.errors import Invalid
from volant.model.queries import EventQuery, PluginEventQuery
from volant.model.selectors import parse


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, Wanted()),
        ({"kind": "VM"}, Wanted(kinds=frozenset({"VM"}))),
        ({"kinds": "VM, Plugin"}, Wanted(kinds=frozenset({"VM", "Plugin"}))),
        ({"kind": "VM", "kinds": "Plugin"}, Wanted(kinds=frozenset())),
        ({"names": "a,b", "name": "a"}, Wanted(names=frozenset({"a"}))),
        ({"types": "vm.started,vm.started"}, Wanted(types=frozenset({"vm.started"}))),
        ({"label_selector": "a=b,!c"}, Wanted(selector=parse("a=b,!c"))),
    ],
)
def test_what_is_asked_for_is_what_is_shown(query: dict[str, Any], shown: Wanted) -> None:
    assert wanted(EventQuery(**query)) == shown


def test_a_stream_of_one_kind_is_of_that_kind() -> None:
    assert wanted(PluginEventQuery(name="a"), kind="Plugin") == Wanted(
        kinds=frozenset({"Plugin"}), names=frozenset({"a"})
    )


@pytest.mark.parametrize(
    ("query", "path", "says"),
    [
        ({"kinds": "vm"}, "?kinds", "unknown: 'vm'. Did you mean 'VM'?"),
        ({"kinds": "Pod"}, "?kinds", "unknown: 'Pod'. Expected some of: VM, Deployment, Plugin, Sync."),
        ({"types": "vm.startd"}, "?types", "unknown: 'vm.startd'. Did you mean 'vm.started'?"),
        ({"types": ""}, "?types", "expected a list with commas between, and nothing empty in it"),
        ({"names": "a,,b"}, "?names", "expected a list with commas between, and nothing empty in it"),
        ({"label_selector": "a in"}, "?label_selector", "cannot read the selector"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_a_hint(query: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        wanted(EventQuery(**query))
    (error,) = refused.value.details["fields"]
    assert error["path"] == path
    assert error["message"].startswith(says)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        wanted(EventQuery(kinds="VM,vm", types="vm.flown,plugin.redy", names=",", label_selector="=="))
    assert [error["path"] for error in refused.value.details["fields"]] == [
        *("?kinds", "?types", "?types", "?names", "?label_selector"),
    ]
