"""`PUT /vms/{name}` and `PUT /deployments/{name}`: one object as its manifest says it, made or changed.

    body ──▶ document ──apply_one, in the transaction of a single write──▶ 201 | 200

What an apply does with one object of a set is done here, by the same code, without a set: the object stays in the one
that it is in, and its fields are `api`'s, as those of every single write. So what it said before and says no more goes
back to its default, and what another manager says otherwise is a conflict. The second time nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar, cast

from volant.api.apply.asked import Apply, Placed
from volant.api.apply.objects import Desk, apply_one
from volant.api.call import Answer, Call
from volant.api.deployments import deployment_manner
from volant.api.manner import Manner
from volant.api.vms import CHANGED, CREATED
from volant.api.writing import written
from volant.errors import Invalid, PreconditionFailed
from volant.model.apply.documents import DeploymentDocument, Document, VMDocument
from volant.model.apply.merge import UNTRACKED
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.queries import DeploymentPutting, VMPutting
from volant.store import Transaction

O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object

Does = Literal["creates", "changes"]
REASON = "ObjectApplied"
WHOLE = ("/kind", "/metadata", "/spec")


class _Otherwise(Exception):
    """Not an error: the object has come or gone since it was looked for."""


async def put_vm(call: Call, query: VMPutting) -> Answer:
    """`PUT /vms/{name}`: Make a VM, or make it as a manifest says it.

    The body is a manifest as `POST /apply` takes it, of the VM in the path. What it leaves out is as it is by itself,
    or as another manager says. Answers at once, 201 when it was made; the second time nothing is done.
    """
    document = await call.body(VMDocument)
    return await _put(call, query, document, lambda does: CREATED if does == "creates" else CHANGED)


async def put_deployment(call: Call, query: DeploymentPutting) -> Answer:
    """`PUT /deployments/{name}`: Make a deployment, or make it as a manifest says it.

    The body is a manifest as `POST /apply` takes it, of the deployment in the path. What it leaves out is as it is by
    itself, or as another manager says; another template is a rollout. Answers at once, 201 when it was made; the second
    time nothing is done.
    """
    document = await call.body(DeploymentDocument)
    return await _put(call, query, document, lambda does: deployment_manner(call, does))


async def _put(
    call: Call, query: VMPutting | DeploymentPutting, document: Document, manner: Callable[[Does], Manner[O]]
) -> Answer:
    key = Key(document.kind, document.metadata.name)
    if key.name != call.name:
        field = {"path": "/metadata/name", "message": f"expected {call.name[:64]!r}, the name in the path"}
        raise Invalid(f"cannot put {key.kind} {call.name[:64]!r}: the manifest is that of {key.name}", fields=[field])
    while True:
        # What is written says how it is answered, and an answer may be kept with the write: so it is foretold, and
        # asked again where somebody was faster.
        does: Does = "creates" if call.store.find(key) is None else "changes"
        try:
            job = cast("Callable[[Transaction], O]", _job(call, document, key, does, force=query.force))
            return await written(call, query, job, manner(does))
        except _Otherwise:
            continue


def _job(call: Call, document: Document, key: Key, does: Does, *, force: bool) -> Callable[[Transaction], Object]:
    def job(tx: Transaction) -> Object:
        found = tx.find(key)
        if (found is None) != (does == "creates"):
            raise _Otherwise
        if found is not None:
            call.check_precondition(found.meta)
        elif call.header(b"if-match"):
            raise PreconditionFailed(
                f"cannot write to {key.kind} {key.name}: there is none", details={"name": key.name}
            )
        own_set = None if found is None else tx.set_of(found.meta.uid)
        asked = Apply(set=own_set or "", objects=[], manager=UNTRACKED, force=force)
        try:
            return apply_one(Desk(call, tx, asked, reason=REASON), Placed("", document)).obj
        except Invalid as error:
            raise _of_manifest(error) from None

    return job


def _of_manifest(error: Invalid) -> Invalid:
    """The same with the paths of a manifest: what other bodies have at their top stands below `/spec`."""
    fields = [{**field, "path": _below(field["path"])} for field in error.details.get("fields", ())]
    return Invalid(error.message, code=error.code, fields=fields)


def _below(path: str) -> str:
    return path if not path or path.startswith(WHOLE) else f"/spec{path}"
