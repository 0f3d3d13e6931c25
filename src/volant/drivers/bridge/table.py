"""Rules as data, and what nft has to be told so that the kernel has them: pure.

    Wanted ──┐
             ├─▶ repair ──▶ commands of one transaction, none when all is right
    Seen  ───┘
     ▲
    parse ◀── nft -j list table

Every rule carries the digest of what it says as its comment. nft gives a rule back in other words than it was given,
so a look compares comments: what was removed, added or moved by hand shows, whoever rewrites a rule under its own
comment is believed. A rule of a VM also names the VM.

Maps are verdict maps: their elements send packets to the chain of a VM.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, field

from volant.clock import Uid

Expr = dict[str, Any]
Command = dict[str, Any]
Key = tuple[str | int, ...]
"""Of an element: one value a part of the map's type."""


class Place(NamedTuple):
    """A chain or map, in our table of that family."""

    family: str
    name: str


class Hook(NamedTuple):
    """Where the kernel enters a chain. Its policy is always accept: only what is a guest's is ours to judge."""

    type: str
    hook: str
    prio: int


class Rule(NamedTuple):
    """`why` is for whoever reads the comment."""

    why: str
    exprs: tuple[Expr, ...]

    def comment(self, uid: Uid | None) -> str:
        """At most 128 bytes, the kernel's limit."""
        digest = hashlib.sha256(json.dumps(self.exprs, sort_keys=True).encode()).hexdigest()[:10]
        return f"{f'{uid}: ' if uid is not None else ''}{self.why[:40]} #{digest}"


class Chain(NamedTuple):
    """A chain with its rules in order."""

    rules: tuple[Rule, ...]
    hook: Hook | None = None


class Wanted(Struct, frozen=True, kw_only=True):
    """Chains, maps (the types of their keys) and elements (the chain they lead to). `uid`: whose they are."""

    uid: Uid | None = None
    maps: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    chains: dict[Place, Chain] = field(default_factory=dict)
    elements: dict[Place, dict[Key, str]] = field(default_factory=dict)

    def comments(self, place: Place) -> tuple[str, ...]:
        """What the rules of a chain carry."""
        return tuple(rule.comment(self.uid) for rule in self.chains[place].rules)


class Seen(Struct, kw_only=True):
    """Our tables as they are. Chains are known by the comments of their rules."""

    families: set[str] = field(default_factory=set)
    hooks: dict[Place, Hook | None] = field(default_factory=dict)
    chains: dict[Place, list[str]] = field(default_factory=dict)
    maps: dict[Place, dict[Key, str]] = field(default_factory=dict)

    def uids(self) -> set[Uid]:
        """The VMs that there are rules for."""
        said = (comment for comments in self.chains.values() for comment in comments)
        return {Uid(comment.partition(": ")[0]) for comment in said if ": " in comment}

    def of(self, uid: Uid) -> list[Place]:
        """The chains of a VM."""
        return [place for place, comments in self.chains.items() if any(c.startswith(f"{uid}: ") for c in comments)]


def parse(entries: Iterable[Mapping[str, Any]], table: str) -> Seen:
    """What `nft -j list table` says of our tables, without the envelope."""
    seen = Seen()
    for entry in entries:
        [(kind, said)] = entry.items()
        if kind == "table" and said["name"] == table:
            seen.families.add(said["family"])
        elif said.get("table") == table:
            _take(seen, kind, said)
    return seen


def repair(wanted: Wanted, seen: Seen, table: str) -> list[Command]:
    """What makes it so. Elements come last and go first: a chain that something leads to can neither lack nor go."""
    commands = [_table("add", family, table) for family in _families(wanted) if family not in seen.families]
    for place, types in wanted.maps.items():
        if place not in seen.maps:
            kind = types[0] if len(types) == 1 else list(types)
            commands.append(_command("add", "map", place, table, type=kind, map="verdict"))
    for place, chain in wanted.chains.items():
        commands += _chain(place, chain, wanted.comments(place), seen, table)
    past = [place for place in seen.of(wanted.uid) if place not in wanted.chains] if wanted.uid is not None else []
    stale = {map_: _stale(wanted, seen, map_, past) for map_ in seen.maps} if wanted.uid is not None else {}
    for map_, keys in stale.items():
        commands += [_element("delete", map_, key, seen.maps[map_][key], table) for key in keys]
    commands += _gone(past, table)
    for map_, elements in wanted.elements.items():
        have = seen.maps.get(map_, {})
        missing = {key: to for key, to in elements.items() if have.get(key) != to or key in stale.get(map_, ())}
        commands += [_element("add", map_, key, to, table) for key, to in missing.items()]
    return commands


