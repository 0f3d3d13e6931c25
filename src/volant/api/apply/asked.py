"""The body of an apply, and the documents in it: every mistake of every document at once (A9)."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, NamedTuple

from msgspec import UNSET, Struct, UnsetType
from msgspec import Meta as Constraint

from volant.api.body import FieldError, converted
from volant.errors import Invalid
from volant.model.apply.documents import FORMS, Document
from volant.model.meta import Key, Misfit, Name

MAX_OBJECTS = 10_000
MAX_TOLD = 100
"""Mistakes that an answer lists."""
DEADLINE_S = 600.0
"""How long a set may take to become healthy, unless it is said."""

DeadlineSeconds = Annotated[
    float,
    Constraint(ge=1, le=86_400, description="Seconds within which the set has to be healthy; 600 unless said."),
]

Manager = Annotated[
    str,
    Constraint(
        pattern=r"^[a-z0-9][a-z0-9._/-]{0,62}$(?!\n)",
        description="Who says the fields: lower-case letters, digits, '.', '_', '/', '-', at most 63.",
    ),
]

Commit = Annotated[
    str,
    Constraint(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$(?!\n)",
        description="What the objects come from, such as the id of a commit; each event of this apply has it.",
    ),
]


class Apply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /apply`: objects as they should be, as one set.

    `objects` are manifests: `kind`, `metadata`, `spec`. `manager` is whose their fields are. `prune` deletes what the
    set no longer names, which `partial` forbids: objects that are not all of the set. `confirm_delete` is how many
    deletions are meant, where there are many. `force` takes fields and objects over from other managers and sets.
    `plan` is the token of a dry run: nothing is done but exactly that. `atomic` takes the whole set back to what it
    was before unless all of it is healthy within `deadline_seconds`, and prunes only then; what was taken back is
    refused until it is said otherwise, or with `retry`. `commit` is where the objects come from, for the
    events of what is done.
    """

    set: Name
    objects: Annotated[list[dict[str, Any]], Constraint(max_length=MAX_OBJECTS)]
    manager: Manager = "apply"
    prune: bool = False
    partial: bool = False
    force: bool = False
    confirm_delete: Annotated[int, Constraint(ge=0)] | UnsetType = UNSET
    plan: Annotated[str, Constraint(min_length=32, max_length=32)] | UnsetType = UNSET
    commit: Commit | UnsetType = UNSET
    atomic: bool = False
    deadline_seconds: DeadlineSeconds | UnsetType = UNSET
    retry: bool = False

    def __post_init__(self) -> None:
        if self.prune and self.partial:
            raise ValueError("a part of a set says nothing of the rest: 'prune' needs all of it")
        if self.deadline_seconds is not UNSET and not self.atomic:
            raise Misfit("/deadline_seconds", "expected with 'atomic': nothing else is taken back")

    @property
    def deadline_s(self) -> float | None:
        """In how many seconds the set is taken back unless it is healthy; None: never."""
        if not self.atomic:
            return None
        return DEADLINE_S if self.deadline_seconds is UNSET else self.deadline_seconds


class SetRollback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /sets/{name}/rollback`: which revision of the set to apply once more, and how; see `Apply`."""

    revision: Annotated[int, Constraint(ge=1, description="The number of a revision.")] | UnsetType = UNSET
    force: bool = False
    confirm_delete: Annotated[int, Constraint(ge=0)] | UnsetType = UNSET
    atomic: bool = False
    deadline_seconds: DeadlineSeconds | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.deadline_seconds is not UNSET and not self.atomic:
            raise Misfit("/deadline_seconds", "expected with 'atomic': nothing else is taken back")


class Placed(NamedTuple):
    """A document, and where it stands in the body."""

    at: str
    document: Document

    @property
    def key(self) -> Key:
        """The object that it is about."""
        return Key(self.document.kind, self.document.metadata.name)


def documents(asked: Apply) -> list[Placed]:
    """The documents of the body, in their order. Raises Invalid with the mistakes of all of them."""
    placed: list[Placed] = []
    errors: list[FieldError] = []
    for index, said in enumerate(asked.objects):
        at = f"/objects/{index}"
        form = FORMS.get(str(said.get("kind")))
        if form is None:
            errors.append({"path": f"{at}/kind", "message": f"expected one of: {', '.join(sorted(FORMS))}"})
            continue
        found = converted(said, form, at)
        if isinstance(found, list):
            errors += found
        else:
            placed.append(Placed(at, found))
    errors += _twice(placed)
    if errors:
        raise invalid(errors)
    return placed


def invalid(errors: list[FieldError]) -> Invalid:
    """What to raise for mistakes of documents."""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Invalid(
        f"cannot apply: {errors[0]['path']}: {errors[0]['message']}{more}", code="invalid", fields=errors[:MAX_TOLD]
    )


def _twice(placed: list[Placed]) -> list[FieldError]:
    times = Counter(one.key for one in placed)
    return [
        {"path": f"{one.at}/metadata/name", "message": f"{one.key.kind} {one.key.name} is said more than once"}
        for one in placed
        if times[one.key] > 1
    ]
