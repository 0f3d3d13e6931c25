"""The `volant` command: talks to the daemon through `volant.client`, `serve` excepted.

Commands are imported when they are used: `volant --help` needs neither the store nor the drivers nor HTTP, and starts
in the time that click takes. So what each is for stands here; a test compares it with the command's own words.
"""

from __future__ import annotations

import importlib
from typing import ClassVar

import click

from volant import __version__
from volant.cli.ending import INTERRUPTED, USAGE
from volant.errors import VolantError


class Lazy(click.Group):
    """A group that knows where its commands are, and fetches the one that is asked for."""

    table: ClassVar[dict[str, tuple[str, str]]] = {
        "apply": ("volant.cli.apply:apply", "Make a set of objects as files say it, all or nothing."),
        "completion": ("volant.cli.completion:completion", "Print what makes a shell complete commands and names."),
        "console": ("volant.cli.console:console", "Attach to a VM's serial console: Ctrl-] leaves it."),
        "context": ("volant.cli.context:context", "Named daemons: list, show, use, add, remove."),
        "delete": ("volant.cli.delete:delete", "Delete the objects that files name."),
        "deployments": ("volant.cli.deployments:deployments", "Deployments: list, create, scale, set, roll, delete."),
        "diff": ("volant.cli.apply:diff", "Show what an apply of these files would change, field by field."),
        "doctor": ("volant.cli.doctor:doctor", "Say what this host can do, and how to mend what it cannot."),
        "drain": ("volant.cli.drain:drain", "Stop every VM, gracefully, one line each."),
        "events": ("volant.cli.events:events", "Show the last events of an object, or follow what happens."),
        "export": ("volant.cli.export:export", "Write manifests of what there is, such as vm/db."),
        "image": ("volant.cli.image:image", "Make guest images, and fetch the kernel they boot with."),
        "info": ("volant.cli.info:info", "Describe the daemon and its host."),
        "logs": ("volant.cli.logs:logs", "Show what a VM's guest says on its serial console."),
        "network": ("volant.cli.network:network", "The bridge network of this host."),
        "plan": (
            "volant.cli.apply:plan",
            "Show what an apply of these files would do, step by step, and the command that does exactly that.",
        ),
        "plugins": ("volant.cli.plugins:plugins", "Plugins: list, create, enable, disable, delete."),
        "serve": ("volant.cli.serve:serve", "Run the daemon."),
        "sets": ("volant.cli.sets:sets", "What was applied together, and what was pruned of it."),
        "sync": ("volant.cli.sync:sync", "Keep a set as a directory or a git repository says it, over and over."),
        "syncs": ("volant.cli.syncs:syncs", "Sets that the daemon keeps by itself: list, get, now."),
        "top": ("volant.cli.info:top", "Show what the host has, and what is given out of it."),
        "vms": ("volant.cli.vms:vms", "VMs: list, create, start, stop, restart, configure, delete."),
        "wait": ("volant.cli.wait:wait", "Wait until an object is as it should be."),
        "why": (
            "volant.cli.why:why",
            "Say why a VM, deployment or plugin is not ready, and when it is tried again.",
        ),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, sorted."""
        return sorted(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is none of that name."""
        where = self.table.get(cmd_name)
        if where is None:
            return None
        module, _, name = where[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What each is for, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name][1]) for name in self.list_commands(ctx)])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """As click does; wrong use has a status of its own."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            error.exit_code = USAGE  # type: ignore[misc]  # because click reads it of the instance
            raise

    def invoke(self, ctx: click.Context) -> object:
        """Run; a VolantError is one sentence on standard error and exit status 1."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.exit_code = USAGE  # type: ignore[misc]  # because click reads it of the instance
            raise
        except VolantError as exc:
            raise click.ClickException(exc.message) from exc
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None


@click.group(cls=Lazy)
@click.version_option(__version__, prog_name="volant")
def volant() -> None:
    """Declarative microVMs on this host: say what should exist, Volant makes it so and keeps it so."""
