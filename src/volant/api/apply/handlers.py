"""The handlers of sets: apply one, show them, go back, and make again what was pruned.

An apply is one job: whatever stands in its way, it has changed nothing. A dry run is the same job, rolled back, so what
it says is what an apply does (A4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from volant.api.apply.asked import Apply, Placed, SetRollback, documents, invalid
from volant.api.apply.objects import Desk, apply_one
from volant.api.apply.prune import prune
from volant.api.apply.story import Story
from volant.api.apply.views import known_set, set_view
from volant.api.body import FieldError
from volant.api.call import Answer, Call, encoded, plain
from volant.api.keys import key_of, once
from volant.clock import Uid
from volant.errors import Conflict, Invalid, NotFound, RequestError
from volant.model.apply.exported import Kept
from volant.model.apply.merge import Fields
from volant.model.apply.outcome import ApplyView, Planned, answer, token
from volant.model.apply.sets import SetRevision
from volant.model.meta import Key, Kind
from volant.model.queries import Applying, NoQuery
from volant.store import Pruned, Transaction

KINDS: tuple[Kind, ...] = ("Plugin", "VM", "Deployment")
"""What is used comes before who uses it, in whatever order they are said."""

NOTHING: Mapping[Key, Fields] = {}

Asking = Callable[[Transaction], tuple[Apply, list[Placed]]]
"""What is to be applied, as the rows of the transaction have it."""


class _Tried(Exception):
    """Not an error: the answer of a dry run, on its way out of a transaction that is to be rolled back."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


async def apply(call: Call, query: Applying) -> Answer:
    """`POST /apply`: Make a set of objects as they are said, all or nothing.

    Objects are created and changed as their manifests say; fields that other managers have said are left alone, or are
    a conflict where they are said otherwise. With `prune` what the set no longer names is deleted. The answer is the
    plan, with a `token`: `?dry_run=true` gives it without doing anything, and `plan` in the body does nothing else.
    """
    return await _applied(call, _said(await call.body(Apply)), is_trial=query.dry_run)


async def list_sets(call: Call, query: NoQuery) -> Answer:
    """`GET /sets`: List what was applied together, by name."""
    return plain([set_view(call, name) for name in call.store.sets()])


async def get_set(call: Call, query: NoQuery) -> Answer:
    """`GET /sets/{name}`: Show a set: its objects, its revisions, and what was pruned of it in the last 24 hours."""
    return plain(known_set(call, call.name))


async def restore(call: Call, query: Applying) -> Answer:
    """`POST /sets/{name}/restore`: Make again what was pruned of a set in the last 24 hours.

    Each as its manifest was then, with a new identity: addresses, disks and histories are new, fields are whose they
    were. What has a name that is taken by now is left out; while one of them is still on its way out, none is made.
    """
    lost = [one for one in call.store.pruned(call.name, call.deps.clock.now()) if not _is_there(call, one)]
    if not lost:
        known_set(call, call.name)
    kept = {one.key: msgspec.json.decode(one.document, type=Kept) for one in lost}
    objects = [{"kind": one.kind, "metadata": one.metadata, "spec": one.spec} for one in kept.values()]
    said = {key: one.said for key, one in kept.items()}
    asked = Apply(set=call.name, objects=objects, partial=True)
    return await _applied(call, _said(asked), said, is_trial=query.dry_run)


async def roll_back(call: Call, query: Applying) -> Answer:
    """`POST /sets/{name}/rollback`: Apply a set once more as it was said for an earlier revision.

    That is an apply like any other, as the manager of then, and a new revision; what that revision did not name goes,
    unless it was a part of the set only. Without `revision` it is the last healthy one of the whole set before the
    current.
    """
    asked = await call.body(SetRollback)

    def ask(tx: Transaction) -> tuple[Apply, list[Placed]]:
        # Inside the job, so that whoever asks again with the same key is answered whatever is kept by then.
        again = _again(tx, call.name, asked)
        return again, documents(again)

    return await _applied(call, ask, is_trial=query.dry_run)


def _again(tx: Transaction, name: str, asked: SetRollback) -> Apply:
    """What was said for the revision, to be said once more. Raises NotFound, and Conflict `no_such_revision`."""
    found = tx.set_revisions(name)
    if not found and not tx.members(name) and not tx.pruned(name):
        raise NotFound("Set", name, code="set_not_found")
    revision = _earlier(found, asked.revision)
    said = None if revision is None else tx.set_documents(name, revision.number)
    if revision is None or said is None:
        what = "has no earlier revision that was healthy" if asked.revision is UNSET else "does not keep that revision"
        raise Conflict(
            f"cannot roll the set {name} back: it {what}",
            code="no_such_revision",
            details={"set": name, "revisions": [one.number for one in found]},
        )
    return Apply(
        set=name,
        objects=msgspec.json.decode(said),
        manager=revision.manager,
        prune=not revision.is_partial,
        partial=revision.is_partial,
        force=asked.force,
        confirm_delete=asked.confirm_delete,
        atomic=asked.atomic,
        deadline_seconds=asked.deadline_seconds,
        retry=True,  # because it is asked for by name
    )


