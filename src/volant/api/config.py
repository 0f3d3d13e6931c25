"""`/vms/{name}/config`: what a VM is to be booted with, how to change it, and how it came to be so.

    PATCH ──ConfigPatch──▶ patched(config, patch, default) ───▶ spec ──▶ answer with `restart_required`
                                                                 └──▶ history, in the same transaction

A change is for the next guest: the one that runs keeps what it was booted with. `restart_required` compares the two, so
it clears itself with a restart and when the old value comes back. A patch that changes nothing writes nothing (V4).
"""

from __future__ import annotations

from functools import partial

from msgspec import UNSET
from msgspec.structs import replace

from volant.api.admission import attachable, does_not_fit, staying
from volant.api.call import Answer, Call, plain, shown
from volant.api.writing import Manner, written
from volant.model.history import changes
from volant.model.meta import Key, Misfit
from volant.model.patches import ConfigPatch, patched
from volant.model.plugin import Plugin
from volant.model.queries import ConfigHistoryQuery, NoQuery, VMWriting
from volant.model.requests import AskedConfig, resolve
from volant.model.views import ConfigView
from volant.model.vm import VM, NetworkMode, VMConfig
from volant.model.wire import config_change_view, vm_config_view
from volant.store import Rows, Transaction


async def get_vm_config(call: Call, query: NoQuery) -> Answer:
    """`GET /vms/{name}/config`: Show what the VM is booted with next.

    `restart_required` says whether the running guest has another config than this one.
    """
    vm = call.store.vm(call.name)
    return shown(call, vm_config_view(vm, call.deps.network_mode), vm.meta)


async def update_vm_config(call: Call, query: VMWriting) -> Answer:
    """`PATCH /vms/{name}/config`: Change what the VM is booted with next, by a merge patch (RFC 7396).

    What is left out stays as it is; null goes back to what the plugin says, else to nothing. The answer is the whole
    config; `restart_required` says whether the running guest has another one.
    """
    patch = await call.body(ConfigPatch)

    def job(tx: Transaction) -> VM:
        vm = staying(tx, VM, call)
        config = _patched(tx, vm, patch)
        if (config.network, config.cloud_init) != (vm.spec.config.network, vm.spec.config.cloud_init):
            config = attachable(call, config, at="")
        address = vm.spec.address
        if config.network.mode != vm.spec.config.network.mode:
            address = tx.allocate_address(vm.meta.uid, config.network.mode)
        happening = call.happening("vm.updated", reason="ConfigChanged", message=_in_words(vm.spec.config, config))
        return tx.update_spec(vm, replace(vm.spec, config=config, address=address), happening)

    return await written(call, query, job, Manner[VM](kind="VM", show=partial(_view, call.deps.network_mode)))


async def list_vm_config_history(call: Call, query: ConfigHistoryQuery) -> Answer:
    """`GET /vms/{name}/config/history`: List the changes of a VM's config, newest first.

    The last entry is the VM's creation; of the changes since, the latest 200 are kept. Of texts for cloud-init and of
    the values of variables there are digests.
    """
    vm = call.store.vm(call.name)
    found = call.store.config_history(vm.meta.uid, None if query.limit is UNSET else query.limit)
    return plain([config_change_view(change) for change in found])


def _view(default_mode: NetworkMode, _: Rows, vm: VM) -> ConfigView:
    return vm_config_view(vm, default_mode)


NAMED = 5
"""Paths that an event names; the history has them all."""


def _in_words(old: VMConfig, new: VMConfig) -> str:
    paths = list(changes(old, new))
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more


def _patched(tx: Transaction, vm: VM, patch: ConfigPatch) -> VMConfig:
    plugin = tx.find(Key("Plugin", vm.spec.plugin))
    # A plugin stays while VMs are made of it. A row without one still has a config that can be changed.
    default, has_rootfs = VMConfig(), True
    if isinstance(plugin, Plugin):
        manifest = plugin.spec.manifest
        default, has_rootfs = resolve(AskedConfig(), manifest), manifest.rootfs is not None
    try:
        return patched(vm.spec.config, patch, default, has_rootfs=has_rootfs)
    except Misfit as misfit:
        raise does_not_fit(misfit) from None
