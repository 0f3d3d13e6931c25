"""Debian's cloud-init, unpacked and never installed: what it makes of a seed, asked of its own code.

It runs in Debian's own Python, in a process of its own. The seed is a directory for it (its NoCloud source reads one as
it reads a disk), because the host need not be able to mount an image.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.builders.toolchains import not_run, require

PYTHON = "/usr/bin/python3"
PACKAGES = (
    *("cloud-init", "python3-certifi", "python3-chardet", "python3-configobj", "python3-idna", "python3-jinja2"),
    *("python3-json-pointer", "python3-jsonpatch", "python3-jsonschema", "python3-markupsafe", "python3-netifaces"),
    *("python3-oauthlib", "python3-requests", "python3-six", "python3-urllib3", "python3-yaml"),
)
FETCH_S = 120.0
READER = """
import json, sys
from cloudinit import distros, helpers
from cloudinit.net import eni, network_state
from cloudinit.sources import DataSourceNoCloud

place = sys.argv[1]
paths = helpers.Paths({"cloud_dir": place, "run_dir": place, "templates_dir": place})
paths.seed_dir = place
config = {"system_info": {"paths": {}}, "datasource": {"NoCloud": {"fs_label": None}}}
source = DataSourceNoCloud.DataSourceNoCloud(config, distros.fetch("debian")("debian", {}, paths), paths)
found = source._get_data()
state = network_state.parse_net_config_data(source.network_config)
parts = [part for part in source.get_userdata().walk() if not part.is_multipart()]
json.dump({
    "found": found,
    "instance_id": source.get_instance_id(),
    "hostname": source.get_hostname().hostname,
    "metadata": source.metadata,
    "interfaces": eni.Renderer({})._render_interfaces(state),
    "parts": [[part.get_content_type(), part.get_payload(decode=True).decode()] for part in parts],
}, sys.stdout)
"""


def unpacked(cache: Path) -> Path:
    """Where cloud-init's packages are, below `cache`; fetched when missing. The test is not run without."""
    place = cache / "cloud-init"
    if place.is_dir():
        return place
    for tool in ("apt-get", "dpkg-deb", PYTHON):
        require(tool)
    fresh = cache / f".cloud-init-{os.getpid()}"
    fresh.mkdir(parents=True)
    try:
        fetch = ["apt-get", "download", *PACKAGES]
        done = subprocess.run(fetch, cwd=fresh, capture_output=True, text=True, timeout=FETCH_S, check=False)
        if done.returncode != 0:
            not_run(f"Debian's cloud-init cannot be fetched: {done.stderr.strip()[-200:]}")
        for package in fresh.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, fresh / "root"], check=True)
        with contextlib.suppress(OSError):  # another worker of this test run was faster
            (fresh / "root").rename(place)
    finally:
        shutil.rmtree(fresh)
    return place


def told(root: Path, files: dict[str, bytes], scratch: Path) -> dict[str, Any]:
    """What cloud-init takes from the files of a seed."""
    (scratch / "nocloud").mkdir(parents=True)
    for name in ("user-data", "meta-data", "network-config"):
        (scratch / "nocloud" / name).write_bytes(files[name])
    command = [PYTHON, "-c", READER, str(scratch)]
    modules = {"PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}
    done = subprocess.run(command, env=modules, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))