def removal(uid: Uid, names: Collection[str], seen: Seen, table: str) -> list[Command]:
    """What removes everything of a VM, whose chains have these names, be they empty."""
    places = sorted({*seen.of(uid), *(place for place in seen.chains if place.name in names)})
    commands = [
        _element("delete", map_, key, to, table)
        for map_, elements in seen.maps.items()
        for key, to in elements.items()
        if Place(map_.family, to) in places
    ]
    return commands + _gone(places, table)


def destruction(seen: Seen, table: str) -> list[Command]:
    """What removes our tables."""
    return [_table("delete", family, table) for family in sorted(seen.families)]


def applied(seen: Seen, commands: Iterable[Command]) -> Seen:
    """What is there once the commands were carried out, so that nobody has to ask for it."""
    now = Seen(
        families=set(seen.families),
        hooks=dict(seen.hooks),
        chains={place: list(comments) for place, comments in seen.chains.items()},
        maps={place: dict(elements) for place, elements in seen.maps.items()},
    )
    for command in commands:
        [(verb, what)] = command.items()
        [(kind, said)] = what.items()
        if kind == "table":
            now.families.add(said["family"])
        elif verb == "add":
            _take(now, kind, said)
        else:
            _drop(now, verb, kind, said)
    return now


def _families(wanted: Wanted) -> list[str]:
    return sorted({place.family for place in (*wanted.chains, *wanted.maps)})


def _chain(place: Place, chain: Chain, comments: tuple[str, ...], seen: Seen, table: str) -> list[Command]:
    is_there = place in seen.chains
    if is_there and seen.hooks[place] == chain.hook and tuple(seen.chains[place]) == comments:
        return []
    commands: list[Command] = [_command("flush", "chain", place, table)] if is_there else []
    if is_there and seen.hooks[place] != chain.hook:
        commands.append(_command("delete", "chain", place, table))
        is_there = False
    if not is_there:
        hook = chain.hook._asdict() | {"policy": "accept"} if chain.hook is not None else {}
        commands.append(_command("add", "chain", place, table, **hook))
    for rule, comment in zip(chain.rules, comments, strict=True):
        said = {"family": place.family, "table": table, "chain": place.name, "comment": comment}
        commands.append({"add": {"rule": said | {"expr": list(rule.exprs)}}})
    return commands


def _gone(places: Sequence[Place], table: str) -> list[Command]:
    flushed = [_command("flush", "chain", place, table) for place in places]
    return flushed + [_command("delete", "chain", place, table) for place in places]


def _stale(wanted: Wanted, seen: Seen, map_: Place, past: Sequence[Place]) -> list[Key]:
    """Elements that lead to the VM's chains, or stand where its own belong, and are not as wanted."""
    elements = wanted.elements.get(map_, {})
    own = {place.name for place in (*wanted.chains, *past) if place.family == map_.family}
    found = seen.maps[map_].items()
    return [key for key, to in found if elements.get(key) != to and (to in own or key in elements)]


def _table(verb: str, family: str, table: str) -> Command:
    return {verb: {"table": {"family": family, "name": table}}}


def _command(verb: str, kind: str, place: Place, table: str, **more: Any) -> Command:
    return {verb: {kind: {"family": place.family, "table": table, "name": place.name, **more}}}


def _element(verb: str, map_: Place, key: Key, to: str, table: str) -> Command:
    value = key[0] if len(key) == 1 else {"concat": list(key)}
    return _command(verb, "element", map_, table, elem=[[value, {"jump": {"target": to}}]])


def _take(seen: Seen, kind: str, said: Mapping[str, Any]) -> None:
    place = Place(said["family"], said.get("chain", said.get("name", "")))
    if kind == "chain":
        hook = Hook(said["type"], said["hook"], said["prio"]) if "hook" in said else None
        is_ours = said.get("policy", "accept") == "accept"
        seen.hooks[place] = hook if is_ours else Hook("", "", 0)
        seen.chains.setdefault(place, [])
    elif kind == "rule":
        seen.chains.setdefault(place, []).append(said.get("comment", ""))
    elif kind in ("map", "element"):
        elements = seen.maps.setdefault(place, {})
        elements.update((_key(key), _target(verdict)) for key, verdict in said.get("elem", ()))


def _drop(seen: Seen, verb: str, kind: str, said: Mapping[str, Any]) -> None:
    place = Place(said["family"], said["name"])
    if kind == "element":
        for key, _ in said["elem"]:
            seen.maps[place].pop(_key(key), None)
    elif verb == "flush":
        seen.chains[place] = []
    else:
        seen.chains.pop(place, None)
        seen.hooks.pop(place, None)


def _key(said: Any) -> Key:
    if isinstance(said, dict):
        return tuple(said.get("concat", ()))
    return (said,)


def _target(verdict: Any) -> str:
    jump = verdict.get("jump") if isinstance(verdict, dict) else None
    return jump["target"] if jump is not None else ""
