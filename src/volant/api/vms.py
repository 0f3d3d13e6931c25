"""`/vms`: create, read, start, stop, restart, delete.

Writes change the spec in one transaction. Create, start and restart answer at once; stop and delete answer when the VM
controller has reported the end. Their bound is the guest's grace period and then some, because after it the controller
uses force: only a host in trouble lets it pass. Then the answer shows the VM as it is, with `Volant-Wait: timeout`.
"""

from __future__ import annotations

from msgspec import UNSET
from msgspec.structs import replace

from volant.api.admission import asked_for, attachable, refuse_deleting, staying, usable_plugin
from volant.api.call import Answer, Call, Headers, encoded, plain, shown, shown_bytes
from volant.api.lists import listed
from volant.api.waiting import WaitEnd
from volant.clock import Uid
from volant.errors import Conflict, NotFound
from volant.model.meta import Meta
from volant.model.queries import Force, NoQuery, VMQuery
from volant.model.requests import NewVM, resolve
from volant.model.vm import FINALIZER, VM, VMSpec, status_word
from volant.model.wire import vm_config_view, vm_view
from volant.store import Transaction


async def list_vms(call: Call, query: VMQuery) -> Answer:
    """`GET /vms`."""
    plugin = None if query.plugin is UNSET else query.plugin

    def show(vm: VM) -> bytes:
        return encoded(vm_view(vm, call.deps.last_check(vm)))

    def is_wanted(vm: VM) -> bool:
        return status_word(vm) == query.status

    return await listed(call, "VM", query, show, plugin=plugin, is_wanted=None if query.status is UNSET else is_wanted)


async def get(call: Call, query: NoQuery) -> Answer:
    """`GET /vms/{name}`."""
    vm, body = call.context.bodies.of(call.name)
    return shown_bytes(call, body, vm.meta)


async def get_config(call: Call, query: NoQuery) -> Answer:
    """`GET /vms/{name}/config`."""
    vm = call.store.vm(call.name)
    return shown(call, vm_config_view(vm, call.deps.network_mode), vm.meta)


async def create(call: Call, query: NoQuery) -> Answer:
    """`POST /vms`: the row, its address and its event in one transaction."""
    asked = await call.body(NewVM)
    attachable(call, asked.config.network)

    def job(tx: Transaction) -> VM:
        plugin = usable_plugin(tx, asked.plugin)
        uid = tx.new_uid()
        spec = VMSpec(
            plugin=asked.plugin,
            config=resolve(asked.config, plugin.spec.manifest.resources),
            restart_policy=asked.restart_policy,
            grace_s=asked.grace_s,
            address=tx.allocate_address(uid),
        )
        vm = VM(meta=_new_meta(asked, uid, tx.now), spec=spec)
        return tx.insert(vm, call.happening("vm.created"))

    vm = await call.store.write(job)
    return _shown(call, vm, status=201, more=((b"location", f"/api/v1/vms/{vm.meta.name}".encode()),))


async def start(call: Call, query: NoQuery) -> Answer:
    """`POST /vms/{name}/start`: boot it now, also when it would wait before its next try."""

    def job(tx: Transaction) -> VM:
        vm = staying(tx, VM, call)
        word = status_word(vm)
        is_waiting = vm.status.pid is None and (word == "restarting" or vm.status.next_restart_at is not None)
        if vm.spec.power == "running" and word not in ("error", "stopped") and not is_waiting:
            raise Conflict(
                f"cannot start VM {vm.meta.name}: it is {word}",
                code="vm_already_running",
                details={"name": vm.meta.name, "status": word},
            )
        return _boot_again(tx, vm, call, "StartRequested")

    return _shown(call, await call.store.write(job))


