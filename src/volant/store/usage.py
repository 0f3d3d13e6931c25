"""Who uses a plugin, and still does when others have gone."""

from __future__ import annotations

from collections.abc import Collection

from volant.clock import Uid
from volant.model.deployment import Deployment
from volant.model.meta import Key
from volant.model.objects import Object
from volant.store.transaction import Transaction


def users_staying(
    tx: Transaction, plugin: str, leaving: Collection[Uid] = frozenset(), *, is_rolled_away: bool = False
) -> tuple[list[str], list[str]]:
    """The names of the VMs and of the deployments that use a plugin, and are neither on their way out nor `leaving`.

    The VMs of a deployment that goes go with it. With `is_rolled_away` those do not count either whose deployment is
    made of another plugin by now: it replaces them.
    """

    def stays(found: Object | None) -> bool:
        return found is not None and not found.meta.is_deleting and found.meta.uid not in leaving

    def is_there(name: str) -> bool:
        vm = tx.find(Key("VM", name))
        if vm is None or vm.meta.owner is None or not stays(vm):
            return stays(vm)
        owner = tx.find(Key(vm.meta.owner.kind, vm.meta.owner.name))
        is_elsewhere = isinstance(owner, Deployment) and owner.spec.plugin != plugin
        return stays(owner) and not (is_rolled_away and is_elsewhere)

    vms = [name for name in tx.vms_using(plugin) if is_there(name)]
    deployments = [name for name in tx.deployments_using(plugin) if stays(tx.find(Key("Deployment", name)))]
    return vms, deployments
