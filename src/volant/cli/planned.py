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
Clashes = Mapping[tuple[str, str], Mapping[str, str]]
"""Kind and name -> dotted path -> whose it is."""
NOTHING: Clashes = {}
LONGEST = 60
"""Characters of a value that are shown."""


def lines(view: ApplyView, *, all_of_it: bool = False, coloured: bool = False) -> Iterator[str]:
    """A line for each object that is not left as it is, or for each; and one that counts them."""
    words = TO_DO if view.dry_run else DONE
    for one in view.objects:
        if all_of_it or one.action != "unchanged" or one.waits is not None:
            said = ", ".join(_changed(one)) if one.action == "update" else words[one.action]
            yield _line(one, said or words[one.action], coloured=coloured)
    yield summary(view)


def differences(view: ApplyView, clashes: Clashes = NOTHING, *, coloured: bool = False) -> Iterator[str]:
    """As `lines`, but a line for each field, of what is created too. `clashes`: whose a field, or all of it, is now."""
    for one in view.objects:
        whose = clashes.get((one.kind, one.name), {})
        if one.action != "unchanged" or whose or one.waits is not None:
            yield _line(one, f"{TO_DO[one.action]}{_conflict(whose.get(''))}", coloured=coloured)
            yield from (f"    {field}{_conflict(whose.get(path))}" for path, field in _fields(one))
    yield summary(view)


def in_conflict(details: Mapping[str, Any]) -> Clashes:
    """Whose the fields are of which a refusal tells; at the path "" whose set the object is of."""
    found: dict[tuple[str, str], Mapping[str, str]] = {}
    for one in details.get("objects") or ():
        more = one.get("details", {})
        whose = {clash["path"]: ", ".join(clash["owners"]) for clash in more.get("conflicts") or ()}
        found[one["kind"], one["name"]] = {**whose, **({"": f"the set {more['set']}"} if "set" in more else {})}
    return found


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
    said = said if one.waits is None else f"waits to be pruned: {plain(one.waits)}"
    line = f"{sign} {named(one.kind, one.name)} {said}{later}"
    return click.style(line, fg=colour) if coloured and colour else line


def _conflict(whose: str | None) -> str:
    return f" (conflict: it is of {plain(whose)})" if whose else ""


def _changed(one: Planned) -> Iterator[str]:
    return (field for _, field in _fields(one))


def _fields(one: Planned) -> Iterator[tuple[str, str]]:
    """Dotted paths, and what is said of each."""
    for path, sides in one.changes.items():
        if not isinstance(sides, dict):
            continue
        if one.action == "create":
            yield path, f"{plain(path)}: {_value(sides.get('new'))}"
        else:
            yield path, f"{plain(path)}: {_value(sides.get('old'))} -> {_value(sides.get('new'))}"


def _value(value: Any) -> str:
    if value is None:
        return "(nothing)"
    text = plain(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
