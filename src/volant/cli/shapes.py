"""What objects look like: `-o table|wide|json|yaml|name`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from volant.cli.terminal import columns, is_coloured
from volant.clock import SystemClock

if TYPE_CHECKING:
    from volant.model.views import PluginView, VMView

Column = tuple[str, Callable[[Any], object]]


def _age(view: Any) -> str:
    return since(view.created_at)


def since(time: str) -> str:
    """How long ago that was: `42s`, `3m`, `5h`, `12d`."""
    seconds = max(0, int(SystemClock().now() - datetime.fromisoformat(time).timestamp()))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _vm_word(vm: VMView) -> str:
    return "deleting" if vm.deleting_since else vm.status


def _labels(view: Any) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(view.labels.items()))


def _condition(view: PluginView, name: str) -> str:
    return next((one.status for one in view.conditions if one.type == name), "unknown")


TABLES: dict[str, tuple[list[Column], list[Column]]] = {
    "VMView": (
        [
            ("NAME", lambda vm: vm.name),
            ("STATUS", _vm_word),
            ("HEALTH", lambda vm: vm.health.status if vm.health else ""),
            ("PLUGIN", lambda vm: vm.plugin),
            ("RESTARTS", lambda vm: vm.restarts),
            ("IP", lambda vm: vm.ip or ""),
            ("AGE", _age),
        ],
        [
            ("VCPU", lambda vm: vm.resources.vcpu),
            ("MEMORY", lambda vm: f"{vm.resources.memory_mb}Mi"),
            ("OWNER", lambda vm: vm.owner.name if vm.owner else ""),
            ("ENDPOINTS", lambda vm: ",".join(f"{at.address}:{at.port}" for at in vm.endpoints)),
            ("LABELS", _labels),
        ],
    ),
    "DeploymentView": (
        [
            ("NAME", lambda one: one.name),
            ("READY", lambda one: f"{one.ready_replicas}/{one.replicas}"),
            ("UPDATED", lambda one: one.updated_replicas),
            ("STATUS", lambda one: one.status.phase),
            ("PLUGIN", lambda one: one.plugin),
            ("AGE", _age),
        ],
        [
            ("ROLLOUT", lambda one: one.rollout),
            ("REVISION", lambda one: one.template_revision),
            ("VMS", lambda one: ",".join(one.vms)),
            ("LABELS", _labels),
        ],
    ),
    "PluginView": (
        [
            ("NAME", lambda one: one.name),
            ("VERSION", lambda one: one.version),
            ("READY", lambda one: _condition(one, "ready")),
            ("ENABLED", lambda one: "true" if one.enabled else "false"),
            ("AGE", lambda one: since(one.installed_at)),
        ],
        [
            ("VCPU", lambda one: one.resources.vcpu),
            ("MEMORY", lambda one: f"{one.resources.memory_mb}Mi"),
            ("PORT", lambda one: one.workload.port or ""),
            ("DESCRIPTION", lambda one: one.description),
            ("LABELS", _labels),
        ],
    ),
}
"""View -> what is shown of it, and what more where it is wide. By name: most views are not loaded for one list."""


def table(views: Sequence[Any], view: type, *, is_wide: bool = False, coloured: bool = False) -> list[str]:
    """The lines of a table, its heads first."""
    narrow, more = TABLES[view.__name__]
    chosen = narrow + more if is_wide else narrow
    rows = [[value(one) for _, value in chosen] for one in views]
    return columns([head for head, _ in chosen], rows, coloured=coloured)


def show(views: Sequence[Any], view: type, shape: str) -> None:
    """Print a list on standard output."""
    if shape == "name":
        for one in views:
            click.echo(one.name)
    elif shape in ("json", "yaml"):
        document(views, shape)
    else:
        for line in table(views, view, is_wide=shape == "wide", coloured=is_coloured(sys.stdout)):
            click.echo(line)


def show_one(view: Any, shape: str) -> None:
    """Print one object on standard output, not a list of one."""
    if shape in ("json", "yaml"):
        document(view, shape)
    else:
        show([view], type(view), shape)


def document(found: Any, shape: str) -> None:
    """Print Structs as the API has them, as JSON or YAML."""
    if shape == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    import yaml

    click.echo(yaml.safe_dump(msgspec.to_builtins(found), sort_keys=False, allow_unicode=True), nl=False)
