"""What to say when a write is refused because the rows are not what it was decided on."""

from __future__ import annotations

from volant.errors import Conflict
from volant.model.objects import Object


def changed(obj: Object, found: Object | None) -> Conflict:
    """What to raise when something was decided on `obj` while the store holds `found`."""
    same = found is not None and found.meta.uid == obj.meta.uid
    now = f"is at revision {found.meta.revision}" if found is not None and same else "is gone"
    return Conflict(
        f"cannot go on with {named(obj)} at revision {obj.meta.revision}: it {now}",
        details={"name": obj.meta.name, "revision": found.meta.revision if found is not None and same else None},
    )


def named(obj: Object) -> str:
    """The object in a sentence: `VM db`."""
    return f"{obj.meta.kind} {obj.meta.name}"
