"""Conditions are a map by type, and their times move only when something did."""

from __future__ import annotations

import re

import pytest
from tests.builders.objects import a_vm

from volant.controllers.vm import reports
from volant.controllers.vm.steps import HostFacts
from volant.drivers import Instance
from volant.model.conditions import Condition, condition, is_true, merge_condition
from volant.model.vm import Booted, VMConfig


def said(kind: str, status: str = "true", reason: str = "Because", generation: int = 1) -> Condition:
    return Condition(type=kind, status=status, reason=reason, observed_generation=generation)  # type: ignore[arg-type]


def test_there_is_one_condition_of_each_type_in_a_fixed_order() -> None:
    """V7: a map by type; saying something again replaces what was said."""
    merged = merge_condition((), said("ready"), 1.0)
    merged = merge_condition(merged, said("available"), 2.0)
    merged = merge_condition(merged, said("ready", "false", "Crashed", 2), 3.0)
    assert [c.type for c in merged] == ["available", "ready"]
    ready = condition(merged, "ready")
    assert ready is not None
    assert (ready.status, ready.reason, ready.observed_generation) == ("false", "Crashed", 2)
    assert is_true(merged, "available")
    assert not is_true(merged, "ready")


@pytest.mark.parametrize(("status", "moved"), [("true", False), ("false", True), ("unknown", True)])
def test_the_time_moves_iff_the_status_does(status: str, moved: bool) -> None:
    """V8: another reason or generation is no transition."""
    first = merge_condition((), said("ready"), 1.0)
    second = merge_condition(first, said("ready", status, "Another", 7), 2.0)
    assert second[0].last_update == (2.0 if moved else 1.0)


def test_a_vm_that_keeps_running_keeps_the_time_since_when() -> None:
    """V7, V8: two boots of one VM are ready since the first; the reason is a CamelCase word."""
    booted = Booted(config=VMConfig(), restart_nonce=0)
    host = HostFacts(node="n", accelerator="tcg", isolation="none")
    vm = a_vm("web-1")
    seen = Instance(uid=vm.meta.uid, state="running", pid=7, started_at=1.0, booted=booted)
    first = reports.running(vm, seen, 10.0, host, None)
    assert first is not None
    again = a_vm("web-1", status=first.status)
    other = Instance(uid=vm.meta.uid, state="running", pid=8, started_at=20.0, booted=booted)
    second = reports.running(again, other, 20.0, host, None)
    assert second is not None
    ready = condition(second.status.conditions, "ready")
    assert ready is not None
    assert ready.last_update == 10.0
    assert re.fullmatch(r"([A-Z][a-z]+)+", ready.reason)
    assert ready.observed_generation == vm.meta.generation
