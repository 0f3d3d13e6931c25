"""The `volant` command: talks to the daemon through `volant.client`, `serve` excepted.

Commands are imported when they are used: `volant --help` needs neither the store nor the drivers nor HTTP, and starts
in the time that click takes. So what each is for stands here; a test compares it with the command's own words.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from contextlib import suppress
from typing import Any, ClassVar

import click

from volant import __version__
from volant.cli.ending import ERROR, INTERRUPTED, USAGE
from volant.errors import VolantError

UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""What the system says of an output that takes nothing more. A reader that went away is none: click ends quietly."""


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
        "wait": (
            "volant.cli.wait:wait",
            "Wait until an object is as it should be: vm/db, deployment/web, plugin/hello.",
        ),
        "why": (
            "volant.cli.why:why",
            "Say why a VM, deployment or plugin is not ready, and when it is tried again.",
        ),
    }

    aliases: ClassVar[dict[str, str]] = {
        "vm": "vms",
        "deployment": "deployments",
        "deploy": "deployments",
        "plugin": "plugins",
        "set": "sets",
    }
    meant: ClassVar[dict[str, str]] = {
        "create": "volant apply -f FILE` or `volant vms create",
        "describe": "volant vms get NAME` or `volant why NAME",
        "exec": "volant console NAME",
        "get": "volant vms list` or `volant vms get NAME",
        "ps": "volant vms list",
        "rollout": "volant deployments rollout",
        "run": "volant vms create NAME --plugin PLUGIN",
        "scale": "volant deployments scale",
        "version": "volant --version",
    }
    """Words of other tools, and what is meant by them here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, sorted."""
        return sorted(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is none of that name."""
        where = self.table.get(self.aliases.get(cmd_name, cmd_name))
        if where is None:
            return None
        module, _, name = where[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What each is for, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name][1]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; another word for a command is that command, and of no command it says which one is meant."""
        word = args[0]
        if word.startswith("-") or ctx.resilient_parsing or self.get_command(ctx, word) is not None:
            return super().resolve_command(ctx, [self.aliases.get(word, word), *args[1:]])
        if word in self.meant:
            raise click.UsageError(f"No such command {word!r}: `{self.meant[word]}` does that.", ctx)
        near = self._like(word)
        hint = f" Did you mean {' or '.join(near)}?" if near else " `volant --help` lists them."
        raise click.UsageError(f"No such command {word!r}.{hint}", ctx)

    def _like(self, word: str) -> list[str]:
        """The commands that begin so, else those that are written like that."""
        from difflib import get_close_matches

        begun = [name for name in self.table if name.startswith(word)]
        near = begun or get_close_matches(word, [*self.table, *self.aliases])
        return list(dict.fromkeys(self.aliases.get(name, name) for name in near))

    def main(self, *args: Any, **more: Any) -> Any:
        """As click does; output that cannot be written is one sentence and exit status 1."""
        try:
            return super().main(*args, **more)
        except OSError as error:
            if error.errno not in UNWRITABLE or error.filename is not None:
                raise
            click.echo(f"Error: cannot write the output: {error.strerror}", err=True)
            # What is left of it is not tried again at the end of the interpreter.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(ERROR) from None

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


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="volant")
def volant() -> None:
    """Declarative microVMs on this host: say what should exist, Volant makes it so and keeps it so."""