async def restart(call: Call, query: NoQuery) -> Answer:
    """`POST /vms/{name}/restart`: also starts a stopped VM.

    The answer's status is always `restarting`, as in the reference: it names what was asked for. A stopped VM
    is `starting` when it is looked at next.
    """

    def job(tx: Transaction) -> VM:
        return _boot_again(tx, staying(tx, VM, call), call, "RestartRequested")

    vm = await call.store.write(job)
    return shown(call, replace(vm_view(vm), status="restarting"), vm.meta)


async def stop(call: Call, query: Force) -> Answer:
    """`POST /vms/{name}/stop`: answers when the guest is gone. With `force` it is not asked first."""

    def job(tx: Transaction) -> VM:
        vm = staying(tx, VM, call)
        if status_word(vm) == "stopped":
            raise Conflict(
                f"cannot stop VM {vm.meta.name}: it is stopped",
                code="vm_already_stopped",
                details={"name": vm.meta.name},
            )
        # A graceful request does not call off a forced one, a forced one escalates.
        is_forced = query.force or (vm.spec.power == "stopped" and vm.spec.force)
        spec = replace(vm.spec, power="stopped", force=is_forced)
        return tx.update_spec(vm, spec, call.happening("vm.updated", reason="StopRequested"))

    asked = await call.store.write(job)
    end = await call.context.waits.until(
        asked.meta.key, lambda: _is_stopped(_now(call, asked.meta.uid)), asked.spec.grace_s + call.deps.wait_margin_s
    )
    vm = _now(call, asked.meta.uid)
    if vm is None:
        raise NotFound("VM", asked.meta.name)
    refuse_deleting(vm)
    if vm.spec.power == "running":
        raise Conflict(
            f"cannot say that VM {vm.meta.name} is stopped: it was started again meanwhile", code="vm_started_again"
        )
    return _shown(call, vm, more=waited(end))


async def delete(call: Call, query: Force) -> Answer:
    """`DELETE /vms/{name}`: answers when nothing of it is left. Asking again meanwhile waits as well."""

    def job(tx: Transaction) -> VM:
        vm = asked_for(tx, VM, call)
        spec = replace(vm.spec, force=vm.spec.force or query.force)
        return tx.mark_deleting(vm, call.happening("vm.deleting"), spec=spec)

    asked = await call.store.write(job)
    uid = asked.meta.uid
    end = await call.context.waits.until(
        asked.meta.key, lambda: call.store.find_uid(uid) is None, asked.spec.grace_s + call.deps.wait_margin_s
    )
    vm = _now(call, uid)
    return Answer(204) if vm is None else plain(vm_view(vm), status=202, more=waited(end))


def waited(end: WaitEnd) -> Headers:
    """What an answer says of a wait that did not reach what it waited for."""
    return () if end == "reached" else ((b"volant-wait", end.encode()),)


def _boot_again(tx: Transaction, vm: VM, call: Call, reason: str) -> VM:
    # The nonce grows on a stopped VM as well: its guest may still be shutting down, and must not count as the new one.
    spec = replace(vm.spec, power="running", force=False, restart_nonce=vm.spec.restart_nonce + 1)
    return tx.update_spec(vm, spec, call.happening("vm.updated", reason=reason))


def _new_meta(asked: NewVM, uid: Uid, now: float) -> Meta:
    # The finalizer from the first moment on, so that the row outlives whatever is made for it (D3).
    return Meta(name=asked.name, uid=uid, kind="VM", created_at=now, labels=asked.labels, finalizers=(FINALIZER,))


def _now(call: Call, uid: Uid) -> VM | None:
    found = call.store.find_uid(uid)
    return found if isinstance(found, VM) else None


def _is_stopped(vm: VM | None) -> bool:
    """Whether waiting for the stop is over: it is so, or will never be."""
    return vm is None or vm.meta.is_deleting or vm.spec.power == "running" or status_word(vm) == "stopped"


def _shown(call: Call, vm: VM, *, status: int = 200, more: Headers = ()) -> Answer:
    return shown(call, vm_view(vm, call.deps.last_check(vm)), vm.meta, status=status, more=more)
