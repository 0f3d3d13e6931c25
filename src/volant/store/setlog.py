"""The revisions of sets: what each apply made of one, and what it takes to take the last of them back.

    apply ──begin──▶ progressing ──end──▶ healthy | reverted
                          └──another apply──▶ superseded

A set has them from its first atomic apply on. The last REVISIONS_KEPT are kept, and the last healthy one; of what they
were made of at most KEPT_BYTES, newest first. What it takes to take a set back is kept while that may be.

None of this is an object: nobody is told of it but by the events of the objects themselves.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from volant.model.apply.sets import REVISIONS_KEPT, SetRevision, Undo
from volant.store.database import Execute
from volant.store.ownership import RESTORABLE_S

KEPT_BYTES = 4 << 20
"""Of the manifests of one set's revisions. Those of the newest are kept whatever they take."""

_INSERT = "INSERT INTO set_revisions (set_name, number, state, at, head, documents, undo) VALUES (?, ?, ?, ?, ?, ?, ?)"
_LAST = "SELECT head FROM set_revisions WHERE set_name = ? ORDER BY number DESC LIMIT 1"
_ALL = "SELECT head FROM set_revisions WHERE set_name = ? ORDER BY number DESC"
_UNDO = "SELECT undo FROM set_revisions WHERE set_name = ? AND number = ?"
_DOCUMENTS = "SELECT documents FROM set_revisions WHERE set_name = ? AND number = ?"
_PROGRESSING = "SELECT set_name FROM set_revisions INDEXED BY sets_progressing WHERE state = 'progressing'"
_WRITE = "UPDATE set_revisions SET head = ?, state = ?, undo = ? WHERE set_name = ? AND number = ?"
_TRIM = (
    "DELETE FROM set_revisions WHERE set_name = ?1 AND number <= ?2 AND number <> "
    "(SELECT ifnull(max(number), 0) FROM set_revisions WHERE set_name = ?1 AND state = 'healthy')"
)
_LIGHTEN = (
    "UPDATE set_revisions SET documents = NULL WHERE set_name = ?1 AND documents IS NOT NULL AND number IN "
    "(SELECT number FROM (SELECT number, sum(length(documents)) OVER (ORDER BY number DESC) AS bytes "
    "FROM set_revisions WHERE set_name = ?1) WHERE bytes > ?2 AND number < ?3)"
)
# What is left of a set that has no object any more says for a day why.
_FORGET = (
    "DELETE FROM set_revisions WHERE at <= ? AND state <> 'progressing' "
    "AND set_name NOT IN (SELECT set_name FROM set_members) AND set_name <> ?"
)

_ENCODER = msgspec.json.Encoder(order="sorted")
_HEADS = msgspec.json.Decoder(SetRevision)
_UNDOS = msgspec.json.Decoder(Undo)


def last(execute: Execute, name: str) -> SetRevision | None:
    """The current revision of a set; None of one that was never applied atomically."""
    row = execute(_LAST, (name,)).fetchone()
    return _HEADS.decode(row[0]) if row else None


def revisions(execute: Execute, name: str) -> list[SetRevision]:
    """The revisions of a set, newest first."""
    return [_HEADS.decode(head) for (head,) in execute(_ALL, (name,)).fetchall()]


def progressing(execute: Execute) -> list[str]:
    """Every set that is not where it was to go. Costs next to nothing where there is none."""
    return [str(name) for (name,) in execute(_PROGRESSING, ()).fetchall()]


def undo(execute: Execute, name: str, number: int) -> Undo:
    """What it takes to take a revision back: nothing of one that is no longer progressing."""
    row = execute(_UNDO, (name, number)).fetchone()
    return _UNDOS.decode(row[0]) if row and row[0] is not None else Undo()


def documents(execute: Execute, name: str, number: int) -> bytes | None:
    """What was said to make a revision, as a JSON array of manifests; None when it is not kept."""
    row = execute(_DOCUMENTS, (name, number)).fetchone()
    return row[0] if row else None


def begin(execute: Execute, revision: SetRevision, said: bytes, undo: Undo) -> None:
    """The revision is the set's from now on. The one before it, if it was progressing, is superseded."""
    name, number = revision.set, revision.number
    before = last(execute, name)
    if before is not None and before.state == "progressing":
        end(execute, replace(before, state="superseded", ended_at=revision.at))
    kept = _ENCODER.encode(undo) if revision.state == "progressing" else None
    execute(_INSERT, (name, number, revision.state, revision.at, _ENCODER.encode(revision), said, kept))
    execute(_TRIM, (name, number - REVISIONS_KEPT))
    execute(_LIGHTEN, (name, KEPT_BYTES, number))
    execute(_FORGET, (revision.at - RESTORABLE_S, name))


def end(execute: Execute, revision: SetRevision) -> None:
    """Write what became of a revision that was progressing. Nothing can be taken back any more."""
    execute(_WRITE, (_ENCODER.encode(revision), revision.state, None, revision.set, revision.number))


def amend(execute: Execute, revision: SetRevision) -> None:
    """Write other words of a revision that is progressing, and stays so."""
    kept = _ENCODER.encode(undo(execute, revision.set, revision.number))
    execute(_WRITE, (_ENCODER.encode(revision), revision.state, kept, revision.set, revision.number))
