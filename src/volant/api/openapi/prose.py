"""The sentences of the document: what a handler's docstring says, and what the groups of operations are.

A handler's docstring is written for users of the API: the first line is the summary, the rest the description.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

TAGS: dict[str, tuple[str, str]] = {
    "vms": ("VMs", "MicroVMs: what should run, and what does."),
    "deployments": ("Deployments", "So many VMs of one plugin, kept alive."),
    "plugins": ("Plugins", "What guests are made of."),
    "manifests": ("Sets", "Objects that are applied together, from manifests."),
    "apply": ("Sets", "Objects that are applied together, from manifests."),
    "plan": ("Sets", "Objects that are applied together, from manifests."),
    "sets": ("Sets", "Objects that are applied together, from manifests."),
    "syncs": ("Syncs", "Sets that the daemon keeps as files say them, because its settings say so."),
    "system": ("System", "The daemon and its host."),
    "events": ("Events", "Every transition, as it is committed."),
    "openapi": ("System", "The daemon and its host."),
    "healthz": ("Health", "For who watches over the daemon."),
    "readyz": ("Health", "For who watches over the daemon."),
}
"""First step of a path -> its tag and what that means, in the order of the document."""

_ROUTE = re.compile(r"^`(?:GET|POST|PUT|PATCH|DELETE) /[^`]*`(?: and `[^`]*`)?[:.]?\s*")
_RULE = re.compile(r"\s\([A-Z]\d+(?:, ?[A-Z]\d+)*\)")
_WORDS = re.compile(r"_([a-z]+)")
_ABBREVIATIONS = {"vm": "VM", "vms": "VMs"}


def operation_id(method: Any) -> str:
    """`list_vms` -> `listVMs`, unless the table has a name for it."""
    name: str = method.name or method.handler.__name__
    return _WORDS.sub(lambda m: _ABBREVIATIONS.get(m[1], m[1].capitalize()), name)


def sentences(handler: Any) -> tuple[str, str]:
    """Summary and description, either of which may be empty."""
    first, _, rest = told(handler.__doc__ or "").partition("\n")
    return first.strip().removesuffix("."), rest.strip()


def told(text: str) -> str:
    """A docstring as readers of the document see it: without its route, and without the rules that it keeps."""
    said = _ROUTE.sub("", _RULE.sub("", inspect.cleandoc(text)), count=1).strip()
    return said[:1].upper() + said[1:]
