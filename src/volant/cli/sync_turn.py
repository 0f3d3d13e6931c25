"""One turn of `volant sync`: a render becomes what the daemon has, or nothing happens.

    live objects ──commits they have──▶ dry run ──what is created or changed──▶ those get this commit ──▶ apply

What a commit leaves as it is keeps the commit that changed it last, so a turn without changes writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from volant.cli.ending import ERROR, Ended, explained
from volant.cli.planned import SIGNS, named
from volant.cli.saying import placed
from volant.cli.sync_render import Render, Source
from volant.client import ApiError, Client
from volant.client.applying import Asked, apply, list_manifests
from volant.model.apply.outcome import ApplyView

if TYPE_CHECKING:
    from volant.manifests import Said

COMMIT = "volant.sync/commit"
"""The annotation that says which commit made or changed an object last."""
LONGEST_MANAGER = 63
MOST_NAMED = 8

Commits = Mapping[tuple[str, str], str]
"""(kind, name) -> the commit that an object has."""


class Sync:
    """Turns of one set. Remembers the commit that was applied last."""

    def __init__(self, url: str, source: Source, set_: str, *, prune: bool, force: bool, confirm: int | None) -> None:
        self._url, self._source, self._set = url, source, set_
        self._prune, self._force, self._confirm = prune, force, confirm
        self._applied: str | None = None

    def turn(self) -> str | None:
        """What was done, in one line; None when there was nothing to do. Raises Ended, and then nothing was done."""
        render = self._source.render()
        if not render.said and not self._prune:
            raise Ended("cannot sync: there is no manifest in it", ERROR)
        with explained(self._url), placed(render.said), Client(self._url) as client:
            live = _live(client, self._set)
            view = self._settled(client, render, live)
        # Who has just begun knows by the objects whether this commit was here before.
        is_drift = render.commit == self._applied if self._applied else render.commit in live.values()
        self._applied = render.commit
        return said_of(view, render.commit, is_drift=is_drift)

    def _settled(self, client: Client, render: Render, live: Commits) -> ApplyView:
        plan = client.send(apply(self._asked(objects(render.said, live)), dry_run=True))
        changed: Commits = {
            (one.kind, one.name): render.commit for one in plan.objects if one.action in ("create", "update")
        }
        # Sent only where it is true, because a loop has turns that delete nothing.
        is_meant = self._confirm is not None and plan.summary.get("delete", 0) == self._confirm
        asked = self._asked(objects(render.said, {**live, **changed}), confirm=self._confirm if is_meant else None)
        return client.send(apply(asked))

    def _asked(self, values: Sequence[dict[str, Any]], *, confirm: int | None = None) -> Asked:
        return Asked(
            set=self._set,
            objects=values,
            manager=f"sync/{self._set}"[:LONGEST_MANAGER],
            prune=self._prune,
            force=self._force,
            confirm_delete=UNSET if confirm is None else confirm,
        )


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


def said_of(view: ApplyView, commit: str, *, is_drift: bool) -> str | None:
    """One line of what was done, if anything was."""
    done = [one for one in view.objects if one.action != "unchanged"]
    if not done:
        return None
    parts = [
        f"{SIGNS[one.action][0]} {named(one.kind, one.name)}{' (once it is restarted)' * one.restart_required}"
        for one in done[:MOST_NAMED]
    ]
    more = [f"and {len(done) - MOST_NAMED} more"] if len(done) > MOST_NAMED else []
    what = "drift, brought back" if is_drift else "applied"
    return f"set {view.set} at {commit[:22]}: {what}: {', '.join([*parts, *more])}"


def _live(client: Client, set_: str) -> Commits:
    try:
        found = client.send(list_manifests(of_set=set_))
    except ApiError as error:
        if error.code == "set_not_found":
            return {}
        raise
    has = {(one["kind"], one["metadata"]["name"]): one["metadata"].get("annotations", {}) for one in found}
    return {key: annotations[COMMIT] for key, annotations in has.items() if COMMIT in annotations}
