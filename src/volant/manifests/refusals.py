"""What a daemon says of single objects of an apply that it refuses, field by field, for `server_flaws` to place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from volant.model.history import in_words


def in_the_way(details: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Paths and sentences: of each object that can be no part of this now, of each field where fields are said."""
    found = details.get("objects")
    for one in found if isinstance(found, list) else ():
        conflicts = one.get("details", {}).get("conflicts") or []
        for clash in conflicts:
            said = f"{', '.join(clash['owners'])} says {in_words(clash['live'])}, not {in_words(clash['wanted'])}"
            yield {"path": f"{one['path']}{_pointer(clash['path'])}", "message": said}
        if not conflicts:
            yield {"path": one["path"], "message": one["error"]}


def _pointer(dotted: str) -> str:
    first, *rest = dotted.split(".")
    if first in ("labels", "annotations"):  # There are dots in their keys.
        return f"/metadata/{first}/{'.'.join(rest)}"
    return "/spec/" + "/".join([first, *rest])
