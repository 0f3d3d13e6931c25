"""`/vms/{name}/openapi`: the OpenAPI document of a guest's own API, from where its plugin's manifest says.

    document   the manifest itself ──▶ here
    file       a file of the initramfs ──┐
    path       a page of the guest ──────┴──▶ Deps.document ──▶ the daemon, which knows images and drivers

What comes from outside was read as JSON and written anew before it gets here: no byte of a guest or an image is passed
on as it was. 404 is what waiting does not mend, 409 `openapi_unavailable` what it may: a guest is at fault then and
no part of the daemon, so it is no 5xx.
"""

from __future__ import annotations

from volant.api.call import Answer, Call, encoded
from volant.errors import NotFound, OpenapiNotFound
from volant.model.meta import Key
from volant.model.plugin import Plugin
from volant.model.queries import NoQuery
from volant.model.vm import VM

_AS_IT_SAYS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-cache"))
"""Somebody else wrote it: no browser is to see anything but JSON in it."""


async def get_vm_openapi(call: Call, query: NoQuery) -> Answer:
    """`GET /vms/{name}/openapi`: The OpenAPI document of the VM's own API.

    It is the one that its plugin's manifest holds, or that is in a file of the plugin's initramfs, or that the guest
    serves while it runs.
    """
    vm = call.store.vm(call.name)
    plugin = call.store.find(Key("Plugin", vm.spec.plugin))
    if not isinstance(plugin, Plugin) or plugin.spec.manifest.openapi is None:
        raise OpenapiNotFound(
            f"cannot show an API of VM {vm.meta.name}: Plugin {vm.spec.plugin} names no OpenAPI document",
            details={"name": vm.meta.name, "plugin": vm.spec.plugin},
        )
    held = plugin.spec.manifest.openapi.document
    body = encoded(held) if held is not None else await _fetched(call, vm, plugin)
    return Answer(200, body, _AS_IT_SAYS)


async def _fetched(call: Call, vm: VM, plugin: Plugin) -> bytes:
    body = await call.deps.document(vm, plugin)
    # Another guest may have the name or the address by now, and this would be its document.
    if call.store.find_uid(vm.meta.uid) is None:
        raise NotFound("VM", vm.meta.name)
    return body
