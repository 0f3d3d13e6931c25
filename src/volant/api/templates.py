"""What a patch makes of a deployment's spec, and what the event of it says.

    asked ──patched_spec──▶ spec ──told──▶ deployment.scaled | deployment.updated, with the reason

Where the plugin changes, what the deployment has only because its old plugin says so goes with that plugin, and what
somebody asked for stays.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from volant.api.admission import attachable, does_not_fit, usable_plugin
from volant.api.call import Call
from volant.model.deployment import DeploymentSpec, template_of
from volant.model.event import Happening
from volant.model.history import changes
from volant.model.meta import Key, Misfit
from volant.model.patches import ConfigPatch, merged, patched, rebased
from volant.model.plugin import Plugin
from volant.model.requests import AskedConfig, Scale, resolve
from volant.model.rollout import Strategy, StrategyPatch, digest_of, strategy_with
from volant.model.vm import Publish, VMConfig
from volant.store import Transaction

NAMED = 5
"""Paths that an event names."""
MAX_LABELS = 64


def refuse_publishing(publish: tuple[Publish, ...], at: str = "/config") -> None:
    """Raises Invalid for a port of the host: it can be one VM's only."""
    if publish:
        raise does_not_fit(Misfit("/network/publish", "a place on the host is one VM's, and these are many"), at)


def strategy_of(old: Strategy, asked: StrategyPatch, at: str = "/strategy") -> Strategy:
    """The strategy as asked. Raises Invalid for what no field alone can tell is wrong."""
    try:
        return strategy_with(old, asked)
    except Misfit as misfit:
        raise does_not_fit(misfit, at) from None


def patched_spec(call: Call, tx: Transaction, old: DeploymentSpec, asked: Scale) -> DeploymentSpec:
    """The spec with the patch merged into it. Raises Invalid, and what a plugin that cannot be used raises."""
    spec = old
    if asked.replicas is not UNSET:
        spec = replace(spec, replicas=asked.replicas)
    if asked.restart_policy is not UNSET:
        spec = replace(spec, restart_policy=asked.restart_policy)
    if asked.labels is not UNSET:
        spec = replace(spec, labels=_labels(old.labels, asked.labels))
    if asked.strategy is not UNSET:
        strategy = Strategy() if asked.strategy is None else strategy_of(old.strategy, asked.strategy)
        spec = replace(spec, strategy=strategy)
    return replace(spec, plugin=_plugin(tx, old, asked), config=_config(call, tx, old, asked))


def told(call: Call, old: DeploymentSpec, new: DeploymentSpec) -> Happening:
    """The event of a change of the spec: `deployment.scaled` where the replicas are others."""
    was, now = template_of(old), template_of(new)
    reason, words = None, list[str]()
    if new.strategy != old.strategy:
        reason = "StrategyChanged"
        if new.strategy.paused != old.strategy.paused:
            reason = "RolloutPaused" if new.strategy.paused else "RolloutResumed"
    if digest_of(was) != digest_of(now):
        reason = "TemplateChanged" if new.strategy.paused else "RolloutStarted"
        words = list(changes(msgspec.to_builtins(was), msgspec.to_builtins(now)))
    if new.replicas != old.replicas:
        return call.happening("deployment.scaled", reason=reason, message=f"{old.replicas} → {new.replicas}")
    return call.happening("deployment.updated", reason=reason, message=_in_words(words) or None)


def _in_words(paths: list[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more


def _labels(old: dict[str, str], asked: dict[str, str | None] | None) -> dict[str, str]:
    labels: dict[str, str] = {} if asked is None else merged(old, asked, {})
    if len(labels) > MAX_LABELS:
        raise does_not_fit(Misfit("/labels", f"expected at most {MAX_LABELS} labels in all, not {len(labels)}"))
    return labels


def _plugin(tx: Transaction, old: DeploymentSpec, asked: Scale) -> str:
    if asked.plugin is UNSET or asked.plugin == old.plugin:
        return old.plugin
    return usable_plugin(tx, asked.plugin).meta.name


def _config(call: Call, tx: Transaction, old: DeploymentSpec, asked: Scale) -> VMConfig:
    plugin = _plugin(tx, old, asked)
    if plugin == old.plugin and asked.config is UNSET:
        return old.config
    default, has_rootfs = _defaults(tx, plugin)
    base = old.config
    if plugin != old.plugin:
        base = rebased(*map(msgspec.to_builtins, (old.config, _defaults(tx, old.plugin)[0], default)))
        base = msgspec.convert(base, VMConfig)
    patch = ConfigPatch() if asked.config is UNSET else asked.config
    try:
        new = default if patch is None else patched(base, patch, default, has_rootfs=has_rootfs)
    except Misfit as misfit:
        raise does_not_fit(misfit, "/config") from None
    refuse_publishing(new.network.publish)
    attachable(call, new)
    return new


def _defaults(tx: Transaction, name: str) -> tuple[VMConfig, bool]:
    """What the plugin says by itself, and whether it has a disk that VMs begin as."""
    plugin = tx.find(Key("Plugin", name))
    if not isinstance(plugin, Plugin):
        return VMConfig(), True
    manifest = plugin.spec.manifest
    return resolve(AskedConfig(), manifest), manifest.rootfs is not None
