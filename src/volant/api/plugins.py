"""`/plugins`: install, read, enable and disable, remove.

Installing accepts a manifest; the plugin controller fetches what it names. Whether that went well is in the plugin's
conditions, not in the answer: a download takes longer than a request should.
"""

from __future__ import annotations

from msgspec.structs import replace

from volant.api.admission import asked_for, staying
from volant.api.call import Answer, Call, Headers, plain, shown
from volant.api.lists import counted, part
from volant.api.vms import waited
from volant.errors import InUse
from volant.model.meta import Meta
from volant.model.plugin import FINALIZER, Manifest, Plugin, PluginSpec
from volant.model.queries import NoQuery, Page
from volant.model.requests import Enable
from volant.model.views import PluginNames
from volant.model.wire import plugin_view
from volant.store import Transaction

NAMED = 20
"""How many of those that use a plugin are named when it cannot be removed."""


async def list_plugins(call: Call, query: Page) -> Answer:
    """`GET /plugins`: names only, as in the reference."""
    with call.store.snapshot() as revision:
        names = [key.name for key in call.store.keys("Plugin")]
    return plain(PluginNames(plugins=part(names, query)), more=counted(len(names), revision))


async def get(call: Call, query: NoQuery) -> Answer:
    """`GET /plugins/{plugin}`."""
    return _shown(call, call.store.plugin(call.name))


async def install(call: Call, query: NoQuery) -> Answer:
    """`POST /plugins`."""
    manifest = await call.body(Manifest)

    def job(tx: Transaction) -> Plugin:
        meta = Meta(
            name=manifest.name,
            uid=tx.new_uid(),
            kind="Plugin",
            created_at=tx.now,
            labels=manifest.labels,
            finalizers=(FINALIZER,),
        )
        return tx.insert(Plugin(meta=meta, spec=PluginSpec(manifest=manifest)), call.happening("plugin.installed"))

    plugin = await call.store.write(job)
    return _shown(call, plugin, status=201, more=((b"location", f"/api/v1/plugins/{plugin.meta.name}".encode()),))


async def set_enabled(call: Call, query: NoQuery) -> Answer:
    """`POST /plugins/{plugin}/enabled`: VMs that exist are left alone."""
    asked = await call.body(Enable)

    def job(tx: Transaction) -> Plugin:
        plugin = staying(tx, Plugin, call)
        happening = call.happening("plugin.enabled" if asked.enabled else "plugin.disabled")
        return tx.update_spec(plugin, replace(plugin.spec, enabled=asked.enabled), happening)

    return _shown(call, await call.store.write(job))


async def remove(call: Call, query: NoQuery) -> Answer:
    """`DELETE /plugins/{plugin}`: refused while a VM or a deployment is made of it."""

    def job(tx: Transaction) -> Plugin:
        plugin = asked_for(tx, Plugin, call)
        _refuse_used(plugin, tx.vms_using(plugin.meta.name), tx.deployments_using(plugin.meta.name))
        return tx.mark_deleting(plugin, call.happening("plugin.deleting"))

    asked = await call.store.write(job)
    store, uid = call.store, asked.meta.uid
    end = await call.context.waits.until(asked.meta.key, lambda: store.find_uid(uid) is None, call.deps.wait_margin_s)
    left = store.find_uid(uid)
    return plain(plugin_view(left), status=202, more=waited(end)) if isinstance(left, Plugin) else Answer(204)


def _refuse_used(plugin: Plugin, vms: list[str], deployments: list[str]) -> None:
    if vms or deployments:
        raise InUse(
            f"cannot remove Plugin {plugin.meta.name}: {len(vms)} VMs and {len(deployments)} deployments use it",
            code="plugin_in_use",
            details={
                "name": plugin.meta.name,
                "vms": vms[:NAMED],
                "deployments": deployments[:NAMED],
                "vms_total": len(vms),
                "deployments_total": len(deployments),
            },
        )


def _shown(call: Call, plugin: Plugin, *, status: int = 200, more: Headers = ()) -> Answer:
    return shown(call, plugin_view(plugin), plugin.meta, status=status, more=more)
