"""What a write must find before it may be made: rules that are asked inside its own transaction.

Because they are asked there, what they found still holds when the write is committed: a plugin cannot be removed
between the look and the VM that is made of it.
"""

from __future__ import annotations

from typing import TypeVar, cast

from volant.api.call import Call
from volant.errors import Conflict, Invalid, NotFound
from volant.model.meta import Key, Kind, Misfit
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.requests import AskedConfig, resolve
from volant.model.vm import ANY_ADDRESS, VMConfig, settled
from volant.store import Transaction

O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object

API_ADDRESSES = frozenset({"127.0.0.1", ANY_ADDRESS})
"""Where publishing the API's port would take it away from the API."""
KIND_OF: dict[str, Kind] = {"VM": "VM", "Deployment": "Deployment", "Plugin": "Plugin"}


def asked_for(tx: Transaction, cls: type[O], call: Call) -> O:
    """The object that the path names, at the revision that If-Match asks for. Raises NotFound, PreconditionFailed."""
    obj = tx.get(Key(KIND_OF[cls.__name__], call.name))
    call.check_precondition(obj.meta)
    return cast("O", obj)


def staying(tx: Transaction, cls: type[O], call: Call) -> O:
    """As `asked_for`, and not on its way out. Raises Conflict `<kind>_deleting` as well."""
    obj = asked_for(tx, cls, call)
    refuse_deleting(obj)
    return obj


def refuse_deleting(obj: Object) -> None:
    """Raises Conflict when the object is on its way out: nothing takes that back, so no write makes sense any more."""
    meta = obj.meta
    if meta.is_deleting:
        raise Conflict(
            f"cannot write to {meta.kind} {meta.name}: it is being deleted",
            code=f"{meta.kind.lower()}_deleting",
            details={"name": meta.name},
        )


def usable_plugin(tx: Transaction, name: str) -> Plugin:
    """The plugin, if VMs may be made of it. Raises NotFound, or Conflict `plugin_deleting` or `plugin_disabled`."""
    plugin = tx.find(Key("Plugin", name))
    if not isinstance(plugin, Plugin):
        raise NotFound("Plugin", name)
    refuse_deleting(plugin)
    if not plugin.spec.enabled:
        raise Conflict(
            f"cannot use Plugin {name}: it is disabled. Enable it first.",
            code="plugin_disabled",
            details={"name": name},
        )
    return plugin


def resolved(asked: AskedConfig, plugin: Plugin) -> VMConfig:
    """The config of a VM of that plugin. Raises Invalid when the two together are more than a VM may have."""
    try:
        return resolve(asked, plugin.spec.manifest)
    except Misfit as misfit:
        raise does_not_fit(misfit, "/config") from None


def does_not_fit(misfit: Misfit, at: str = "") -> Invalid:
    """What to raise for a misfit in the part of the body that `at` points to."""
    path = at + misfit.path
    return Invalid(f"cannot accept {path}: {misfit}", fields=[{"path": path, "message": str(misfit)}])


def hosted(call: Call) -> None:
    """Raises Conflict `kvm_required` where VMs are to be isolated by hardware and this host cannot."""
    if call.deps.lacks_kvm:
        raise Conflict(
            "cannot make VMs here: they are to run under KVM (--require-kvm), and this host has none that works",
            code="kvm_required",
        )


def attachable(call: Call, config: VMConfig, at: str = "/config") -> VMConfig:
    """The config with its network mode settled.

    Raises Invalid for a network that no VM can be given here, and for texts that no guest can be told.
    """
    config = settled(config, call.deps.network_mode)
    try:
        call.deps.check_told(config)
    except Misfit as misfit:
        raise does_not_fit(misfit, at) from None
    try:
        call.deps.check_network(config.network)
    except Misfit as misfit:
        raise does_not_fit(misfit, f"{at}/network") from None
    for index, said in enumerate(config.network.publish):
        if said.host_port == call.deps.api_port and said.host_ip in API_ADDRESSES:
            taken = Misfit(f"/network/publish/{index}/host_port", f"{said.host_port} is the API's own")
            raise does_not_fit(taken, at)
    return config
