"""What the driver needs of a host: QEMU with a sandbox, and an accelerator that really runs guests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.stand_ins import stand_in

from volant.drivers.qemu import check_host
from volant.drivers.qemu.accelerator import probe
from volant.drivers.qemu.confinement import NOBODY
from volant.drivers.qemu.host import QEMU
from volant.drivers.qemu.process import Recipe
from volant.errors import StartupError


async def test_the_qemu_of_this_host_will_do() -> None:
    host = await check_host()
    assert host.qemu.endswith(QEMU)
    assert int(host.version.split(".")[0]) >= 7


async def test_a_missing_qemu_is_one_sentence() -> None:
    with pytest.raises(StartupError) as refused:
        await check_host("qemu-system-none")
    assert refused.value.message == "cannot find qemu-system-none: install qemu-system-x86"


async def test_a_qemu_without_a_sandbox_stops_the_start(tmp_path: Path) -> None:
    """A4"""
    without = stand_in(tmp_path, "sys.exit('qemu: -sandbox support is not enabled in this QEMU binary')")
    with pytest.raises(StartupError, match=r"in its sandbox: .*not enabled.*Install a QEMU with seccomp"):
        await check_host(without)


async def test_a_program_that_is_no_qemu_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="is it QEMU"):
        await check_host(stand_in(tmp_path, "print('hello')"))


def test_the_probes_guest_enters_long_mode() -> None:
    """Where emulation cannot fail, so the bytes of the guest are right and a failure elsewhere is the host's."""
    assert probe(Recipe(qemu=QEMU, accelerator="tcg", vmm_uid=NOBODY))


def test_a_probe_that_cannot_be_started_has_failed() -> None:
    assert not probe(Recipe(qemu="qemu-system-none", accelerator="tcg", vmm_uid=NOBODY))
