"""L8: a watch of QEMU's processes that gives signs of life, as long as it can be trusted."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.builders import stand_ins
from tests.builders.qemu_guests import IDLES, a_boot, a_running_driver, kernel
from tests.builders.stand_ins import stand_in

from volant.clock import random_uid
from volant.drivers import processes
from volant.drivers.qemu.vmm import Patience

BEATS = Patience(beat_s=0.02, answer_s=0.2)


async def test_a_watch_with_nothing_to_see_says_so(tmp_path: Path) -> None:
    """L8"""
    async with a_running_driver(tmp_path / "run", patience=BEATS) as driver:
        hints = driver.watch()
        assert [await anext(hints) for _ in range(3)] == [None, None, None]
        await hints.aclose()


async def test_a_watch_that_is_not_told_of_an_end_falls_silent(tmp_path: Path) -> None:
    """L8: its beat is a promise that what there is to see would be seen."""
    uid, silent = random_uid(), stand_in(tmp_path, stand_ins.FALLS_SILENT)
    async with a_running_driver(tmp_path / "run", qemu=silent, vmm_uid=os.geteuid(), patience=BEATS) as driver:
        await driver.launch(uid, a_boot(uid, kernel(tmp_path, IDLES)))
        vmm = driver._live[uid]
        hints = driver.watch()
        assert await anext(hints) is None
        asyncio.get_running_loop().remove_reader(vmm._handle)  # the loop will say nothing of its end
        os.kill(vmm.pid, signal.SIGKILL)
        while not processes.is_gone(vmm._handle):
            await asyncio.sleep(0.01)
        assert await anext(hints) == uid  # the connection is lost, which need not be an end
        waiting = asyncio.ensure_future(anext(hints))
        await asyncio.wait({waiting}, timeout=20 * BEATS.beat_s)
        assert not waiting.done()
        vmm._end()
        assert await waiting == uid
        assert await anext(hints) is None
        await hints.aclose()
