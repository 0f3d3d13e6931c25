"""Objects as words of a command line, and what completes them."""

from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete

from volant.cli import volant
from volant.cli.nouns import DEPLOYMENT, PLUGIN, VM
from volant.cli.objects import kind_or_object, of_a_kind, one_object


@pytest.mark.parametrize("words", [("vm/db",), ("vm", "db"), ("vms", "db"), ("vms/db",)])
def test_one_object_is_said_in_several_ways(words: tuple[str, ...]) -> None:
    assert one_object(words) == of_a_kind(words) == kind_or_object(words) == (VM, "db")


def test_a_name_alone_has_no_kind() -> None:
    assert one_object(("db",)) == (None, "db")
    with pytest.raises(click.UsageError, match="vm/db, deployment/db, plugin/db"):
        of_a_kind(("db",))


def test_a_kind_alone_is_a_kind_where_that_may_be() -> None:
    assert kind_or_object(("deployments",)) == (DEPLOYMENT, None)
    assert kind_or_object(("plugin",)) == (PLUGIN, None)
    assert kind_or_object(()) == (None, None)
    with pytest.raises(click.UsageError, match="say which vm: vm/NAME"):
        of_a_kind(("vm",))


@pytest.mark.parametrize("words", [(), ("vm/",), ("/db",), ("set/db",), ("set", "db"), ("vm", "a", "b"), ("vm", "")])
def test_anything_else_is_wrong_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError, match="such as vm/db"):
        one_object(words)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that has one object of each kind, and one set and sync."""
    known = {"vms": "db", "deployments": "web", "plugins": "hello", "sets": "infra", "syncs": "site"}
    monkeypatch.setattr("volant.cli.ending.names_of", lambda _, noun, **__: [known[noun]])


def completions(*words: str) -> list[str]:
    """What is offered for the last of these words."""
    found = ShellComplete(volant, {}, "volant", "_VOLANT_COMPLETE").get_completions([*words[:-1]], words[-1])
    return [one.value for one in found]


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("wait |", "vm deployment plugin"),
        ("wait v|", "vm"),
        ("wait vm |", "db"),
        ("wait vm/|", "vm/db"),
        ("wait vm/x|", ""),
        ("wait set/|", ""),
        ("wait vm db |", ""),
        ("events deployment/|", "deployment/web"),
        ("export |", "vm/db deployment/web plugin/hello"),
        ("export vm/db dep|", "deployment/web"),
        ("export plugin/h|", "plugin/hello"),
        ("export --set |", "infra"),
        ("sets get |", "infra"),
        ("sets restore |", "infra"),
        ("sets rollback |", "infra"),
        ("syncs get |", "site"),
        ("syncs now |", "site"),
    ],
)
def test_objects_are_completed(words: str, offered: str) -> None:
    assert completions(*words.rstrip("|").split(" ")) == offered.split()
