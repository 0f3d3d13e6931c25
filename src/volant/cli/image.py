"""`volant image`: guest images and their kernel, made without root."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volant.cli.progress import shown_progress
from volant.errors import Invalid
from volant.images.kernel import fetch_kernel, find_kernel

if TYPE_CHECKING:
    from volant.images.build import Built, Recipe
    from volant.images.build.quick import Asked
    from volant.images.kernel import Kernel

DIRECTORY = click.Path(file_okay=False, resolve_path=True, path_type=Path)
CACHE = click.option(
    "--cache", type=DIRECTORY, default=Path(".cache/volant"), show_default=True, help="Where kernels and packages are."
)


@click.group()
def image() -> None:
    """Make guest images, and fetch the kernel they boot with."""


@image.command()
@CACHE
@click.option("--if-present", is_flag=True, help="Only look: exit status 1 when there is none yet.")
def kernel(cache: Path, *, if_present: bool) -> None:
    """Fetch Debian's cloud kernel with apt-get download and unpack it; nothing is installed."""
    found = find_kernel(cache / "kernel")
    if found is None and if_present:
        raise SystemExit(1)
    found = found or _fetched(cache)
    click.echo(f"{found.release} {found.vmlinuz}")


@image.command()
@click.argument("source", required=False, metavar="[PATH|hello]")
@click.argument("argv", nargs=-1, metavar="[-- PROGRAM WORD...]")
@click.option("--debian", "packages", multiple=True, metavar="PACKAGE", help="Build from this Debian package; repeat.")
@click.option("--oci", metavar="REFERENCE", help="Build from an OCI image: HOST/NAME:TAG, a layout, a saved tar.")
@click.option("--output", type=DIRECTORY, required=True, help="Where the image and its manifest are written.")
@click.option("--name", help="Name of the plugin; from the source unless said.")
@click.option("--version", help="Version of the plugin.")
@click.option("--port", type=click.IntRange(1, 65535), help="The TCP port that the guest serves.")
@click.option("--memory", "memory_mb", type=click.IntRange(32), metavar="MB", help="Memory of its guests.")
@click.option("--kind", type=click.Choice(["disk", "memory"]), help="A root disk, or a guest that runs from memory.")
@click.option("--size", "size_mb", type=click.IntRange(8), metavar="MB", help="Size of a root disk.")
@click.option("--busybox", default="/bin/busybox", show_default=True, help="A statically linked busybox.")
@CACHE
def build(
    source: str | None,
    argv: tuple[str, ...],
    packages: tuple[str, ...],
    oci: str | None,
    output: Path,
    cache: Path,
    busybox: str,
    **said: str | int | None,
) -> None:
    """Build an image and the manifest that installs it.

    PATH is a directory with an image.toml, a directory of files, or one program. What runs in the guest comes after
    `--`, with the path that it has there.
    """
    if source == "hello":
        _build_hello(output, cache, busybox)
        return
    from volant.images.build.quick import Asked

    # With packages or an OCI image there is no path, and the first word after `--` is the program.
    words, path = ((source, *argv), None) if source and (packages or oci) else (argv, source)
    asked = Asked(argv=words, **said)  # type: ignore[arg-type]  # because click checked them
    recipe, base = _recipe(path, packages, oci, asked)
    built = _build(recipe, base, output, cache, busybox)
    for note in built.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(str(built.manifest))


def _recipe(source: str | None, packages: Sequence[str], oci: str | None, asked: Asked) -> tuple[Recipe, Path]:
    from volant.images.build import quick

    if sum(map(bool, (source, packages, oci))) != 1:
        raise click.UsageError("say what to build from: a PATH, --debian PACKAGE, or --oci REFERENCE; one of them.")
    if packages:
        return quick.from_packages(packages, asked), Path()
    if oci:
        return quick.from_oci(oci, asked), Path()
    return quick.from_path(Path(source or ""), asked)


def _build(recipe: Recipe, base: Path, output: Path, cache: Path, busybox: str) -> Built:
    from volant.images.build import Host, build

    found = find_kernel(cache / "kernel") or _fetched(cache)
    host = Host(kernel=found, busybox=Path(busybox), packages=cache / "packages", epoch=_epoch())
    with shown_progress() as progress:
        return build(recipe, base, output, host, progress)


def _build_hello(output: Path, cache: Path, busybox: str) -> None:
    from volant.images.hello import build_hello

    found = find_kernel(cache / "kernel") or _fetched(cache)
    with shown_progress() as progress:
        progress("building hello", 0, None)
        built = build_hello(output, found, Path(busybox))
    click.echo(str(built.manifest))


def _fetched(cache: Path) -> Kernel:
    with shown_progress() as progress:
        progress("fetching a guest kernel", 0, None)
        return fetch_kernel(cache / "kernel")


def _epoch() -> int:
    """The time of every file in an image: what the user says as reproducible builds do, else always the same."""
    from volant.images.build import EPOCH

    said = os.environ.get("SOURCE_DATE_EPOCH", str(EPOCH))  # noqa: TID251  the command line is where it enters
    if not said.isascii() or not said.isdecimal() or not 0 < int(said) < 1 << 32:
        raise Invalid(f"cannot use SOURCE_DATE_EPOCH={said}: expected seconds since 1970")
    return int(said)
