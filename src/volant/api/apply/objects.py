"""One document into one object, inside the transaction of all of them.

    there is none ──▶ made, as by POST
    there is one  ──▶ merge: this manager's fields as said, others' as they are, the rest back to its default
                        └──▶ the same spec: unchanged, and nothing is written

Nothing is allowed here that a single write would be refused: plugins, networks, disks, addresses and ports are asked
for in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from volant.api.admission import attachable, does_not_fit, hosted, refuse_deleting, resolved, usable_plugin
from volant.api.apply.asked import Apply, Placed
from volant.api.body import converted
from volant.api.call import Call
from volant.api.templates import refuse_publishing, strategy_of
from volant.errors import Conflict, Invalid
from volant.model.apply.documents import (
    FORMS,
    DeploymentDocument,
    Document,
    PluginDocument,
    VMDocument,
    given,
    live,
)
from volant.model.apply.leaves import Leaves, dotted, nested
from volant.model.apply.merge import UNTRACKED, Clash, Fields, merge
from volant.model.apply.outcome import Manner, Planned, owners_of
from volant.model.deployment import FINALIZER as DEPLOYMENT_FINALIZER
from volant.model.deployment import Deployment, DeploymentSpec, template_of
from volant.model.document import spelt_out
from volant.model.event import EventType, Happening
from volant.model.history import changes, digest, in_words, is_secret, redacted
from volant.model.meta import Key, Kind, Meta, Misfit
from volant.model.objects import Object
from volant.model.plugin import FINALIZER as PLUGIN_FINALIZER
from volant.model.plugin import Manifest, Plugin, PluginSpec
from volant.model.requests import AskedConfig, resolve
from volant.model.rollout import Strategy, digest_of
from volant.model.vm import FINALIZER, VM, VMSpec, check_growth, restart_required
from volant.store import Transaction

T = TypeVar("T")

CREATED: Mapping[Kind, EventType] = {
    "VM": "vm.created",
    "Deployment": "deployment.created",
    "Plugin": "plugin.installed",
}
IMMUTABLE = "cannot be changed: delete the {kind} and apply it again, or give it another name"


class Desk(NamedTuple):
    """What one apply works with. A trial is rolled back at its end; `said` is who had said what of what comes back.

    `reason` is that of the events of what is made and changed.
    """

    call: Call
    tx: Transaction
    asked: Apply
    is_trial: bool = False
    said: Mapping[Key, Fields] = {}
    reason: str = "SetApplied"

    def happening(self, kind: EventType, *, reason: str) -> Happening:
        """What this apply does, for the event of a write: with the commit that it is of."""
        found = self.call.happening(kind, reason=reason)
        return found if self.asked.commit is UNSET else replace(found, commit=self.asked.commit)

    @property
    def manner(self) -> Manner:
        """What of the request a plan is pinned to."""
        return Manner(self.asked.prune, self.asked.partial, self.asked.force, self.asked.atomic)


class Done(NamedTuple):
    """An object as it is now, and what was done with it."""

    obj: Object
    planned: Planned


def apply_one(desk: Desk, placed: Placed) -> Done:
    """Make or change one object. Raises what a single write would, and Conflict `field_conflict`, `set_conflict`."""
    found = desk.tx.find(placed.key)
    if found is None:
        return _made(desk, placed)
    refuse_deleting(found)
    _refuse_owned(found)
    _check_set(desk, found)
    return _changed(desk, placed, found)


def _made(desk: Desk, placed: Placed) -> Done:
    tx, document = desk.tx, placed.document
    new = _new(desk, placed)
    obj = tx.insert(new, desk.happening(CREATED[document.kind], reason=desk.reason))
    fields = desk.said.get(placed.key) or {desk.asked.manager: frozenset(_given(document))}
    tx.set_fields(obj.meta.uid, fields)
    planned = Planned(
        kind=obj.meta.kind,
        name=obj.meta.name,
        action="create",
        uid=obj.meta.uid,
        changes=_told(changes({}, nested(live(obj)))),
        owners=owners_of(fields),
    )
    return Done(obj, planned)


def _changed(desk: Desk, placed: Placed, found: Object) -> Done:
    tx, asked, whole = desk.tx, desk.asked, live(found)
    before = whole
    if isinstance(placed.document, PluginDocument):
        _refuse_other_manifest(desk, placed, placed.document, found)
        before = _of_plugin(before)
    # Whoever has made or changed an object that nobody applies has said all of it.
    fields: Fields = tx.fields(found.meta.uid) or {UNTRACKED: frozenset(before)}
    merged = merge(before, fields, asked.manager, _given(placed.document), force=asked.force)
    if merged.clashes:
        raise _clash(found, merged.clashes)
    document = _document(placed, merged.said)
    spec = _spec(desk, placed, document, found)
    labels = _or_none(document.metadata.labels) or {}
    annotations = _or_none(document.metadata.annotations) or {}
    obj = found
    if (spec, labels, annotations, merged.fields) != (found.spec, found.meta.labels, found.meta.annotations, fields):
        happening = desk.happening(_updated(found), reason=desk.reason)
        obj = tx.update_spec(found, spec, happening, labels=labels, annotations=annotations, fields=merged.fields)
    is_same = obj is found or obj == found
    changed = {} if is_same else changes(nested(whole), nested(live(obj)))
    planned = Planned(
        kind=obj.meta.kind,
        name=obj.meta.name,
        action="unchanged" if is_same else "update",
        uid=obj.meta.uid,
        generation=found.meta.generation,
        changes=_told(changed),
        restart_required=isinstance(obj, VM) and obj.status.pid is not None and restart_required(obj),
        joins=tx.set_of(obj.meta.uid) != asked.set,
        owners=None if merged.fields == fields else owners_of(merged.fields),
    )
    return Done(obj, planned)


def _document(placed: Placed, said: Leaves) -> Document:
    """The document that says all of it: this manager's words and those of the others."""
    whole = nested(said)
    metadata = {**whole.get("metadata", {}), "name": placed.key.name}
    kind = placed.key.kind
    found = converted({"kind": kind, "metadata": metadata, "spec": whole.get("spec", {})}, FORMS[kind], placed.at)
    if isinstance(found, list):
        raise Invalid(f"cannot apply: {found[0]['path']}: {found[0]['message']}", fields=found)
    return found


