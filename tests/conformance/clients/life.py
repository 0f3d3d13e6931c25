"""A deployment's life, told by the client that openapi-generator makes for Python.

python life.py BASE MANIFEST    what was seen, as lines of JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import volant_client as volant  # type: ignore[import-not-found]  # because it is made when the test runs


def main(base: str, manifest: str) -> None:
    """Install, create, wait, scale, wait, delete, wait."""
    with volant.ApiClient(volant.Configuration(host=base)) as client:
        plugins, deployments, vms = volant.PluginsApi(client), volant.DeploymentsApi(client), volant.VMsApi(client)
        plugin = plugins.install_plugin(volant.Manifest.from_json(Path(manifest).read_text()))
        say("installed", plugin.name, plugins.wait_for_plugin(plugin.name, state="ready", timeout="30s").enabled)

        made = deployments.create_deployment(volant.DeploymentInput(name="api", plugin=plugin.name, replicas=2))
        say("created", made.name, made.replicas)
        there = deployments.wait_for_deployment("api", state="available", generation=made.generation, timeout="30s")
        say("available", there.ready_replicas, there.vms)

        scaled = deployments.scale_deployment("api", volant.Scale(replicas=3))
        there = deployments.wait_for_deployment("api", state="available", generation=scaled.generation, timeout="30s")
        say("scaled", there.ready_replicas, sorted(vm.name for vm in vms.list_vms(deployment="api")))

        try:
            deployments.create_deployment(volant.DeploymentInput(name="api", plugin=plugin.name))
        except volant.ApiException as refused:
            say("refused", refused.status, volant.Problem.from_json(refused.body).code)

        deployments.delete_deployment("api", wait="none")
        deployments.wait_for_deployment("api", state="deleted", timeout="30s")
        say("deleted", len(deployments.list_deployments()), len(vms.list_vms()))


def say(*what: object) -> None:
    """One line."""
    print(json.dumps(what))


if __name__ == "__main__":
    main(*sys.argv[1:])
