"""Which accelerator is chosen, on hosts that the test makes up. The probe itself runs in the integration tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from volant.drivers.qemu import Choice, Host, choose
from volant.drivers.qemu.accelerator import Requested
from volant.drivers.qemu.process import Recipe
from volant.errors import StartupError

HOST = Host(qemu="/usr/bin/qemu-system-x86_64", version="7.2.22")


class Machine:
    """A host: its processor's flags, its /dev/kvm, and whether guests really run. Counts how often it was tried."""

    def __init__(
        self, directory: Path, *, flags: str = "fpu vmx sse", has_kvm: bool = True, works: bool = True
    ) -> None:
        self.directory = directory
        self.works = works
        self.tried = 0
        self.cpuinfo = directory / "cpuinfo"
        self.cpuinfo.write_text(f"processor : 0\nflags\t\t: {flags}\n")
        self.kvm = directory / "kvm"
        if has_kvm:
            self.kvm.write_text("")

    def probe(self, recipe: Recipe) -> bool:
        assert recipe.accelerator == "kvm"
        self.tried += 1
        return self.works

    async def choose(self, requested: Requested = "auto", host: Host = HOST) -> Choice:
        return await choose(
            requested,
            host,
            vmm_uid=65534,
            cache_dir=self.directory,
            probe=self.probe,
            cpuinfo=self.cpuinfo,
            device=self.kvm,
        )


@pytest.mark.parametrize("flags", ["fpu vmx", "svm fpu"])
async def test_kvm_is_chosen_where_a_guest_runs(tmp_path: Path, flags: str) -> None:
    choice = await Machine(tmp_path, flags=flags).choose()
    assert choice.accelerator == "kvm"


async def test_a_processor_without_virtualization_is_not_even_tried(tmp_path: Path) -> None:
    machine = Machine(tmp_path, flags="fpu vmxoff sse")
    choice = await machine.choose()
    assert choice.accelerator == "tcg"
    assert "neither vmx nor svm" in choice.detail
    assert machine.tried == 0


async def test_a_missing_device_is_not_even_tried(tmp_path: Path) -> None:
    machine = Machine(tmp_path, has_kvm=False)
    choice = await machine.choose()
    assert choice.accelerator == "tcg"
    assert "does not open" in choice.detail
    assert machine.tried == 0


async def test_a_device_that_opens_but_runs_nothing_is_not_used(tmp_path: Path) -> None:
    choice = await Machine(tmp_path, works=False).choose()
    assert choice.accelerator == "tcg"
    assert "long mode" in choice.detail


async def test_the_verdict_is_kept(tmp_path: Path) -> None:
    machine = Machine(tmp_path, works=False)
    assert await machine.choose() == await machine.choose()
    assert machine.tried == 1


async def test_another_qemu_is_tried_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    await machine.choose()
    await machine.choose(host=Host(qemu=HOST.qemu, version="9.0"))
    assert machine.tried == 2


async def test_a_verdict_of_another_boot_or_a_damaged_one_is_not_believed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    await machine.choose()
    [file] = tmp_path.glob("*.json")
    kept = file.read_text()
    for left in ("{", kept.replace('"boot_id":"', '"boot_id":"x')):
        file.write_text(left)
        await machine.choose()
    assert machine.tried == 3


async def test_kvm_that_was_asked_for_and_does_not_work_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as refused:
        await Machine(tmp_path, works=False).choose("kvm")
    assert refused.value.message.startswith("cannot use KVM: ")
    assert refused.value.message.endswith("Use --accelerator tcg to emulate.")


async def test_emulation_that_was_asked_for_tries_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert (await machine.choose("tcg")).accelerator == "tcg"
    assert machine.tried == 0


async def test_a_verdict_that_cannot_be_kept_is_a_verdict(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.directory = tmp_path / "missing"
    assert (await machine.choose()).accelerator == "kvm"