# What is made


def _new(desk: Desk, placed: Placed) -> Object:
    tx, document = desk.tx, placed.document
    uid, labels = tx.new_uid(), _or_none(document.metadata.labels) or {}

    def meta(finalizer: str) -> Meta:
        return Meta(
            name=placed.key.name,
            uid=uid,
            kind=placed.key.kind,
            created_at=tx.now,
            labels=labels,
            annotations=_or_none(document.metadata.annotations) or {},
            finalizers=(finalizer,),
        )

    if isinstance(document, PluginDocument):
        manifest = _manifest(desk, placed, document, labels)
        spec = PluginSpec(manifest=manifest, enabled=document.spec.get("enabled", True) is not False)
        return Plugin(meta=meta(PLUGIN_FINALIZER), spec=spec)
    hosted(desk.call)
    plugin = usable_plugin(tx, document.spec.plugin)
    if isinstance(document, DeploymentDocument):
        return Deployment(meta=meta(DEPLOYMENT_FINALIZER), spec=_asked_spec(desk, document, plugin))
    config = resolved(document.spec.config, plugin)
    config = attachable(desk.call, config, CONFIG)
    spec_ = VMSpec(
        plugin=document.spec.plugin,
        config=config,
        power=_or(document.spec.power, "running"),
        restart_policy=_or(document.spec.restart_policy, "always"),
        grace_s=_or(document.spec.grace_s, 30.0),
        address=tx.allocate_address(uid, config.network.mode),
    )
    return VM(meta=meta(FINALIZER), spec=spec_)


CONFIG = "/spec/config"


# What is changed


