"""`volant completion`: what a shell sources to complete commands, options and names of objects."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_VOLANT_COMPLETE"
"""What click is asked with: of the program's name, as click makes it."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands and names.

    For bash: source <(volant completion bash). For zsh the same; for fish: volant completion fish | source.
    """
    from volant.cli import volant

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"cannot complete for {shell}: click does not know it")
    click.echo(found(volant, {}, "volant", VARIABLE).source())
