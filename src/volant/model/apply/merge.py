"""Whose a field is, and what comes of it when somebody says his fields again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

from volant.model.apply.leaves import Leaves

Fields = Mapping[str, Set[str]]
"""Manager -> pointers of the fields that it has said."""

UNTRACKED = "api"
"""Whose the fields of an object are that nobody has ever applied, and who changes single fields by PATCH."""


class Clash(NamedTuple):
    """A field that another manager has said otherwise."""

    path: str
    owners: tuple[str, ...]
    live: Any
    wanted: Any


class Merged(NamedTuple):
    """`said` is the document from now on, without defaults; `fields` who says what of it."""

    said: Leaves
    fields: dict[str, frozenset[str]]
    clashes: tuple[Clash, ...]


def merge(live: Leaves, fields: Fields, manager: str, given: Leaves, *, force: bool = False) -> Merged:
    """What `manager` says, merged into what others have said. With `force` what clashes becomes its own.

    Equal values are shared. What `manager` said before and says no more is gone, unless another says it too: so a
    manifest that stops naming `replicas` leaves a scaled value alone (A2). Whoever has a field that is not there has
    said that it is not to be.
    """
    others = {name: set(paths) for name, paths in fields.items() if name != manager and paths}
    clashes = tuple(
        Clash(path, owners, live.get(path), wanted)
        for path, wanted in given.items()
        if live.get(path) != wanted and (owners := tuple(sorted(n for n, paths in others.items() if path in paths)))
    )
    if force:
        for clash in clashes:
            for owner in clash.owners:
                others[owner].discard(clash.path)
    kept = {path for paths in others.values() for path in paths}
    said = {path: value for path, value in live.items() if path in kept} | given
    absent = kept - live.keys() - given.keys()
    now = {name: frozenset(paths & (said.keys() | absent)) for name, paths in others.items()}
    now |= {manager: frozenset(given)}
    return Merged(said, {name: paths for name, paths in now.items() if paths}, () if force else clashes)


def moved(fields: Fields, manager: str, before: Leaves, after: Leaves) -> dict[str, frozenset[str]]:
    """Who says what after `manager` has changed single fields: those are its own now.

    So is the absence of what it took away of another's, because the other one would put it back without a word. What
    it takes away of its own is nobody's.
    """
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    theirs = {name: frozenset(paths - changed) for name, paths in fields.items()}
    said_by_others = {path for name, paths in fields.items() if name != manager for path in paths}
    mine = theirs.get(manager, frozenset()) | frozenset(changed & (after.keys() | said_by_others))
    return {name: paths for name, paths in {**theirs, manager: mine}.items() if paths}
