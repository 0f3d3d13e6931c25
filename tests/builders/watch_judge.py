"""The judge of what readers of event streams were told.

    Judge(log) ──a watcher's notes──▶ exactly the filtered log, each event once, or an explicit reset where it was cut

The judge knows nothing of the code under test: it has the log as it was committed, a predicate for each query, and the
rules that the documents give to clients.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.builders.watchers import FORGET, Note, Query, Seen, Watcher

from volant.model.event import Committed
from volant.model.meta import Key
from volant.model.objects import KINDS

GONE = {"vm.deleted", "deployment.deleted", "plugin.removed"}


class Judge:
    """Knows every event that was ever committed, and what the store holds in the end."""

    def __init__(self, log: Sequence[Committed], stored: Mapping[Key, int]) -> None:
        assert [event.revision for event in log] == list(range(1, len(log) + 1))
        self._log = list(log)
        self._stored = stored
        self._data = [json.loads(event.data) for event in log]
        self._after = [_seen(data) for data in self._data]
        self._until = [_seen(data | data.get("previous", {})) for data in self._data]
        self.told: Counter[str] = Counter()

    def learn(self, more: Sequence[Committed]) -> None:
        """The log has grown."""
        data = [json.loads(event.data) for event in more]
        self._log += more
        self._data += data
        self._after += [_seen(d) for d in data]
        self._until += [_seen(d | d.get("previous", {})) for d in data]

    def judge(self, watcher: Watcher) -> None:
        """Raises AssertionError at the first thing that it should not have been told, or should have been."""
        verdict = Case(watcher.query, watcher.has_state, self)
        for number, note in enumerate(watcher.notes):
            try:
                verdict.hear(note)
            except AssertionError as error:
                near = "\n".join(map(repr, watcher.notes[max(0, number - 5) : number + 3]))
                raise AssertionError(f"{watcher}, note {number}: {error}\n{near}") from error
        assert verdict.cursor == len(self._log), f"{watcher} ends at {verdict.cursor}"
        if watcher.has_state and watcher.query.types is None:
            wanted = {key: at for key, at in self._stored.items() if watcher.query.of(self.seen(at))}
            assert verdict.table == wanted, f"{watcher}"

    def seen(self, revision: int) -> Seen:
        """The object after that write."""
        return self._after[revision - 1]

    def is_shown(self, query: Query, revision: int) -> bool:
        """Whether a stream shows that event: its object is, or was until then, one of those."""
        if query.types is not None and self._log[revision - 1].type not in query.types:
            return False
        return query.of(self._after[revision - 1]) or query.of(self._until[revision - 1])

    def next_shown(self, query: Query, after: int, upto: int) -> int | None:
        """The first event in a part of the log that a stream has to show."""
        return next((r for r in range(after + 1, upto + 1) if self.is_shown(query, r)), None)

    def there(self, query: Query, at: int) -> dict[Key, int]:
        """The objects that a stream was about at a revision, from the events alone."""
        found: dict[Key, int] = {}
        for event in self._log[:at]:
            found[event.key] = event.revision
            if event.type in GONE:
                del found[event.key]
        return {key: revision for key, revision in found.items() if query.of(self.seen(revision))}

    def has(self, note: Note) -> bool:
        """Whether the log has the event that a watcher was given."""
        assert note.place is not None
        event = self._log[note.place - 1]
        return event.type == note.what and self._data[note.place - 1] == note.data

    def touches(self, key: Key, after: int) -> bool:
        """Whether anything happened to an object later."""
        return any(event.key == key for event in self._log[after:])


class Case:
    """One watcher's history as it is heard. `cursor` is the revision up to which it has been told everything."""

    def __init__(self, query: Query, has_state: bool, judge: Judge) -> None:
        self._query = query
        self._has_state = has_state
        self._judge = judge
        self.cursor: int | None = None
        self.table: dict[Key, int] = {}
        self._shown: dict[Key, int] | None = None
        self._before = 0
        self._is_over = True

    def hear(self, note: Note) -> None:
        """The next note."""
        self._judge.told[note.what if "." not in note.what or note.what.endswith(".state") else "event"] += 1
        if note.what in ("open", "end"):
            self._turn(note)
            return
        assert not self._is_over, "told after the last word"
        if note.what == "refused":
            self._refused(note.data)
        elif note.what.endswith(".state"):
            self._state(note)
        elif note.what == "bookmark":
            self._bookmark(note)
        elif note.what == "reset":
            self._reset(note)
        elif note.what in ("beat", "bye"):
            self._is_over = note.what == "bye"
            if note.place is not None:
                self._reaches(note.place)
        else:
            self._event(note)

    def _turn(self, note: Note) -> None:
        if note.what == "end":
            self._is_over = True
            if self._shown is not None:
                self._shown, self.cursor = None, None
            return
        self._is_over, self._before = False, note.data
        assert self.cursor is None or note.place == self.cursor, f"resumes after {note.place}, not {self.cursor}"
        self.cursor = note.place
        self._shown = {} if self._has_state and note.place is None else None
        self._judge.told["resumed" if note.place is not None else "begun"] += 1

    def _reaches(self, place: int) -> None:
        """Nothing that is to be shown lies between the cursor and there."""
        assert self._shown is None, "a place inside of a state"
        if self.cursor is None:
            assert place >= self._before, f"begins at {place}, before {self._before}"
        else:
            assert place >= self.cursor, f"goes back to {place} from {self.cursor}"
            missing = self._judge.next_shown(self._query, self.cursor, place)
            assert missing is None, f"event {missing} was not shown"
        self.cursor = place

    def _event(self, note: Note) -> None:
        assert note.place is not None
        assert self.cursor is None or note.place > self.cursor, f"event {note.place} again"
        assert self._judge.has(note), "not what was committed"
        assert self._judge.is_shown(self._query, note.place), "not asked for"
        self._reaches(note.place - 1)
        self.cursor = note.place
        key = Key(note.data["kind"], note.data["name"])
        if note.place > self.table.get(key, 0):
            self.table[key] = note.place
            if note.what in GONE or not self._query.of(self._judge.seen(note.place)):
                del self.table[key]
        else:
            self._judge.told["passed over"] += 1

    def _refused(self, said: Any) -> None:
        if said["code"] == "event_gone":
            assert not self._has_state
            assert self.cursor is not None
            assert said["details"]["oldest"] > self.cursor, "what is called gone is there"
            self._judge.told["event_gone"] += 1
            self.cursor = None
        else:
            assert said["code"] in ("stopping", "unavailable"), said
        self._is_over = True

    def _reset(self, note: Note) -> None:
        self._judge.told[note.data["reason"]] += 1
        if note.data["reason"] in ("too_slow", "unavailable"):
            assert note.place is None
            if note.data["last"] is None:
                assert self._shown is not None, "does not say where it was"
            else:
                self._reaches(note.data["last"])
            self._is_over = True
            return
        assert note.data["reason"] == "expired", note.data
        assert self.cursor is not None
        assert note.data["oldest"] > self.cursor, "what is called gone is there"
        if self._has_state:
            assert note.place == FORGET
            self.cursor, self._shown = None, {}
        else:
            assert note.place is not None
            assert note.place >= note.data["oldest"]
            self.cursor = note.place

    def _state(self, note: Note) -> None:
        assert self._shown is not None, "a state that was not begun"
        assert note.place is None
        kind = next(kind for kind in KINDS if note.what == f"{kind.lower()}.state")
        seen = _seen(note.data | {"kind": kind, "owner": note.data.get("owner", {}).get("name")})
        key = Key(kind, note.data["name"])
        assert key not in self._shown, f"{key} is shown twice"
        assert self._query.of(seen), "not asked for"
        assert seen == self._judge.seen(note.data["revision"]), "not as it was at its revision"
        self._shown[key] = note.data["revision"]

    def _bookmark(self, note: Note) -> None:
        assert self._shown is not None
        assert note.place is not None
        assert note.data == {"revision": note.place, "objects": len(self._shown)}
        assert note.place >= self._before
        there = self._judge.there(self._query, note.place)
        for key, revision in there.items():
            if key in self._shown:
                assert self._shown[key] >= revision, f"{key} is shown as it was before the bookmark"
            else:
                assert self._judge.touches(key, note.place), f"{key} is not shown"
        assert all(key in there or at > note.place for key, at in self._shown.items()), "shown though not there"
        self.table, self._shown, self.cursor = self._shown, None, note.place


def _seen(data: Mapping[str, Any]) -> Seen:
    kind, name = data["kind"], data["name"]
    return {
        "kind": kind,
        "name": name,
        "plugin": name if kind == "Plugin" else data["plugin"],
        "deployment": name if kind == "Deployment" else data.get("owner"),
        "labels": data.get("labels", {}),
    }
