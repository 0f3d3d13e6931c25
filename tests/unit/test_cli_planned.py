"""What an apply does, as people read it."""

from __future__ import annotations

from typing import Any

from volant.cli.planned import differences, lines
from volant.model.apply.outcome import ApplyView, Planned, answer

CHANGES: dict[str, Any] = {
    "replicas": {"old": 2, "new": 5},
    "labels.tier": {"old": None, "new": "front\x1b[31m"},
    "config.network.publish": {"old": None, "new": [{"guest_port": 80, "host_port": 8080, "host_ip": "127.0.0.1"}] * 3},
}
PLANNED = [
    Planned(kind="VM", name="db", action="create", changes={"power": {"old": None, "new": "running"}}),
    Planned(kind="Deployment", name="web", action="update", uid="1", generation=3, changes=CHANGES),
    Planned(kind="VM", name="cache", action="update", uid="2", generation=1, restart_required=True),
    Planned(kind="VM", name="old", action="delete", uid="3", generation=1),
    Planned(kind="Plugin", name="hello", action="unchanged", uid="4", generation=1),
]


def view(*, dry_run: bool = False) -> ApplyView:
    return answer("infra", "apply", PLANNED, dry_run=dry_run)


def test_each_object_that_is_not_left_as_it_is_has_a_line() -> None:
    long = '[{"guest_port": 80, "host_port": 8080, "host_ip": "127.0....'
    assert list(lines(view())) == [
        "+ vm/db created",
        "~ deployment/web replicas: 2 -> 5, labels.tier: (nothing) -> front\\x1b[31m, "
        f"config.network.publish: (nothing) -> {long}",
        "~ vm/cache changed (its guest keeps what it has until it is restarted)",
        "- vm/old deleted",
        "set infra: 1 created, 2 changed, 1 deleted, 1 unchanged",
    ]
    assert "= plugin/hello unchanged" in list(lines(view(), all_of_it=True))


def test_what_is_only_planned_is_said_so() -> None:
    shown = list(differences(view(dry_run=True)))
    assert shown[:2] == ["+ vm/db to be created", "    power: running"]
    assert shown[2:4] == ["~ deployment/web to be changed", "    replicas: 2 -> 5"]
    assert shown[-1] == "set infra: 1 to be created, 2 to be changed, 1 to be deleted, 1 unchanged"


def test_an_empty_set_says_so() -> None:
    assert list(lines(answer("infra", "apply", [], dry_run=False))) == ["set infra: nothing in it, nothing to do"]


def test_colours_come_only_where_they_are_asked_for() -> None:
    assert not any("\x1b" in line for line in lines(view()))
    assert [line[:5] for line in lines(view(), coloured=True) if line.startswith("\x1b")] == [
        "\x1b[32m",
        "\x1b[33m",
        "\x1b[33m",
        "\x1b[31m",
    ]


def test_what_waits_to_be_pruned_is_told_though_it_is_unchanged() -> None:
    waits = Planned(kind="Plugin", name="p1", action="unchanged", waits="still used by 2 VMs that are being replaced")
    for shown in (lines, differences):
        first, _ = shown(answer("infra", "apply", [waits], dry_run=True))
        assert first == "= plugin/p1 waits to be pruned: still used by 2 VMs that are being replaced"
