"""`volant network show` and `volant network down`, in a namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.builders.bridge_world import BRIDGE, a_network, attached, sh
from tests.builders.netns import in_a_namespace

from volant.clock import Uid
from volant.drivers import tap
from volant.drivers.bridge.names import tap_name
from volant.store import DataDirLock

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
LEFT = "ip -br link; ip -br addr; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward"


def volant(*words: str, data_dir: Path) -> tuple[int, str]:
    """Exit status and what was said."""
    command = [sys.executable, "-m", "volant", "network", *words, "--data-dir", str(data_dir)]
    done = subprocess.run(command, stdout=-1, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
    return done.returncode, done.stdout


@in_a_namespace
async def test_down_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    before = sh(LEFT)
    network = a_network(tmp_path)
    await attached(network, "a", "10.127.0.5")
    await attached(network, "b", "10.127.0.6")
    await network.close()
    status, said = volant("show", data_dir=tmp_path)
    assert status == 0
    assert f"bridge {BRIDGE} 10.127.0.1/22" in said
    assert f"tap {tap_name(Uid('a'))} of a\n" in said
    assert FORWARD.read_text().strip() == "1"
    status, said = volant("down", data_dir=tmp_path)
    assert status == 0, said
    assert "turned IP forwarding off again" in said
    assert sh(LEFT) == before
    assert volant("show", data_dir=tmp_path) == (0, "nothing of Volant's is on this host\n")
    assert volant("down", data_dir=tmp_path) == (0, "nothing of Volant's is on this host\n")


@in_a_namespace
async def test_down_leaves_forwarding_on_where_it_was_on(tmp_path: Path) -> None:
    FORWARD.write_text("1")
    network = a_network(tmp_path)
    await attached(network, "a", "10.127.0.5")
    await network.close()
    assert volant("down", data_dir=tmp_path)[0] == 0
    assert FORWARD.read_text().strip() == "1"


@in_a_namespace
async def test_down_is_refused_while_vms_run_on_it_unless_forced(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    attachment = await attached(network, "a", "10.127.0.5")
    await network.close()
    held = tap.open_tap(attachment.tap or "")
    status, said = volant("down", data_dir=tmp_path)
    assert status == 1
    assert "cannot take the network down: 1 VMs run on it" in said
    assert BRIDGE in sh("ip -br link")
    assert volant("down", "--force", data_dir=tmp_path)[0] == 0
    assert BRIDGE not in sh("ip -br link")
    os.close(held)


@in_a_namespace
async def test_down_is_refused_while_a_daemon_would_put_it_back(tmp_path: Path) -> None:
    network = a_network(tmp_path)
    await attached(network, "a", "10.127.0.5")
    await network.close()
    lock = DataDirLock.acquire(tmp_path)
    status, said = volant("down", "--force", data_dir=tmp_path)
    lock.release()
    assert status == 1
    assert f"another volant (pid {os.getpid()}) has it. Stop that one" in said
    assert BRIDGE in sh("ip -br link")


@in_a_namespace
async def test_down_leaves_what_belongs_to_others(tmp_path: Path) -> None:
    """Another's bridge of our name keeps its rules, and so does a VM of another data directory its tap."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    network = a_network(tmp_path / "a")
    await attached(network, "a", "10.127.0.5")
    await network.close()
    sh("nft add table inet theirs; ip link add br9 type bridge")
    before = sh(LEFT)
    assert volant("down", data_dir=tmp_path / "b") == (0, "nothing of Volant's is on this host\n")
    assert sh(LEFT) == before
    assert volant("down", data_dir=tmp_path / "a")[0] == 0
    assert "theirs" in sh("nft list tables")
    assert "br9" in sh("ip -br link")
