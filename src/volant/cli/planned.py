"""What an apply does or would do, line by line.

    + vm/db created
    ~ deployment/web replicas: 2 -> 5
    - vm/old deleted
    set infra: 1 created, 1 changed, 1 deleted, 4 unchanged

Values are shown as the daemon tells them: of secrets there are digests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from volant.cli.terminal import plain
from volant.model.apply.outcome import ApplyView, Planned

SIGNS: Mapping[str, tuple[str, str]] = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "delete": ("-", "red"),
    "unchanged": ("=", ""),
}
DONE: Mapping[str, str] = {"create": "created", "update": "changed", "delete": "deleted", "unchanged": "unchanged"}
TO_DO: Mapping[str, str] = {
    "create": "to be created",
    "update": "to be changed",
    "delete": "to be deleted",
    "unchanged": "unchanged",
}
LONGEST = 60
"""Characters of a value that are shown."""


def lines(view: ApplyView, *, all_of_it: bool = False, coloured: bool = False) -> Iterator[str]:
    """A line for each object that is not left as it is, or for each; and one that counts them."""
    words = TO_DO if view.dry_run else DONE
    for one in view.objects:
        if all_of_it or one.action != "unchanged":
            said = ", ".join(_changed(one)) if one.action == "update" else words[one.action]
            yield _line(one, said or words[one.action], coloured=coloured)
    yield summary(view)


def differences(view: ApplyView, *, coloured: bool = False) -> Iterator[str]:
    """As `lines`, but a line for each field, of what is created too."""
    for one in view.objects:
        if one.action != "unchanged":
            yield _line(one, TO_DO[one.action], coloured=coloured)
            yield from (f"    {field}" for field in _changed(one))
    yield summary(view)


def summary(view: ApplyView) -> str:
    """How many of each."""
    words = TO_DO if view.dry_run else DONE
    counted = [f"{count} {words[action]}" for action, count in view.summary.items() if count]
    return f"set {plain(view.set)}: {', '.join(counted) or 'nothing in it, nothing to do'}"


def named(kind: str, name: str) -> str:
    """As commands take it: `vm/db`."""
    return f"{kind.lower()}/{plain(name)}"


def _line(one: Planned, said: str, *, coloured: bool) -> str:
    sign, colour = SIGNS[one.action]
    later = " (its guest keeps what it has until it is restarted)" if one.restart_required else ""
    line = f"{sign} {named(one.kind, one.name)} {said}{later}"
    return click.style(line, fg=colour) if coloured and colour else line


def _changed(one: Planned) -> Iterator[str]:
    for path, sides in one.changes.items():
        if not isinstance(sides, dict):
            continue
        if one.action == "create":
            yield f"{plain(path)}: {_value(sides.get('new'))}"
        else:
            yield f"{plain(path)}: {_value(sides.get('old'))} -> {_value(sides.get('new'))}"


def _value(value: Any) -> str:
    if value is None:
        return "(nothing)"
    text = plain(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
