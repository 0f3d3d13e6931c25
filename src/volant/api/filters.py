"""From the query of a stream to what it shows: filters that are read, and refused, all at once.

    ?kinds=VM,Plugin&label_selector=app=web ──wanted──▶ Wanted, or Invalid that names every bad parameter

A list with commas is one parameter rather than a parameter given twice, which is refused everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice
from typing import cast, get_args

from msgspec import UNSET, UnsetType

from volant.api.body import MAX_ERRORS
from volant.api.frames import Wanted
from volant.errors import Invalid
from volant.model.event import EventType
from volant.model.meta import Kind
from volant.model.queries import EventQuery, PluginEventQuery
from volant.model.selectors import Selector, parse

_TYPES: Sequence[str] = get_args(EventType)
_KINDS: Sequence[str] = get_args(Kind)


def wanted(
    query: PluginEventQuery, *, kind: Kind | None = None, plugin: str | None = None, deployment: str | None = None
) -> Wanted:
    """What a stream of `kind` (None: of all) shows. Raises Invalid."""
    errors: list[dict[str, str]] = []
    kinds = frozenset[str]({kind}) if kind else None
    if isinstance(query, EventQuery):
        kinds = _both(_one(query.kind), _words("kinds", query.kinds, errors, _KINDS))
    found = Wanted(
        kinds=cast("frozenset[Kind] | None", kinds),
        types=_words("types", query.types, errors, _TYPES),
        names=_both(_one(query.name), _words("names", query.names, errors)),
        plugin=plugin,
        deployment=deployment,
        selector=_selector(query.label_selector, errors),
    )
    if errors:
        raise Invalid(f"cannot accept {errors[0]['path']}: {errors[0]['message']}", fields=errors)
    return found


def given(text: str | UnsetType) -> str | None:
    """The parameter, or None."""
    return None if text is UNSET else text


def _one(text: str | UnsetType) -> frozenset[str] | None:
    return None if text is UNSET else frozenset({text})


def _both(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    """What passes both."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _words(
    name: str, text: str | UnsetType, errors: list[dict[str, str]], known: Sequence[str] | None = None
) -> frozenset[str] | None:
    """The members of a list with commas; what is wrong with them goes to `errors`."""
    if text is UNSET:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        errors.append({"path": f"?{name}", "message": "expected a list with commas between, and nothing empty in it"})
    elif known is not None:
        strange = dict.fromkeys(word for word in words if word not in known)
        errors += [{"path": f"?{name}", "message": _unknown(word, known)} for word in islice(strange, MAX_ERRORS)]
    return frozenset(words)


def _unknown(word: str, known: Sequence[str]) -> str:
    spelt = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(word.lower(), spelt, 1)
    hint = f"Did you mean '{spelt[close[0]]}'?" if close else f"Expected some of: {', '.join(known)}."
    return f"unknown: '{word[:64]}'. {hint}"


def _selector(text: str | UnsetType, errors: list[dict[str, str]]) -> Selector | None:
    if text is UNSET:
        return None
    try:
        return parse(text)
    except ValueError as error:
        errors.append({"path": "?label_selector", "message": str(error)})
        return None
