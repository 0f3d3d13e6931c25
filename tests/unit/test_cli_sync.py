"""The pure parts of `volant sync`: when the next turn is, what is read, what is sent, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from volant.cli.ending import ERROR, Ended
from volant.cli.sync import keep
from volant.gitops import (
    COMMIT,
    Aim,
    Directory,
    Render,
    SyncFailed,
    Turned,
    WrongSource,
    address,
    delay_s,
    said_of,
    set_of,
    turn,
    within,
)
from volant.gitops.git import state
from volant.gitops.turn import marked
from volant.model.apply.outcome import Action, ApplyView, Planned, answer
from volant.model.meta import Kind


def view(*planned: Planned) -> ApplyView:
    return answer("infra", "sync/infra", planned, dry_run=False)


def test_failures_double_the_pause_up_to_ten_intervals() -> None:
    assert [delay_s(30.0, n) for n in (0, 1, 2, 3, 4, 5, 10_000)] == [30.0, 30.0, 60.0, 120.0, 240.0, 300.0, 300.0]


class Stopped(Exception):
    """The end of a loop without one."""


def test_an_error_is_said_once_until_it_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    turns: list[str | Ended | None] = [
        None,
        *(Ended("no network", ERROR) for _ in range(3)),
        Ended("a conflict", ERROR),
        None,
        None,
        Ended("a conflict", ERROR),
        "applied",
    ]
    pauses: list[float] = []

    def turn() -> str | None:
        if not turns:
            raise Stopped
        found = turns.pop(0)
        if isinstance(found, Ended):
            raise found
        return found

    with pytest.raises(Stopped):
        keep(turn, 1.0, pauses.append)
    said = capsys.readouterr()
    assert said.err.splitlines() == ["Error: no network", "Error: a conflict", "Error: a conflict"]
    assert said.out.splitlines() == ["in order again", "applied"]
    assert pauses == [1.0, 1.0, 2.0, 4.0, 8.0, 1.0, 1.0, 1.0, 1.0]


def test_an_object_has_its_commit_beside_its_own_annotations() -> None:
    value: dict[str, Any] = {"kind": "VM", "metadata": {"name": "db", "annotations": {"a": "b", COMMIT: "said"}}}
    assert marked(value, "c1")["metadata"]["annotations"] == {"a": "b", COMMIT: "c1"}
    assert marked(value, None)["metadata"]["annotations"] == {"a": "b"}
    bare: dict[str, Any] = {"kind": "VM", "metadata": {"name": "db"}}
    assert marked(bare, None) == bare
    assert marked(bare, "c1")["metadata"] == {"name": "db", "annotations": {COMMIT: "c1"}}
    assert bare["metadata"] == {"name": "db"}


@pytest.mark.parametrize(
    ("kind", "action", "is_drift"), [("Plugin", "delete", False), ("VM", "delete", True), ("Plugin", "create", True)]
)
def test_a_plugin_that_had_to_wait_goes_without_anybody_having_touched_it(
    kind: Kind, action: Action, is_drift: bool
) -> None:
    done = view(Planned(kind=kind, name="p", action=action), Planned(kind="VM", name="db", action="unchanged"))
    talk = turn(Aim("infra", prune=True), Render("c1", ()), "c1")
    next(talk)
    talk.send([])
    talk.send(done)
    with pytest.raises(StopIteration) as end:
        talk.send(done)
    assert end.value.value == Turned(done, "c1", is_drift)


def test_a_turn_is_one_line_or_none() -> None:
    same = Planned(kind="VM", name="db", action="unchanged")
    assert said_of(Turned(view(same), "c1", is_drift=False)) is None
    made = Planned(kind="VM", name="db", action="create")
    later = Planned(kind="VM", name="web", action="update", restart_required=True)
    assert said_of(Turned(view(made, later), "c1", is_drift=False)) == (
        "set infra at c1: applied: + vm/db, ~ vm/web (once it is restarted)"
    )
    assert said_of(Turned(view(same, made), "c1", is_drift=True)) == "set infra at c1: drift, brought back: + vm/db"
    many = [Planned(kind="VM", name=f"v{n}", action="create") for n in range(20)]
    assert (said_of(Turned(view(*many), "c1", is_drift=False)) or "").endswith("+ vm/v7, and 12 more")


@pytest.mark.parametrize(
    ("url", "protocols"),
    [
        ("https://git.example.org/a.git", "https:ssh"),
        ("ssh://git@git.example.org/a.git", "https:ssh"),
        ("git@git.example.org:a/b.git", "https:ssh"),
        ("file:///srv/a.git", "file"),
        ("/srv/a.git", "file"),
    ],
)
def test_file_is_spoken_to_paths_only(url: str, protocols: str) -> None:
    assert address(url) == (url, protocols)


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example.org/a.git",
        "git://git.example.org/a.git",
        "ext::sh -c true",
        "--upload-pack=true",
        "",
        "https://me:secret@git.example.org/a.git",
    ],
)
def test_other_ways_to_a_repository_are_refused(url: str) -> None:
    with pytest.raises(WrongSource) as refused:
        address(url)
    assert "secret" not in refused.value.message


def test_a_path_stays_below_its_root() -> None:
    assert (within(""), within("./a//b/"), within(".")) == ("", "a/b", "")
    for path in ("/etc", "../a", "a/../../b"):
        with pytest.raises(WrongSource):
            within(path)


def test_a_set_is_called_as_said_or_as_the_place_is() -> None:
    assert set_of("mine", "/srv/infra") == "mine"
    assert set_of(None, "https://git.example.org/shop/infra.git") == "infra"
    assert set_of(None, "git@git.example.org:infra.git/") == "infra"
    with pytest.raises(WrongSource):
        set_of(None, "/srv/What Is This")


def test_each_sync_has_a_mirror_of_its_own() -> None:
    assert len({state({}, "u", "main", "", "a"), state({}, "u", "main", "", "b"), state({}, "u", "", "main", "a")}) == 3


def test_a_directory_that_says_the_same_is_the_same_commit(tmp_path: Path) -> None:
    file = tmp_path / "db.yaml"
    file.write_text("kind: VM\nmetadata: {name: db}\nspec: {plugin: hello}\n")
    first = Directory(tmp_path).render().commit
    file.write_text("# words\nkind: VM\nmetadata: {name: db}\nspec:\n  plugin: hello\n")
    assert Directory(tmp_path).render().commit == first
    file.write_text("kind: VM\nmetadata: {name: db}\nspec: {plugin: other}\n")
    assert Directory(tmp_path).render().commit != first
    for path in (tmp_path / "nowhere", file):
        with pytest.raises(SyncFailed):
            Directory(path).render()


def test_a_token_before_a_host_is_shown_to_nobody() -> None:
    found = address("https://ghp_secret@git.example.org/a.git")
    assert found.shown == "https://***@git.example.org/a.git"
    said = "fatal: unable to access 'https://ghp_secret@git.example.org/a.git/': https://ghp_secret@git.example.org"
    assert "secret" not in found.cleared(said)
    # The user of ssh is no secret, and people look for it.
    assert address("git@git.example.org:a.git").shown == "git@git.example.org:a.git"


def test_what_was_read_once_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "db.yaml").write_text("kind: VM\nmetadata: {name: db}\nspec: {plugin: hello}\n")
    directory = Directory(tmp_path)
    first = directory.render()
    assert directory.render() is first
    (tmp_path / "db.yaml").write_text("kind: VM\nmetadata: {name: db}\nspec: {plugin: other}\n")
    assert directory.render().commit != first.commit
    (tmp_path / "broken.yaml").write_text("[")
    for _ in range(2):
        with pytest.raises(SyncFailed, match=r"broken.yaml:2:1"):
            directory.render()
