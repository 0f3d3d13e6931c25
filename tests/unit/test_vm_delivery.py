"""What a VM says of a config that its guest was not told."""

from __future__ import annotations

import pytest
from tests.builders.guests import PID, an_instance, report_of, step_of
from tests.builders.objects import NOW, a_vm, running_status

from volant.controllers.vm.delivery import DELIVERED, with_delivery
from volant.controllers.vm.reports import stopped
from volant.model.conditions import condition
from volant.model.vm import READY, CloudInit, VMConfig

TOLD = VMConfig(env={"A": "b"}, cloud_init=CloudInit(user_data="#cloud-config"))


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (TOLD, "its cloud_init and env:"),
        (VMConfig(env={"A": "b"}), "its env:"),
        (VMConfig(cloud_init=CloudInit(meta_data="x")), "its cloud_init:"),
    ],
)
def test_a_running_guest_that_was_not_told_its_config_says_so(config: VMConfig, what: str) -> None:
    vm, report = report_of(a_vm(config=config), an_instance(config=config))
    said = condition(vm.status.conditions, DELIVERED)
    assert said is not None
    assert (said.status, said.reason) == ("false", "NotDelivered")
    assert what in said.message
    assert report.happening.type == "vm.started"
    ready = condition(vm.status.conditions, READY)
    assert ready is not None
    assert ready.status == "true", "the guest runs all the same"


@pytest.mark.parametrize(
    "config",
    [VMConfig(), VMConfig(cloud_init=CloudInit()), VMConfig(cloud_init=CloudInit(enabled=False, user_data="x"))],
)
def test_where_there_is_nothing_to_tell_nothing_is_said(config: VMConfig) -> None:
    vm, _ = report_of(a_vm(config=config), an_instance(config=config))
    assert condition(vm.status.conditions, DELIVERED) is None


def test_it_is_said_once() -> None:
    """L7: a controller at rest writes nothing."""
    vm, _ = report_of(a_vm(config=TOLD), an_instance(config=TOLD))
    assert step_of(vm, an_instance(config=TOLD)) is None


def test_it_is_said_of_what_the_guest_was_booted_with() -> None:
    vm, _ = report_of(a_vm(config=TOLD), an_instance(config=VMConfig()))
    assert condition(vm.status.conditions, DELIVERED) is None


def test_it_goes_with_the_guest() -> None:
    conditions = with_delivery((), TOLD, 1, NOW)
    vm = a_vm(config=TOLD, power="stopped", status=running_status(pid=PID, config=TOLD, conditions=conditions))
    report = stopped(vm, None, NOW + 1)
    assert report is not None
    assert condition(report.status.conditions, DELIVERED) is None