def _earlier(found: Sequence[SetRevision], number: int | UnsetType) -> SetRevision | None:
    if number is UNSET:
        # A part, as a restore is one, says nothing of what the rest was like.
        return next((one for one in found[1:] if one.state == "healthy" and not one.is_partial), None)
    return next((one for one in found if one.number == number), None)


def _said(asked: Apply) -> Asking:
    """What the body says, whatever there is. Raises Invalid before anything is written."""
    placed = documents(asked)
    return lambda _: (asked, placed)


async def _applied(call: Call, ask: Asking, said: Mapping[Key, Fields] = NOTHING, *, is_trial: bool) -> Answer:
    key = call.headers.get(b"idempotency-key")

    def job(tx: Transaction) -> tuple[None, Answer]:
        asked, placed = ask(tx)
        answer = Answer(200, encoded(apply_in(Desk(call, tx, asked, is_trial, said), placed)))
        if is_trial:
            raise _Tried(answer)
        return None, answer

    if key is not None and not is_trial:
        return await once(call, key, job)
    if key is not None:
        key_of(key)  # because a trial tells what the write would be refused for
    try:
        return (await call.store.write(job))[1]
    except _Tried as tried:
        return tried.answer


def apply_in(desk: Desk, placed: list[Placed]) -> ApplyView:
    """All of an apply, inside its transaction. Raises what is in its way, with nothing done."""
    story = Story(desk)
    members = desk.tx.members(desk.asked.set) if desk.asked.prune else []
    planned, uids = _objects(desk, placed, story)
    pruned = prune(desk, members, uids, story) if desk.asked.prune else []
    planned += pruned
    now = token(desk.asked.set, desk.asked.manager, planned, desk.manner)
    if desk.asked.plan is not UNSET and desk.asked.plan != now:
        raise Conflict(
            "cannot apply this plan: something has changed since it was made, or other things are asked for. "
            "Make another",
            code="plan_changed",
            details={"token": now},
        )
    revision = story.close(is_pruned=any(one.action == "delete" for one in pruned))
    view = answer(desk.asked.set, desk.asked.manager, planned, dry_run=desk.is_trial, manner=desk.manner)
    return view if desk.is_trial else replace(view, revision=revision)


def _objects(desk: Desk, placed: list[Placed], story: Story) -> tuple[list[Planned], set[Uid]]:
    """Every object of the set made or changed. Raises what is in the way of all of them, together (A9)."""
    planned: dict[str, Planned] = {}
    troubles: list[tuple[Placed, RequestError]] = []
    done: dict[Uid, Placed] = {}
    with desk.tx.at_once() as moves:
        for one in sorted(placed, key=lambda one: KINDS.index(one.key.kind)):
            story.before(one.key)
            try:
                obj, planned[one.at] = apply_one(desk, one)
            except RequestError as error:
                troubles.append((one, error))
                continue
            done[obj.meta.uid] = one
            if desk.tx.set_of(obj.meta.uid) != desk.asked.set:
                desk.tx.join(desk.asked.set, obj.meta.uid)
                desk.tx.restored(desk.asked.set, obj.meta.key)
            story.after(obj)
        troubles += [(done[uid], error) for uid, error in moves.settle().items()]
        if troubles:
            raise _all_of(troubles)
    return [planned[one.at] for one in placed], set(done)


def _all_of(troubles: list[tuple[Placed, RequestError]]) -> RequestError:
    """One error for all: mistakes of documents if there are any, for they can be mended; else what is in the way."""
    mistakes = [mistake for one, error in troubles for mistake in _mistakes(one, error)]
    if mistakes:
        return invalid(mistakes)
    first = troubles[0][1]
    objects = [
        {
            "path": one.at,
            "kind": one.key.kind,
            "name": one.key.name,
            "code": error.code,
            "error": error.message,
            "details": error.details,
        }
        for one, error in troubles
    ]
    more = f" (and {len(objects) - 1} more)" if len(objects) > 1 else ""
    return Conflict(first.message + more, code=first.code, details={**first.details, "objects": objects})


def _mistakes(one: Placed, error: RequestError) -> list[FieldError]:
    if isinstance(error, NotFound):  # What a document can name and nobody has is its plugin.
        return [{"path": f"{one.at}/spec/plugin", "message": f"there is no plugin {error.details['name']}"}]
    if not isinstance(error, Invalid):
        return []
    fields = error.details.get("fields", [{"path": "", "message": error.message}])
    return [{"path": one.at + _below(field["path"]), "message": field["message"]} for field in fields]


def _below(path: str) -> str:
    # What a single write would call `/config/...` stands below `/spec` here.
    return path if path.startswith(("/spec", "/metadata", "/kind")) or not path else f"/spec{path}"


def _is_there(call: Call, one: Pruned) -> bool:
    # What is still on its way out is asked for, and refused: left out, it would be missed in silence.
    found = call.store.find(one.key)
    return found is not None and not found.meta.is_deleting
