"""One turn of a sync: a render becomes what the daemon has, or nothing happens.

    live objects ──commits they have──▶ dry run ──what is created or changed──▶ those get this commit ──▶ apply

What a commit leaves as it is keeps the commit that changed it last, so a turn without changes writes nothing. A turn is
a conversation: it yields the calls of the API and is sent their outcomes, or the ApiError that each has met.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from volant.client import ApiError
from volant.client.applying import Asked, apply, list_manifests
from volant.client.call import Call
from volant.gitops.failing import SyncFailed, plain
from volant.gitops.render import Render
from volant.manifests import Said
from volant.model.apply.outcome import ApplyView
from volant.model.sync import COMMIT

LONGEST: Final = 10
"""Intervals between two turns while something is wrong."""
LONGEST_MANAGER: Final = 63
MOST_NAMED: Final = 8
SIGNS: Final = {"create": "+", "update": "~", "delete": "-"}

Commits = Mapping[tuple[str, str], str]
"""(kind, name) -> the commit that an object has."""
Talk = Generator[Call[Any], Any, "Turned"]


class Aim(NamedTuple):
    """What is asked of each turn of one set. `confirm`: that so many objects go at once is meant.

    With a `deadline_s` each commit is applied atomically: it goes back unless it is healthy by then, and is refused
    until there is another one.
    """

    set: str
    prune: bool = False
    force: bool = False
    confirm: int | None = None
    deadline_s: float | None = None


class Turned(NamedTuple):
    """What a turn did. `is_drift`: the commit was there before, and somebody else has changed something since."""

    view: ApplyView
    commit: str
    is_drift: bool

    @property
    def has_changed(self) -> bool:
        """Whether anything was done."""
        return any(one.action != "unchanged" for one in self.view.objects)


def turn(aim: Aim, render: Render, applied: str | None) -> Talk:
    """`applied` is the commit of the turn before. Raises SyncFailed, and ApiError; then nothing was done."""
    if not render.said and not aim.prune:
        raise SyncFailed("cannot sync: there is no manifest in it")
    live = yield from _live(aim.set)
    view = yield from _settled(aim, render, live)
    # Who has just begun knows by the objects whether this commit was here before.
    is_known = render.commit == applied if applied else render.commit in live.values()
    return Turned(view, render.commit, is_known and not _is_late(view))


def _is_late(view: ApplyView) -> bool:
    """Whether all that is done is what had to wait: a plugin goes once the last of its VMs is replaced."""
    return all((one.kind, one.action) == ("Plugin", "delete") for one in view.objects if one.action != "unchanged")


def delay_s(interval_s: float, failures: int) -> float:
    """Until the next turn, after so many in a row that went wrong."""
    # The exponent is bounded because numbers are: a night without network is many failures.
    times: int = min(1 << min(max(failures - 1, 0), LONGEST), LONGEST)
    return interval_s * times


def objects(said: Sequence[Said], commits: Commits) -> list[dict[str, Any]]:
    """The objects as they are sent, each with its commit if it has one."""
    return [marked(one.value, commits.get((one.value["kind"], one.value["metadata"]["name"]))) for one in said]


def marked(value: Mapping[str, Any], commit: str | None) -> dict[str, Any]:
    """The object with this commit, or with none, whatever its manifest says of it."""
    metadata = dict(value["metadata"])
    if commit is not None or COMMIT in metadata.get("annotations", ()):
        annotations = {key: text for key, text in metadata.get("annotations", {}).items() if key != COMMIT}
        metadata["annotations"] = annotations if commit is None else {**annotations, COMMIT: commit}
    return {**value, "metadata": metadata}


def said_of(turned: Turned) -> str | None:
    """One line of what was done, if anything was."""
    if not turned.has_changed:
        return None
    what = "drift, brought back" if turned.is_drift else "applied"
    return f"set {turned.view.set} at {turned.commit[:22]}: {what}: {done(turned.view)}"


def done(view: ApplyView) -> str:
    """`+ vm/db, ~ vm/web`: what was changed, as far as it is few."""
    changed = [one for one in view.objects if one.action != "unchanged"]
    parts = [
        f"{SIGNS[one.action]} {one.kind.lower()}/{plain(one.name)}{' (once it is restarted)' * one.restart_required}"
        for one in changed[:MOST_NAMED]
    ]
    more = [f"and {len(changed) - MOST_NAMED} more"] if len(changed) > MOST_NAMED else []
    return ", ".join([*parts, *more])


def _settled(aim: Aim, render: Render, live: Commits) -> Generator[Call[Any], Any, ApplyView]:
    asked = _asked(aim, render, objects(render.said, live))
    plan: ApplyView = yield apply(asked, dry_run=True)
    changed: Commits = {
        (one.kind, one.name): render.commit for one in plan.objects if one.action in ("create", "update")
    }
    # Sent only where it is true, because a loop has turns that delete nothing.
    is_meant = aim.confirm is not None and plan.summary.get("delete", 0) == aim.confirm
    asked = _asked(aim, render, objects(render.said, {**live, **changed}), confirm=aim.confirm if is_meant else None)
    view: ApplyView = yield apply(asked)
    return view


def _asked(aim: Aim, render: Render, values: Sequence[dict[str, Any]], *, confirm: int | None = None) -> Asked:
    return Asked(
        set=aim.set,
        objects=values,
        manager=f"sync/{aim.set}"[:LONGEST_MANAGER],
        commit=render.commit,
        prune=aim.prune,
        force=aim.force,
        confirm_delete=UNSET if confirm is None else confirm,
        atomic=aim.deadline_s is not None,
        deadline_seconds=UNSET if aim.deadline_s is None else aim.deadline_s,
    )


def _live(set_: str) -> Generator[Call[Any], Any, Commits]:
    try:
        found: list[dict[str, Any]] = yield list_manifests(of_set=set_)
    except ApiError as error:
        if error.code == "set_not_found":
            return {}
        raise
    has = {(one["kind"], one["metadata"]["name"]): one["metadata"].get("annotations", {}) for one in found}
    return {key: annotations[COMMIT] for key, annotations in has.items() if COMMIT in annotations}
