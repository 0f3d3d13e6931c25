"""How a set ends, act by act: what cannot go back stays and is named, and a plan has an answer for everything."""

from __future__ import annotations

from typing import Any, cast

import pytest
from msgspec.structs import replace
from tests.builders.objects import a_deployment, a_plugin, a_vm, complete_status, running_status

from volant.controllers.sets import plan
from volant.controllers.sets.ending import fitted
from volant.controllers.sets.plan import Settle, TakeBack
from volant.model.apply.sets import LATE, Named, SetRevision, named, refused
from volant.model.apply.standing import Standing
from volant.model.vm import DiskConfig, NetworkConfig, VMConfig
from volant.store import Transaction

WEB, DB, HELLO = a_deployment("web"), a_vm("db"), a_plugin("hello")
WELL = replace(HELLO, status=complete_status(HELLO.spec.manifest))


def a_revision(*objects: Named, deadline_s: float | None = 60.0) -> SetRevision:
    """A set that progresses."""
    return SetRevision(
        set="infra",
        number=2,
        state="progressing",
        digest="",
        manager="apply",
        at=0.0,
        deadline_s=deadline_s,
        named=objects,
    )


def test_a_set_of_nothing_is_healthy() -> None:
    assert plan.next_step(a_revision(), [], 60.0) == Settle()


@pytest.mark.parametrize("left_s", [None, 60.0, 0.0, -1.0])
def test_a_set_is_taken_back_when_its_time_is_over_and_not_before(left_s: float | None) -> None:
    """A set without a deadline waits for ever."""
    one = named(DB, None)
    step = plan.next_step(a_revision(one, deadline_s=None if left_s is None else 60.0), [Standing(one, DB)], left_s)
    if left_s is None or left_s > 0:
        assert step is None
    else:
        assert isinstance(step, TakeBack)
        assert (step.reason, step.message) == (LATE, "VM db: not healthy when the time was over")


def test_what_is_gone_is_never_healthy() -> None:
    """One of the same name that came after it is somebody else (A11)."""
    one = named(DB, None)
    other = a_vm("db", uid="f" * 32)
    for obj in (None, other):
        found = obj if obj is not None and obj.meta.uid == one.uid else None
        step = plan.next_step(a_revision(one), [Standing(one, found)], 60.0)
        assert step == TakeBack("Deleted", "VM db: the VM was deleted")


def test_one_that_has_failed_speaks_for_the_set_whoever_is_late() -> None:
    late, gone = named(WEB, None), named(DB, None)
    step = plan.next_step(a_revision(late, gone), [Standing(late, WEB), Standing(gone, None)], -5.0)
    assert isinstance(step, TakeBack)
    assert step.message.startswith("VM db: ")


def test_who_runs_and_who_is_stopped_as_asked_is_healthy() -> None:
    runs = replace(DB, status=running_status())
    one, other = named(runs, None), named(WELL, None)
    assert plan.next_step(a_revision(one, other), [Standing(one, runs), Standing(other, WELL)], -1.0) == Settle()


def test_what_was_taken_back_is_refused_unless_the_manifests_can_be_good() -> None:
    """The newest of the same digest speaks; not one that somebody deleted, nor any where they were healthy once."""
    base = replace(a_revision(), digest="one")
    late = replace(base, number=3, state="reverted", reason=LATE)
    other = replace(late, number=4, digest="other")
    gone = [replace(late, number=number, reason=reason) for number, reason in ((6, "Deleted"), (5, "Deleting"))]
    again = replace(base, number=7, state="superseded")
    assert refused([again, *gone, other, late], "one") == late
    assert refused([replace(late, number=8), late], "one") == replace(late, number=8)
    assert refused([again, *gone, other], "one") is None
    assert refused([late, replace(base, state="healthy")], "one") is None


def test_a_deployment_has_had_whatever_is_known_of_it() -> None:
    """Also what went before an apply that was of no set; but what it has is none that it had."""
    one = named(WEB, None, None, ["a", "b"])
    assert one.template is not None
    assert named(WEB, None, replace(one, had=("c",)), ["a", one.template]).had == ("a", "c")
    assert one.had == ("a", "b")
    assert named(DB, None, None, ["a"]).had == ()


class Addresses:
    """What a VM is handed out."""

    def allocate_address(self, _uid: str, mode: str | None) -> str | None:
        """One in each network."""
        return {"user": "10.0.0.2", "bridge": "10.1.0.2"}.get(str(mode))


def test_a_vm_goes_back_but_for_what_never_does() -> None:
    """Its disks do not shrink, its restarts are counted on, and it has the address of its network again."""
    was = replace(
        DB.spec,
        config=VMConfig(disks={"data": DiskConfig(size_mb=64), "old": DiskConfig(size_mb=8)}),
        restart_nonce=1,
        grace_s=5.0,
        address="10.0.0.2",
    )
    user, bridge = NetworkConfig(mode="user"), NetworkConfig(mode="bridge")
    was = replace(was, config=replace(was.config, network=user))
    config = VMConfig(disks={"data": DiskConfig(size_mb=128)}, network=bridge)
    now = replace(DB.spec, config=config, restart_nonce=4, power="stopped", address="10.1.0.2")
    tx = cast("Transaction", Addresses())
    found: Any = fitted(tx, replace(DB, spec=now), was)
    assert found.config.disks == {"data": DiskConfig(size_mb=128), "old": DiskConfig(size_mb=8)}
    assert (found.restart_nonce, found.power, found.grace_s, found.address) == (5, "running", 5.0, "10.0.0.2")
    rolled = replace(WEB, spec=replace(WEB.spec, restart_nonce=7))
    back: Any = fitted(tx, rolled, WEB.spec)
    assert back.restart_nonce == 7
    disabled = replace(HELLO, spec=replace(HELLO.spec, enabled=False))
    assert fitted(tx, disabled, HELLO.spec) == HELLO.spec
