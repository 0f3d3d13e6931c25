"""What applies made of a set, one revision each, and how the last of them is taken back. Pure.

    object before ─┐
                   ├─ Change ──undone(now)──▶ the object as if nobody had applied it
    object after ──┘

What is taken back is what the apply did, and no more: a field that somebody has changed since, or that another manager
has said since, stays as it is and whose it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Instant, Uid
from volant.model.apply.documents import live
from volant.model.apply.leaves import Leaves, nested
from volant.model.apply.merge import UNTRACKED, Fields
from volant.model.deployment import Deployment, DeploymentSpec, template_of
from volant.model.event import EventType
from volant.model.meta import Key, Kind, Meta
from volant.model.objects import Object
from volant.model.plugin import Plugin, PluginSpec
from volant.model.rollout import Strategy, digest_of
from volant.model.vm import VM, VMConfig, VMSpec

SetState = Literal["progressing", "healthy", "reverted", "superseded"]
"""progressing  not healthy yet          healthy     every object got where it was to go
reverted     taken back as a whole    superseded  another apply came before either"""

REVISIONS_KEPT = 10
"""Revisions of a set, the current one included; the last healthy one is kept besides."""

LATE = "DeadlineExceeded"
"""The reason of a set that was taken back because its time was over."""

_BY_HAND = frozenset({"Deleted", "Deleting"})
"""The reasons of a set that was taken back because somebody deleted an object of it: its manifests may be good."""

ENDING: Mapping[Kind, EventType] = {
    "Deployment": "deployment.deleting",
    "VM": "vm.deleting",
    "Plugin": "plugin.deleting",
}
"""The events of objects that go with a set, in the order in which they do: who uses before what is used."""

Spec = VMSpec | DeploymentSpec | PluginSpec
SPECS: Mapping[Kind, type[VMSpec] | type[DeploymentSpec] | type[PluginSpec]] = {
    "VM": VMSpec,
    "Deployment": DeploymentSpec,
    "Plugin": PluginSpec,
}
_ENCODER = msgspec.json.Encoder()


class Image(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An object as it was at one moment: `spec` as JSON, `fields` by manager, `of_set` the set that it was of."""

    kind: Kind
    name: str
    uid: Uid
    spec: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    fields: dict[str, frozenset[str]] = {}
    of_set: str | None = None

    @property
    def key(self) -> Key:
        """The object that it shows."""
        return Key(self.kind, self.name)

    def decoded(self) -> Spec:
        """The spec."""
        return msgspec.json.decode(self.spec, type=SPECS[self.kind])


class Change(Struct, frozen=True, kw_only=True):
    """What was done to one object; `before` None: it was made."""

    before: Image | None
    after: Image


class Undo(Struct, frozen=True, kw_only=True):
    """What it takes to take a set back; `doomed` are those that go once it is healthy."""

    changes: tuple[Change, ...] = ()
    doomed: tuple[Uid, ...] = ()


