"""One daemon for the tests of one file, with the plugins of the reference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.builders.daemon import daemon
from tests.conformance.reference import reference
from tests.conformance.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`volant serve --hypervisor simulated`, and its world."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    data_dir = tmp_path_factory.mktemp("conformance") / "data"
    with daemon(data_dir, "--hypervisor", "simulated", artifact_root=artifacts) as running:
        made = World(running.api, reference(), artifacts)
        made.plugins()
        yield made
