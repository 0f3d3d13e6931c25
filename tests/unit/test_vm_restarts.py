"""When a guest is started again."""

from __future__ import annotations

import pytest
from tests.builders.objects import a_vm, uid_of

from volant.controllers.vm.restarts import CAP_S, FURTHEST_S, delay_s, is_held, may_restart
from volant.model.vm import Booted, Exit, VMConfig, VMStatus

UID = uid_of("web-1")


@pytest.mark.parametrize(
    ("failures", "plain"),
    [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0), (6, 32.0), (7, 60.0), (8, 60.0), (10**6, 60.0)],
)
def test_delays_double_from_one_second_to_sixty(failures: int, plain: float) -> None:
    """P1."""
    assert plain * 0.8 <= delay_s(UID, failures) <= plain * 1.2


def test_a_delay_is_the_same_whenever_it_is_asked_for() -> None:
    assert {delay_s(UID, 3) for _ in range(10)} == {delay_s(UID, 3)}


def test_guests_that_ended_together_start_apart() -> None:
    """P1: a thousand of them spread over nearly all of the ± 20 %."""
    delays = sorted(delay_s(uid_of(f"web-{n}"), 7) for n in range(1000))
    assert delays[0] < CAP_S * 0.81
    assert delays[-1] > CAP_S * 1.19
    assert len({round(d) for d in delays}) >= 24


def test_no_delay_is_further_than_the_furthest() -> None:
    assert max(delay_s(uid_of(f"web-{n}"), 50) for n in range(1000)) < FURTHEST_S


def test_what_we_ended_for_a_restart_runs_again_under_every_policy() -> None:
    """P8."""
    assert may_restart("never", "asked")
    assert may_restart("on_failure", "asked")


def test_a_vm_that_was_never_booted_is_not_held() -> None:
    end = Exit(reason="guest_panic", at=1.0)
    never = a_vm(restart_policy="never", status=VMStatus(exit=end))
    once = a_vm(restart_policy="never", status=VMStatus(exit=end, booted=Booted(config=VMConfig(), restart_nonce=0)))
    assert (is_held(never), is_held(once)) == (False, True)
