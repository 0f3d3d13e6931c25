"""docs/cli.md lists the commands that there are, with their options; help has what it says of itself."""

from __future__ import annotations

import re

import click
import pytest
from tests.builders.commands import COMMON, Leaf, leaves
from tests.builders.sources import ROOT

from volant.cli import ending, volant

PAGE = (ROOT / "docs" / "cli.md").read_text()
LEAVES = list(leaves())


def section(title: str) -> str:
    """What stands below a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows() -> dict[str, str]:
    """Command -> its cell of options."""
    return dict(re.findall(r"^\| `(volant [^`]+)` \|[^|]*\|([^|]*)\|", section("Commands"), re.MULTILINE))


def name(leaf: Leaf) -> str:
    return " ".join(leaf.words)


def test_every_command_is_in_the_table_of_commands() -> None:
    assert set(rows()) == {name(leaf) for leaf in LEAVES}


@pytest.mark.parametrize("leaf", LEAVES, ids=name)
def test_the_table_has_every_option_of_a_command(leaf: Leaf) -> None:
    if name(leaf) == "volant serve":
        return  # Those are settings, and have a table of their own.
    shown = leaf.options - COMMON if "--url" in leaf.options else leaf.options
    assert set(re.findall(r"`(--[a-z-]+)`", rows()[name(leaf)])) == shown


@pytest.mark.parametrize("leaf", LEAVES, ids=name)
def test_every_command_and_every_option_says_what_it_is(leaf: Leaf) -> None:
    assert leaf.command.get_short_help_str(200)
    silent = [param.name for param in leaf.command.params if isinstance(param, click.Option) and not param.help]
    assert not silent


def test_the_overview_says_of_each_command_what_the_command_says_of_itself() -> None:
    context = click.Context(volant)
    said = {}
    for word in volant.list_commands(context):
        command = volant.get_command(context, word)
        assert command is not None
        said[word] = command.get_short_help_str(200)
    assert {word: text for word, (_, text) in volant.table.items()} == said


def test_one_short_option_means_one_thing() -> None:
    meanings: dict[str, set[str]] = {}
    for leaf in LEAVES:
        for param in leaf.command.params:
            for short in [opt for opt in param.opts if re.fullmatch(r"-[a-z]", opt)]:
                meanings.setdefault(short, set()).add(max(param.opts, key=len))
    assert {short: names for short, names in meanings.items() if len(names) > 1} == {"-f": {"--filename", "--follow"}}


def test_every_exit_status_is_in_the_table() -> None:
    found = {int(number) for number in re.findall(r"^\| (\d+) \|", section("Exit status"), re.MULTILINE)}
    known = {ending.DONE, ending.ERROR, ending.FAILED, ending.GONE, ending.TIMED_OUT, ending.USAGE}
    assert found == known | {ending.INTERRUPTED}
