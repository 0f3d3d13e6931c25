"""kill -9 in the middle of many writers: what was promised is there, whole, once, and in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.builders.objects import a_vm
from tests.builders.stores import a_store, admit, counted_uids

WRITERS = """
import asyncio, sys
from pathlib import Path
from tests.builders.objects import a_vm, running_status
from tests.builders.stores import STARTED, admit, open_store

async def write(store, writer):
    for n in range(10_000):
        name = f"w{writer}-{n}"
        vm = await store.write(admit(lambda uid, address: a_vm(name, uid=uid, address=address)))
        vm = await store.update_status(vm, running_status(), STARTED)
        print(vm.meta.revision, name, vm.spec.address, flush=True)

async def main():
    store = open_store(Path(sys.argv[1]), pool="127.88.0.0/16", inline=False, synchronous="full")
    async with asyncio.TaskGroup() as group:
        for writer in range(16):
            group.create_task(write(store, writer))

asyncio.run(main())
"""


@pytest.mark.parametrize("promises", [1, 40, 300])
async def test_what_was_promised_before_a_kill_is_there(tmp_path: Path, promises: int) -> None:
    """W1, E3, V1: every acknowledged write, its events and its address; no hole and no half of anything."""
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as writers:
        assert writers.stdout is not None
        heard = [writers.stdout.readline().split() for _ in range(promises)]
        writers.kill()
        # What it printed before it died is a promise too; the last line may be half a line.
        heard += [line.split() for line in writers.stdout.read().splitlines()[:-1]]
    async with a_store(tmp_path, pool="127.88.0.0/16", uids=counted_uids(1_000_000)) as store:
        for revision, name, address in heard:
            vm = store.vm(name)
            assert (vm.meta.revision, vm.spec.address) == (int(revision), address)
        events = store.events_after(0, 1_000_000)
        assert [event.revision for event in events] == list(range(1, store.revision + 1))
        last = {event.uid: event.revision for event in events}
        assert last == {vm.meta.uid: vm.meta.revision for vm in store.vms()}
        addresses = [vm.spec.address for vm in store.vms()]
        assert len(set(addresses)) == len(addresses)
        following = await store.write(admit(lambda uid, address: a_vm("next", uid=uid, address=address)))
        assert following.spec.address not in addresses
        assert following.meta.revision == len(events) + 1
