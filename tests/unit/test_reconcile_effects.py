"""The seam that effects pass."""

from __future__ import annotations

import pytest

from volant.reconcile.effects import Effects, Moment


async def effect() -> str:
    """What is done."""
    return "done"


async def test_without_a_hook_the_effect_is_all_there_is() -> None:
    assert await Effects().act("hypervisor.kill", "uid", effect) == "done"


async def test_a_hook_sees_each_effect_before_and_after() -> None:
    seen: list[tuple[Moment, str, object]] = []
    effects = Effects(lambda *what: seen.append(what))
    assert await effects.act("hypervisor.kill", "uid", effect) == "done"
    assert seen == [("before", "hypervisor.kill", "uid"), ("after", "hypervisor.kill", "uid")]


@pytest.mark.parametrize(("fails_at", "is_done"), [("before", False), ("after", True)])
async def test_a_hook_fails_an_effect_that_was_done_or_was_not(fails_at: Moment, is_done: bool) -> None:
    done: list[bool] = []

    async def mark() -> None:
        done.append(True)

    def hook(moment: Moment, op: str, target: object) -> None:
        if moment == fails_at:
            raise OSError("as planned")

    with pytest.raises(OSError, match="as planned"):
        await Effects(hook).act("store.finalize", "key", mark)
    assert bool(done) == is_done
