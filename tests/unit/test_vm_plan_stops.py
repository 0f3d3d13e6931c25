"""A stop that has begun goes on, whoever wants the VM back meanwhile, and in whatever words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.builders.guests import PID, an_instance, report_of, step_of
from tests.builders.objects import a_vm, running_status

from volant.controllers.vm.steps import RequestStop
from volant.drivers import Instance


@pytest.mark.parametrize("seen", [an_instance("starting"), an_instance("running"), an_instance("unknown")])
@pytest.mark.parametrize("nonce", [0, 1], ids=["its power only", "a restart"])
def test_a_guest_that_was_asked_to_stop_is_asked_again(nonce: int, seen: Instance) -> None:
    """P7: it may have heard the first time: whoever took it for one that stays would count its end as a crash."""
    asked, _ = report_of(a_vm(power="stopped", status=running_status(pid=PID)), an_instance())
    wanted = replace(asked, spec=replace(asked.spec, power="running", restart_nonce=nonce))
    assert step_of(wanted, seen) == RequestStop(5.0)