def _spec(desk: Desk, placed: Placed, document: Document, found: Object) -> Any:
    if isinstance(document, PluginDocument):
        assert isinstance(found, Plugin)  # noqa: S101 -- the same key is the same kind
        assert isinstance(placed.document, PluginDocument)  # noqa: S101 -- and so is the document
        # Text for people, of which no guest is made: whoever says it last is right.
        manifest = replace(found.spec.manifest, description=placed.document.spec.get("description") or "")
        return replace(found.spec, manifest=manifest, enabled=document.spec.get("enabled", True) is not False)
    assert isinstance(found, VM | Deployment)  # noqa: S101 -- the same key is the same kind
    is_same = document.spec.plugin == found.spec.plugin
    if isinstance(found, VM) and not is_same:
        raise does_not_fit(Misfit("/spec/plugin", IMMUTABLE.format(kind=placed.key.kind)))
    # The one that is named, and not the one that it has: that may be gone, and this is how it is mended.
    plugin = desk.tx.get(Key("Plugin", found.spec.plugin)) if is_same else usable_plugin(desk.tx, document.spec.plugin)
    assert isinstance(plugin, Plugin)  # noqa: S101 -- the same key is the same kind
    if isinstance(document, DeploymentDocument):
        return _deployment_spec(desk, document, found, plugin)
    assert isinstance(found, VM)  # noqa: S101 -- the same key is the same kind
    assert isinstance(document, VMDocument)  # noqa: S101 -- there are three kinds
    return _vm_spec(desk, document, found, plugin)


def _vm_spec(desk: Desk, document: VMDocument, found: VM, plugin: Plugin) -> VMSpec:
    old, told = found.spec, document.spec
    config = resolved(told.config, plugin)
    if config.network.mode is None:
        config = replace(config, network=replace(config.network, mode=old.config.network.mode))
    if (config.network, config.cloud_init) != (old.config.network, old.config.cloud_init):
        config = attachable(desk.call, config, CONFIG)
    try:
        check_growth(old.config, config)
    except Misfit as misfit:
        raise does_not_fit(misfit, CONFIG) from None
    address = old.address
    if config.network.mode != old.config.network.mode:
        address = desk.tx.allocate_address(found.meta.uid, config.network.mode)
    power = _or(told.power, "running")
    return replace(
        old,
        config=config,
        address=address,
        power=power,
        restart_nonce=old.restart_nonce + (power == "running" and old.power == "stopped"),
        force=old.force and power == "stopped",
        restart_policy=_or(told.restart_policy, "always"),
        grace_s=_or(told.grace_s, 30.0),
    )


def _deployment_spec(desk: Desk, document: DeploymentDocument, found: Object, plugin: Plugin) -> DeploymentSpec:
    assert isinstance(found, Deployment)  # noqa: S101 -- the same key is the same kind
    spec = replace(_asked_spec(desk, document, plugin), restart_nonce=found.spec.restart_nonce)
    _refuse_reverted(desk, found, spec)
    return spec


def _refuse_reverted(desk: Desk, found: Deployment, spec: DeploymentSpec) -> None:
    """Who says the same over and over would have it rolled and taken back for ever: force is no way round (U10)."""
    if found.status.reverted is None or desk.asked.retry:
        return
    wanted = digest_of(template_of(spec))
    if found.status.reverted != wanted or digest_of(template_of(found.spec)) == wanted:
        return
    numbers = [one.number for one in desk.tx.templates(found) if one.digest == wanted]
    raise Conflict(
        f"cannot apply Deployment {found.meta.name}: it was not available in time with this template and went back "
        "by itself. Change the manifest, or say retry to try the same once more",
        code="template_reverted",
        details={"name": found.meta.name, "revision": numbers[0] if numbers else None},
    )


def _asked_spec(desk: Desk, document: DeploymentDocument, plugin: Plugin) -> DeploymentSpec:
    """What a manifest says of a deployment, and the defaults."""
    told = document.spec
    config = resolved(told.config, plugin)
    refuse_publishing(config.network.publish, CONFIG)
    attachable(desk.call, config, CONFIG)
    return DeploymentSpec(
        plugin=told.plugin,
        replicas=_or(told.replicas, 1),
        config=config,
        restart_policy=_or(told.restart_policy, "always"),
        labels=_or_none(document.metadata.labels) or {},
        strategy=strategy_of(Strategy(), told.strategy, "/spec/strategy"),
    )


