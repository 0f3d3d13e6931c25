"""Objects as words of a command line: `vm/db`, `vm db` and `vms db` are the same one.

`wait`, `why`, `events` and `export` take them, and complete them. Deliberately absent: commands of one noun, which take
names only.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from volant.cli.nouns import NOUNS, Noun

BY_WORD = {word: noun for noun in NOUNS.values() for word in (noun.word, noun.plural)}


def one_object(words: Sequence[str]) -> tuple[Noun | None, str]:
    """Its kind, None where only a name is said, and its name. UsageError for anything else."""
    said = words[0].split("/", 1) if len(words) == 1 else list(words)
    match said:
        case [name] if name:
            return None, name
        case [kind, name] if kind in BY_WORD and name:
            return BY_WORD[kind], name
    raise click.UsageError(f"expected KIND/NAME, such as vm/db: KIND is {', '.join(NOUNS)}")


def kind_or_object(words: Sequence[str]) -> tuple[Noun | None, str | None]:
    """As `one_object`, of a kind alone and of nothing as well. UsageError for a name alone: it has to have a kind."""
    if not words:
        return None, None
    if len(words) == 1 and words[0] in BY_WORD:
        return BY_WORD[words[0]], None
    return of_a_kind(words)


def of_a_kind(words: Sequence[str]) -> tuple[Noun, str]:
    """As `one_object`, but the kind has to be said."""
    noun, name = one_object(words)
    if noun is not None:
        return noun, name
    if name in BY_WORD:
        raise click.UsageError(f"say which {BY_WORD[name].word}: {BY_WORD[name].word}/NAME")
    raise click.UsageError(f"say of which kind {name} is: {', '.join(f'{word}/{name}' for word in NOUNS)}")


def completed_objects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completes kinds, then names: `vm`, `vm/db`, `vm db`. Silently no names when the daemon does not answer."""
    kind, slash, start = incomplete.partition("/")
    said = ctx.params.get(param.name or "")
    words = (said,) if isinstance(said, str) else tuple(said or ())
    if words and words[-1] in BY_WORD:
        return _names(ctx, param, BY_WORD[words[-1]], incomplete)
    if slash:
        return [f"{kind}/{name}" for name in _names(ctx, param, BY_WORD[kind], start)] if kind in BY_WORD else []
    return [word for word in NOUNS if word.startswith(incomplete)] if not words else []


def completed_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completes `vm/db` and the like, as many as are said."""
    kind, _, start = incomplete.partition("/")
    kinds = [word for word in NOUNS if word == kind or (word.startswith(kind) and "/" not in incomplete)]
    return [f"{word}/{name}" for word in kinds for name in _names(ctx, param, NOUNS[word], start)]


def _names(ctx: click.Context, param: click.Parameter, noun: Noun, start: str) -> list[str]:
    from volant.cli.options import completed

    return completed(noun.plural)(ctx, param, start)
