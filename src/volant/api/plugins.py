"""`/plugins`: install, read, enable and disable, remove.

Installing accepts a manifest; the plugin controller fetches what it names. Whether that went well is in the plugin's
conditions, not in the answer: a download takes longer than a request should.
"""

from __future__ import annotations

from msgspec.structs import replace

from volant.api.admission import asked_for, attachable, staying
from volant.api.call import Answer, Call, encoded, shown_bytes
from volant.api.fields import chosen, media_of
from volant.api.listings import of_plugins
from volant.api.lists import listed
from volant.api.writing import Manner, written
from volant.errors import InUse
from volant.model.document import spelt_out
from volant.model.meta import Meta
from volant.model.plugin import FINALIZER, Manifest, Plugin, PluginSpec
from volant.model.queries import Chosen, PluginQuery, PluginWriting
from volant.model.requests import AskedConfig, Enable, resolve
from volant.model.views import PluginView
from volant.model.wire import plugin_view
from volant.store import Rows, Transaction

NAMED = 20
"""How many of those that use a plugin are named when it cannot be removed."""


async def list_plugins(call: Call, query: PluginQuery) -> Answer:
    """`GET /plugins`: List plugins.

    Their names only, unless `fields` asks for more: then there is an object with those for each.
    """
    return await listed(call, query, query.sort, of_plugins(query))


async def get(call: Call, query: Chosen) -> Answer:
    """`GET /plugins/{plugin}`: Show a plugin, and how far its artifacts have come."""
    cut_out = chosen(query.fields, PluginView)
    plugin = call.store.plugin(call.name)
    body = encoded(plugin_view(plugin))
    shown = shown_bytes(call, cut_out(body) if cut_out else body, plugin.meta)
    return shown._replace(media=media_of(query.fields))


async def install(call: Call, query: PluginWriting) -> Answer:
    """`POST /plugins`: Install a plugin from its manifest.

    Answers at once, while its artifacts are still to be fetched; `?wait=ready` answers when they are in the cache.
    """
    manifest = await call.body(Manifest, spelt_out)
    attachable(call, resolve(AskedConfig(), manifest), "")

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

    return await written(call, query, job, INSTALLED)


async def set_enabled(call: Call, query: PluginWriting) -> Answer:
    """`POST /plugins/{plugin}/enabled`: Enable or disable a plugin.

    Of a disabled plugin no new VMs are made; those that exist are left alone.
    """
    asked = await call.body(Enable)

    def job(tx: Transaction) -> Plugin:
        plugin = staying(tx, Plugin, call)
        happening = call.happening("plugin.enabled" if asked.enabled else "plugin.disabled")
        return tx.update_spec(plugin, replace(plugin.spec, enabled=asked.enabled), happening)

    return await written(call, query, job, CHANGED)


async def remove(call: Call, query: PluginWriting) -> Answer:
    """`DELETE /plugins/{plugin}`: Remove a plugin.

    Refused while a VM or a deployment is made of it. Answers 204 when nothing of it is left, and 202 with the plugin
    when that takes too long or is not waited for.
    """

    def job(tx: Transaction) -> Plugin:
        plugin = asked_for(tx, Plugin, call)
        _refuse_used(plugin, tx.vms_using(plugin.meta.name), tx.deployments_using(plugin.meta.name))
        return tx.mark_deleting(plugin, call.happening("plugin.deleting"))

    margin_s = call.deps.wait_margin_s
    manner = Manner[Plugin](kind="Plugin", show=_view, does="deletes", until="deleted", bound_s=lambda _, __: margin_s)
    return await written(call, query, job, manner)


def _view(_: Rows, plugin: Plugin) -> PluginView:
    return plugin_view(plugin)


INSTALLED = Manner[Plugin](kind="Plugin", show=_view, does="creates")
CHANGED = Manner[Plugin](kind="Plugin", show=_view)


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