class Named(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An object that an apply named, with the generation that it made.

    Of a deployment: the digest of its `template`, and of every other that is known that it `had`.
    """

    kind: Kind
    name: str
    uid: Uid
    generation: int
    template: str | None = None
    had: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The object."""
        return Key(self.kind, self.name)


class SetRevision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one apply made of a set.

    `digest` is of the manifests. `deadline_s` after `at` it is taken back unless it is healthy; None: it never is.
    `ended_at`, `reason` and `message` say when it stopped to be progressing, and why it was taken back.
    """

    set: str
    number: int
    state: SetState
    digest: str
    manager: str
    at: Instant
    is_partial: bool = False
    deadline_s: float | None = None
    named: tuple[Named, ...] = ()
    ended_at: Instant | None = None
    reason: str | None = None
    message: str | None = None

    @property
    def is_atomic(self) -> bool:
        """Whether it is taken back when it does not become healthy."""
        return self.deadline_s is not None


def image(obj: Object, fields: Fields, of_set: str | None) -> Image:
    """The object as it is."""
    return Image(
        kind=obj.meta.kind,
        name=obj.meta.name,
        uid=obj.meta.uid,
        spec=_ENCODER.encode(obj.spec).decode(),
        labels=obj.meta.labels,
        annotations=obj.meta.annotations,
        fields={manager: frozenset(paths) for manager, paths in fields.items()},
        of_set=of_set,
    )


def named(obj: Object, before: Image | None, progressing: Named | None = None, templates: Iterable[str] = ()) -> Named:
    """What a revision keeps of an object; `progressing` is what the one before it kept, which was never healthy.

    `templates` are the digests of those that a deployment is known to have had: it may go back to any of them.
    """
    meta = obj.meta
    kept = Named(kind=meta.kind, name=meta.name, uid=meta.uid, generation=meta.generation)
    if not isinstance(obj, Deployment):
        return kept
    template = digest_of(template_of(obj.spec))
    old = before.decoded() if before is not None else None
    had = {digest_of(template_of(old))} if isinstance(old, DeploymentSpec) else set()
    had |= set(progressing.had) if progressing is not None else set()
    had |= set(templates)
    return replace(kept, template=template, had=tuple(sorted(had - {template})))


def digest_of_set(objects: Sequence[Mapping[str, Any]]) -> str:
    """The same for the same manifests in any order; annotations are nothing that a set could fail by."""
    named = [{**one, "metadata": _metadata(one)} for one in objects]
    said = sorted(named, key=lambda one: (str(one.get("kind")), str(one["metadata"].get("name"))))
    whole = msgspec.json.encode(said, order="deterministic")
    return hashlib.sha256(whole).hexdigest()[:32]


def _metadata(one: Mapping[str, Any]) -> dict[str, Any]:
    found = one.get("metadata")
    return {k: v for k, v in found.items() if k != "annotations"} if isinstance(found, Mapping) else {}


def refused(revisions: Iterable[SetRevision], digest: str) -> SetRevision | None:
    """The newest of these, newest first, for which the manifests of this digest are not tried again; None: they may be.

    What was healthy once can be so again, and what somebody deleted says nothing about the manifests.
    """
    same = [one for one in revisions if one.digest == digest]
    if any(one.state == "healthy" for one in same):
        return None
    return next((one for one in same if one.state == "reverted" and one.reason not in _BY_HAND), None)


# Taking back


def together(earlier: Iterable[Change], later: Iterable[Change]) -> tuple[Change, ...]:
    """One change an object, for two applies of which the first never became healthy: back behind both."""
    found = {change.after.uid: change for change in earlier}
    for change in later:
        first = found.get(change.after.uid)
        if first is not None and change.before is not None:
            found[change.after.uid] = Change(before=undone(first, change.before), after=change.after)
        else:
            found[change.after.uid] = change
    return tuple(found.values())


def undone(change: Change, now: Image) -> Image | None:
    """What the object is to be, as it is `now`; None: it was made by the change, and goes."""
    before, after = change.before, change.after
    if before is None:
        return None
    if _said(now) == _said(after):
        return before
    kept = _Owned(now)
    values, owners = _undone(_Owned(before), _Owned(after), kept)
    fields: dict[str, set[str]] = {}
    for path, managers in owners.items():
        for manager in managers:
            fields.setdefault(manager, set()).add(path)
    back = _with_leaves(now, values)
    if not before.fields and fields.keys() <= {UNTRACKED}:
        fields = {}
    return replace(
        back, fields={name: frozenset(paths) for name, paths in fields.items()}, of_set=_set_after(change, now)
    )


def _set_after(change: Change, now: Image) -> str | None:
    """Who has taken it into another set since keeps it."""
    was = change.before.of_set if change.before is not None else None
    return was if now.of_set == change.after.of_set else now.of_set


class _Owned:
    """The leaves of an image, and whose each of them is; what somebody has said not to be there is his as well."""

    def __init__(self, shown: Image) -> None:
        self.leaves = _leaves(shown)
        self.said = shown.fields or {UNTRACKED: frozenset(self.leaves)}
        self.paths = dict.fromkeys(self.leaves) | dict.fromkeys(path for paths in self.said.values() for path in paths)

    def of(self, path: str) -> frozenset[str]:
        return frozenset(name for name, paths in self.said.items() if path in paths)


def _undone(before: _Owned, after: _Owned, now: _Owned) -> tuple[Leaves, dict[str, Set[str]]]:
    values: Leaves = {}
    owners: dict[str, Set[str]] = {}
    for path in {**now.paths, **before.paths}:
        was, made, is_ = before.leaves.get(path), after.leaves.get(path), now.leaves.get(path)
        since = now.of(path) - after.of(path)
        if is_ == was:
            value, whose = is_, before.of(path) | since
        elif is_ != made or since:
            value, whose = is_, now.of(path)
        else:
            value, whose = was, before.of(path)
        owners[path] = whose
        if value is not None:
            values[path] = value
    return values, owners


def _said(shown: Image) -> tuple[object, ...]:
    return shown.spec, shown.labels, shown.annotations, shown.fields, shown.of_set


def _leaves(shown: Image) -> Leaves:
    found = live(_object(shown))
    if shown.kind != "Plugin":
        return found
    # Of a plugin the manifest is one whole that no apply changes, but for a text to people, which stays as it is.
    return {path: value for path, value in found.items() if path.startswith("/metadata/") or path == "/spec/enabled"}


def _object(shown: Image) -> Object:
    meta = Meta(
        name=shown.name,
        uid=shown.uid,
        kind=shown.kind,
        created_at=0.0,
        labels=shown.labels,
        annotations=shown.annotations,
    )
    spec = shown.decoded()
    if isinstance(spec, VMSpec):
        return VM(meta=meta, spec=spec)
    return Deployment(meta=meta, spec=spec) if isinstance(spec, DeploymentSpec) else Plugin(meta=meta, spec=spec)


def _with_leaves(now: Image, values: Leaves) -> Image:
    """The image with these leaves; with its own spec where they are none that could be."""
    whole = nested(values)
    metadata, told = whole.get("metadata", {}), whole.get("spec", {})
    labels = metadata.get("labels", {})
    try:
        spec = _spec(now.decoded(), told, labels)
    except (msgspec.ValidationError, KeyError):
        return now
    encoded = _ENCODER.encode(spec).decode()
    return replace(now, spec=encoded, labels=labels, annotations=metadata.get("annotations", {}))


def _spec(now: Spec, told: Mapping[str, Any], labels: dict[str, str]) -> Spec:
    if isinstance(now, PluginSpec):
        return replace(now, enabled=bool(told.get("enabled", True)))
    config = msgspec.convert(told.get("config", {}), VMConfig)
    if isinstance(now, VMSpec):
        words = {name: told[name] for name in ("restart_policy", "grace_s", "power")}
        return replace(now, config=config, **words)
    strategy = msgspec.convert(told["strategy"], Strategy)
    words = {name: told[name] for name in ("plugin", "replicas", "restart_policy")}
    return replace(now, config=config, strategy=strategy, labels=labels, **words)