# Plugins


def _manifest(desk: Desk, placed: Placed, document: PluginDocument, labels: Mapping[str, str]) -> Manifest:
    said = {key: value for key, value in document.spec.items() if key != "enabled"}
    whole = spelt_out({**said, "name": placed.key.name, "labels": labels})
    found = converted(whole, Manifest, "/spec")
    if isinstance(found, list):
        raise Invalid(f"cannot apply: {found[0]['path']}: {found[0]['message']}", fields=found)
    if not isinstance(document.spec.get("enabled", True), bool):
        raise does_not_fit(Misfit("/spec/enabled", "expected true or false"))
    attachable(desk.call, resolve(AskedConfig(), found), "/spec")
    return found


def _refuse_other_manifest(desk: Desk, placed: Placed, document: PluginDocument, found: Object) -> None:
    assert isinstance(found, Plugin)  # noqa: S101 -- the same key is the same kind
    new = _manifest(desk, placed, document, found.spec.manifest.labels)
    new = replace(new, description=found.spec.manifest.description)
    if new != found.spec.manifest:
        path = next(iter(changes(found.spec.manifest, new)), "").replace(".", "/")
        raise does_not_fit(Misfit(f"/spec/{path}", IMMUTABLE.format(kind="Plugin")))


def _of_plugin(said: Leaves) -> Leaves:
    """Of a plugin its manifest is one whole: labels, annotations and whether it is enabled are what can be merged.

    The version stands for the manifest, because an object of which nobody says anything is one that nobody applies.
    """
    mergeable = ("/spec/enabled", "/spec/version")
    return {path: value for path, value in said.items() if path.startswith("/metadata/") or path in mergeable}


def _given(document: Document) -> Leaves:
    said = given(document)
    return _of_plugin(said) if isinstance(document, PluginDocument) else said


# What is said


def _refuse_owned(found: Object) -> None:
    """What an owner makes is as the owner says, and no set's: else a prune takes away what the owner makes again."""
    owner = found.meta.owner
    if owner is not None:
        raise Conflict(
            f"cannot apply {found.meta.kind} {found.meta.name}: {owner.kind} {owner.name} makes it. Apply that, or "
            "give it another name",
            code="object_owned",
            details={"name": found.meta.name, "owner": owner.name},
        )


def _check_set(desk: Desk, found: Object) -> None:
    other = desk.tx.set_of(found.meta.uid)
    if other not in (None, desk.asked.set) and not desk.asked.force:
        raise Conflict(
            f"cannot apply {found.meta.kind} {found.meta.name}: it is of the set {other}. Say force to take it over",
            code="set_conflict",
            details={"name": found.meta.name, "set": other},
        )


def _clash(found: Object, clashes: tuple[Clash, ...]) -> Conflict:
    fields = [
        {
            "path": dotted(clash.path),
            "owners": list(clash.owners),
            "live": _shown(clash.path, clash.live),
            "wanted": _shown(clash.path, clash.wanted),
        }
        for clash in clashes
    ]
    first = fields[0]
    return Conflict(
        f"cannot apply {found.meta.kind} {found.meta.name}: {first['path']} is {', '.join(clashes[0].owners)}'s, who "
        f"says {in_words(first['live'])}, not {in_words(first['wanted'])}. Say force to take it over, or leave it out",
        code="field_conflict",
        details={"name": found.meta.name, "conflicts": fields},
    )


def _shown(path: str, value: Any) -> Any:
    return digest(value) if is_secret(dotted(path)) else value


def _told(changed: Any) -> dict[str, Any]:
    return {path.removeprefix("spec.").removeprefix("metadata."): sides for path, sides in redacted(changed).items()}


def _updated(obj: Object) -> EventType:
    if isinstance(obj, VM):
        return "vm.updated"
    return "deployment.updated" if isinstance(obj, Deployment) else "plugin.updated"


def _or(value: T | UnsetType, default: T) -> T:
    return default if value is UNSET else value


def _or_none(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value
