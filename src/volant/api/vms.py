"""`/vms`: create, read, start, stop, restart, delete.

Writes change the spec in one transaction, by the procedure of `writing`. By themselves create, start and restart answer
at once, stop and delete when the VM controller has reported the end. Their bound is the guest's grace period and then
some, because after it the controller uses force: only a host in trouble lets it pass.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from volant.api.admission import asked_for, attachable, hosted, resolved, staying, usable_plugin
from volant.api.call import Answer, Call, shown_bytes
from volant.api.fields import chosen, media_of
from volant.api.listings import of_vms
from volant.api.lists import listed
from volant.api.writing import Manner, written
from volant.clock import Uid
from volant.errors import Conflict
from volant.model.goals import Goal
from volant.model.meta import Meta
from volant.model.queries import Chosen, Force, VMQuery, VMWriting
from volant.model.requests import NewVM
from volant.model.views import VMView
from volant.model.vm import FINALIZER, VM, VMSpec, status_word
from volant.model.wire import vm_view
from volant.store import Rows, Transaction


async def list_vms(call: Call, query: VMQuery) -> Answer:
    """`GET /vms`: List VMs.

    A bare array in the order of creation, whole unless `limit` says otherwise. `Volant-Revision` is where to watch from
    to miss nothing that happens after it.
    """
    return await listed(call, query, query.sort, of_vms(call, query))


async def get(call: Call, query: Chosen) -> Answer:
    """`GET /vms/{name}`: Show a VM.

    `status` is what was asked for and what is observed, in one word; `conditions` say why.
    """
    cut_out = chosen(query.fields, VMView)
    vm, body = call.context.bodies.of(call.name)
    shown = shown_bytes(call, cut_out(body) if cut_out else body, vm.meta)
    return shown._replace(media=media_of(query.fields))


async def create(call: Call, query: VMWriting) -> Answer:
    """`POST /vms`: Create a VM and start it.

    Answers at once, with the VM `starting`; `?wait=running` or `?wait=ready` answers when it has got there. The address
    that it gets is its own until it is deleted. What `resources` leaves out is the plugin's.
    """
    asked = await call.body(NewVM)

    hosted(call)

    def job(tx: Transaction) -> VM:
        config = attachable(call, resolved(asked.config, usable_plugin(tx, asked.plugin)))
        uid = tx.new_uid()
        spec = VMSpec(
            plugin=asked.plugin,
            config=config,
            restart_policy=asked.restart_policy,
            grace_s=asked.grace_s,
            address=tx.allocate_address(uid, config.network.mode),
        )
        vm = VM(meta=_new_meta(asked, uid, tx.now), spec=spec)
        return tx.insert(vm, call.happening("vm.created"))

    return await written(call, query, job, CREATED)


async def start(call: Call, query: VMWriting) -> Answer:
    """`POST /vms/{name}/start`: Start a stopped VM.

    Answers at once. A VM that would wait before its next try boots now.
    """

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

    return await written(call, query, job, CHANGED)


async def restart(call: Call, query: VMWriting) -> Answer:
    """`POST /vms/{name}/restart`: Restart a VM; a stopped one is started.

    Answers at once, and the status in the answer is always `restarting`: it names what was asked for. A stopped VM is
    `starting` when it is looked at next.
    """

    def job(tx: Transaction) -> VM:
        return _boot_again(tx, staying(tx, VM, call), call, "RestartRequested")

    return await written(call, query, job, RESTARTED)


async def stop(call: Call, query: Force) -> Answer:
    """`POST /vms/{name}/stop`: Stop a VM: ask its guest to shut down, and wait until it has.

    After the VM's grace period the guest is killed; with `?force=true` it is not asked first. Answers when the VM is
    stopped; `?wait=none` answers at once.
    """

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

    return await written(call, query, job, _ending(call, "changes", "stopped"))


async def delete(call: Call, query: Force) -> Answer:
    """`DELETE /vms/{name}`: Stop a VM and delete it.

    Answers 204 when nothing of it is left, and 202 with the VM when that takes too long or is not waited for. Asking
    again meanwhile waits as well.
    """

    def job(tx: Transaction) -> VM:
        vm = asked_for(tx, VM, call)
        # Whoever asks for the end of this one VM does not wait for those who still send it something.
        spec = replace(vm.spec, force=vm.spec.force or query.force, drain_s=0.0)
        return tx.mark_deleting(vm, call.happening("vm.deleting"), spec=spec)

    return await written(call, query, job, _ending(call, "deletes", "deleted"))


def _boot_again(tx: Transaction, vm: VM, call: Call, reason: str) -> VM:
    # The nonce grows on a stopped VM as well: its guest may still be shutting down, and must not count as the new one.
    spec = replace(vm.spec, power="running", force=False, restart_nonce=vm.spec.restart_nonce + 1)
    return tx.update_spec(vm, spec, call.happening("vm.updated", reason=reason))


def _new_meta(asked: NewVM, uid: Uid, now: float) -> Meta:
    # The finalizer from the first moment on, so that the row outlives whatever is made for it (D3).
    return Meta(name=asked.name, uid=uid, kind="VM", created_at=now, labels=asked.labels, finalizers=(FINALIZER,))


def _view(_: Rows, vm: VM) -> VMView:
    return vm_view(vm)


def _restarting(_: Rows, vm: VM) -> VMView:
    return replace(vm_view(vm), status="restarting")


CREATED = Manner[VM](kind="VM", show=_view, does="creates")
CHANGED = Manner[VM](kind="VM", show=_view)
RESTARTED = Manner[VM](kind="VM", show=_restarting, later=_view)


def _ending(call: Call, does: Literal["changes", "deletes"], until: Goal) -> Manner[VM]:
    margin_s = call.deps.wait_margin_s
    return Manner(kind="VM", show=_view, does=does, until=until, bound_s=lambda _, vm: vm.spec.grace_s + margin_s)
