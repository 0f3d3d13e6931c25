"""What is shown of each object while it is waited for."""

from __future__ import annotations

from typing import Any

from msgspec import convert

from volant.cli.board import Board, Row
from volant.cli.waiting import drawn
from volant.client import Change
from volant.model.event import EventData
from volant.model.views import VMView

VM: dict[str, Any] = {
    "name": "web-1",
    "status": "starting",
    "plugin": "hello",
    "created_at": "2025-01-15T10:00:00Z",
    "resources": {},
    "uid": "u",
    "generation": 1,
    "revision": 1,
    "restart_policy": "always",
    "restart_required": False,
    "restarts": 0,
}


def state(**more: Any) -> Change:
    return Change(type="vm.state", object=convert({**VM, **more}, VMView))


def event(type_: str, name: str, *, owner: str | None = None, **more: Any) -> Change:
    data = {"name": name, "timestamp": "2025-01-15T10:00:00Z", "owner": owner, **more}
    return Change(type=type_, event=convert(data, EventData))


def word(row: Row | None) -> str:
    assert row is not None
    return row.word


def test_a_vm_on_its_way_has_a_word_for_each_step() -> None:
    board = Board()
    assert word(board.take(state(), 0.0)) == "starting"
    assert word(board.take(event("vm.started", "web-1", new={"status": "running"}), 1.0)) == "running, not ready yet"
    assert word(board.take(event("vm.updated", "web-1", new={"ready": True}), 2.0)) == "ready"
    assert board.take(event("vm.updated", "web-1", new={"restarts": 1}), 3.0) is None
    assert word(board.take(event("vm.deleting", "web-1"), 4.0)) == "deleting"
    assert word(board.take(event("vm.deleted", "web-1"), 5.0)) == "deleted"


def test_the_seconds_are_those_of_the_state_whatever_its_reason() -> None:
    board = Board()
    board.take(state(), 0.0)
    first = board.take(event("vm.error", "web-1", new={"status": "error"}, message="no kernel"), 5.0)
    second = board.take(event("vm.error", "web-1", message="no disk"), 9.0)
    assert (word(first), word(second)) == ("error: no kernel", "error: no disk")
    assert second is not None
    assert second.since_s == 5.0
    assert word(board.take(event("vm.updated", "web-1", new={"status": "starting"}), 11.0)) == "starting"
    assert list(drawn(board.rows()[0], 14.2, coloured=False)) == ["  web-1    3 s  starting"]


def test_what_is_there_at_the_first_look_is_news_only_where_that_is_said() -> None:
    assert not _first(Board()).is_news
    assert _first(Board(news=lambda kind, name, _: (kind, name) == ("vm", "web-1"))).is_news


def _first(board: Board) -> Row:
    row = board.take(state(), 0.0)
    assert row is not None
    return row


def test_only_what_is_asked_for_is_shown_by_kind_name_and_owner() -> None:
    board = Board(shown=lambda kind, name, owner: kind == "deployment" or owner == "web")
    assert board.take(state(), 0.0) is None
    owner = {"kind": "Deployment", "name": "web", "uid": "u"}
    assert word(board.take(state(owner=owner), 0.0)) == "starting"
    assert board.take(event("vm.created", "db", new={"status": "starting"}), 1.0) is None
    assert word(board.take(event("vm.created", "web-2", owner="web", new={"status": "starting"}), 1.0)) == "starting"


def test_those_of_which_something_is_expected_come_first_and_the_rest_is_counted() -> None:
    board = Board()
    for n in range(12):
        board.take(event("vm.created", f"a-{n}", new={"status": "running", "ready": n % 2 == 0}), 0.0)
    board.take(event("deployment.updated", "a", new={"replicas": 12, "ready_replicas": 6}), 0.0)
    board.take(event("deployment.updated", "b", new={"replicas": 1, "ready_replicas": 1}), 0.0)
    shown, more = board.rows(8)
    assert [row.name for row in shown] == ["a", "a-1", "a-3", "a-5", "a-7", "a-9", "a-11", "b"]
    assert more == 6


def test_a_vm_and_a_deployment_may_be_called_alike() -> None:
    board = Board()
    board.take(event("vm.created", "web", new={"status": "starting"}), 0.0)
    board.take(event("deployment.created", "web", new={"replicas": 3, "ready_replicas": 0}), 0.0)
    assert [row.word for row in board.rows()[0]] == ["0 of 3 ready", "starting"]


def test_what_a_guest_says_cannot_move_the_cursor() -> None:
    rows = [Row("vm", "web", "error: \x1b[2J", 0.0)]
    assert list(drawn(rows, 0.0, coloured=False)) == ["  web    0 s  error: \\x1b[2J"]
