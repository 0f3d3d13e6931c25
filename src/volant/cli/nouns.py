"""The three nouns: how each kind is called, what shows it, and what can be waited for."""

from __future__ import annotations

from typing import Any, NamedTuple


class Noun(NamedTuple):
    """One kind, in the words of the command line."""

    kind: str
    plural: str
    word: str
    goals: tuple[str, ...]
    ready: str

    def of(self, client: Any) -> Any:
        """Its operations, of a client of either sort."""
        return getattr(client, self.plural)

    @property
    def view(self) -> type:
        """What shows it."""
        from volant.model import views

        found: type = getattr(views, f"{self.kind}View")
        return found


VM = Noun("VM", "vms", "vm", ("running", "ready", "stopped", "exists", "deleted"), "ready")
DEPLOYMENT = Noun(
    "Deployment", "deployments", "deployment", ("available", "complete", "exists", "deleted"), "available"
)
PLUGIN = Noun("Plugin", "plugins", "plugin", ("ready", "exists", "deleted"), "ready")
NOUNS = {noun.word: noun for noun in (VM, DEPLOYMENT, PLUGIN)}
