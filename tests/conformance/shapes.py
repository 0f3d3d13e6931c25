"""Is what came back what is documented? Every documented field must be there and be the same.

    differences(documented, returned, free) -> ["resources.vcpu: documented is 2, returned is 4"]

The world is set up as the examples presume, so a value is compared as it is printed. What no two runs can share is
known by its format: an instant must be an instant, an address an address. Whatever else may differ is named in `free`,
path by path, and must be of the documented type all the same. What is returned beyond the documented is Volant's own
business. An element of a list is found by its `name` or `type` where it has one, else by its place; order counts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Container, Iterator
from typing import Any

INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")
IDENTITIES = ("name", "type")


def differences(documented: Any, returned: Any, free: Container[str] = (), path: str = "") -> list[str]:
    """One sentence for each field that is missing or another. Paths of list elements have `[]` for the index."""
    if isinstance(documented, dict):
        return _objects(documented, returned, free, path)
    if isinstance(documented, list):
        return _lists(documented, returned, free, path)
    return [f"{path}: {why}"] if (why := _leaf(documented, returned, is_free=path in free)) else []


def leaves(documented: Any, path: str = "") -> Iterator[str]:
    """The path of every documented field, containers left out."""
    if isinstance(documented, dict) and documented:
        for key, value in documented.items():
            yield from leaves(value, _below(path, key))
    elif isinstance(documented, list) and any(isinstance(element, dict) for element in documented):
        for element in documented:
            yield from leaves(element, path + "[]")
    else:
        yield path


def missing(documented: Any, returned: Any) -> list[str]:
    """The documented fields that are not returned, whatever their values."""
    there = set(leaves(returned))
    return [path for path in leaves(documented) if not any(_holds(other, path) for other in there)]


def _holds(other: str, path: str) -> bool:
    return other == path or other.startswith((path + ".", path + "[]"))


def _objects(documented: dict[str, Any], returned: Any, free: Container[str], path: str) -> list[str]:
    if not isinstance(returned, dict):
        return [f"{path}: documented is an object, returned is {returned!r}"]
    found = []
    for key, value in documented.items():
        below = _below(path, key)
        if key in returned:
            found += differences(value, returned[key], free, below)
        else:
            found.append(f"{below}: not returned")
    return found


def _lists(documented: list[Any], returned: Any, free: Container[str], path: str) -> list[str]:
    if not isinstance(returned, list):
        return [f"{path}: documented is a bare array, returned is {returned!r}"]
    if path in free:
        kinds = {type(element) for element in documented} or {str}
        return [f"{path}: holds {element!r}" for element in returned if type(element) not in kinds]
    identity = _identity(documented)
    if identity is None:
        return _by_place(documented, returned, free, path)
    return _by_identity(documented, returned, free, path, identity)


def _by_place(documented: list[Any], returned: list[Any], free: Container[str], path: str) -> list[str]:
    if len(documented) != len(returned):
        return [f"{path}: documented are {len(documented)} elements, returned are {len(returned)}: {returned!r}"]
    pairs = zip(documented, returned, strict=True)
    return [why for one, other in pairs for why in differences(one, other, free, path + "[]")]


def _by_identity(
    documented: list[dict[str, Any]], returned: list[Any], free: Container[str], path: str, identity: str
) -> list[str]:
    places = {element.get(identity): place for place, element in enumerate(returned) if isinstance(element, dict)}
    wanted = [element[identity] for element in documented]
    if missing := [name for name in wanted if name not in places]:
        return [f"{path}[]: {identity} {missing[0]!r} not returned"]
    order = [places[name] for name in wanted]
    found = [f"{path}[]: not in the documented order"] if order != sorted(order) else []
    for element, place in zip(documented, order, strict=True):
        found += differences(element, returned[place], free, path + "[]")
    return found


def _identity(documented: list[Any]) -> str | None:
    """The field that tells the elements apart."""
    for name in IDENTITIES:
        if documented and all(isinstance(element, dict) and name in element for element in documented):
            return name
    return None


def _leaf(documented: Any, returned: Any, *, is_free: bool) -> str | None:
    if type(returned) is not type(documented):
        return f"documented is {documented!r}, returned is {returned!r}"
    if isinstance(documented, str):
        for format_, is_format in FORMATS.items():
            if is_format(documented):
                return None if is_format(returned) else f"documented is an {format_}, returned is {returned!r}"
    if is_free:
        return "returned is empty" if returned == "" else None
    return None if returned == documented else f"documented is {documented!r}, returned is {returned!r}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


FORMATS: dict[str, Callable[[str], bool]] = {
    "instant (RFC 3339, Z)": lambda text: INSTANT.fullmatch(text) is not None,
    "IPv4 address": _is_address,
}


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
