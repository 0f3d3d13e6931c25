"""The real cloud-init finds in our seed what was put there. Skipped where its package cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.cloud_init import told, unpacked
from tests.builders.qemu_guests import ROOT
from tests.builders.seeds import a_told, read_back

from volant.images.seed import seed


@pytest.fixture(scope="module")
def cloud_init() -> Path:
    """Its packages, unpacked."""
    return unpacked(ROOT / ".cache" / "volant")


def test_cloud_init_knows_the_instance_and_its_network(cloud_init: Path, tmp_path: Path) -> None:
    """E6."""
    text = "#cloud-config\npackages: [nginx]\n"
    seen = told(cloud_init, read_back(seed(a_told(text))), tmp_path)
    assert seen["found"] is True
    assert (seen["instance_id"], seen["hostname"]) == ("vm-01", "web-1")
    assert seen["parts"] == [["text/cloud-config", text]]
    lines = [line.strip() for line in seen["interfaces"].splitlines()]
    assert {"auto eth0", "address 10.127.0.5/22", "address fd00::5/64", "gateway fd00::1", "mtu 1400"} <= set(lines)
    assert "post-up route add default gw 10.127.0.1 || true" in lines


def test_cloud_init_takes_hostile_strings_for_strings(cloud_init: Path, tmp_path: Path) -> None:
    """E1."""
    hostile = "x\nruncmd: [id] \U0001f600\x7f\u2028'\""
    said = told(cloud_init, read_back(seed(a_told("#!/bin/sh\nid\n", hostname=hostile))), tmp_path)
    assert (said["metadata"]["instance-id"], said["metadata"]["local-hostname"]) == ("vm-01", hostile)
    assert said["parts"] == [["text/x-shellscript", "#!/bin/sh\nid\n"]]


def test_cloud_init_takes_parts_apart(cloud_init: Path, tmp_path: Path) -> None:
    parts = """Content-Type: multipart/mixed; boundary="=="
MIME-Version: 1.0

--==
Content-Type: text/cloud-config

#cloud-config
{}
--==
Content-Type: text/x-shellscript

#!/bin/sh
--==--
"""
    said = told(cloud_init, read_back(seed(a_told(parts))), tmp_path)
    assert [kind for kind, _ in said["parts"]] == ["text/cloud-config", "text/x-shellscript"]
