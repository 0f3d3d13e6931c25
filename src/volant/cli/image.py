"""`volant image`: guest images and their kernel, made without root."""

from __future__ import annotations

from pathlib import Path

import click

from volant.errors import StartupError
from volant.images.hello import build_hello
from volant.images.kernel import fetch_kernel, find_kernel

DIRECTORY = click.Path(file_okay=False, resolve_path=True, path_type=Path)
CACHE = click.option(
    "--cache", type=DIRECTORY, default=Path(".cache/volant"), show_default=True, help="Where unpacked kernels are kept."
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
    found = found or fetch_kernel(cache / "kernel")
    click.echo(f"{found.release} {found.vmlinuz}")


@image.command()
@click.argument("what", type=click.Choice(["hello"]))
@CACHE
@click.option("--output", type=DIRECTORY, required=True, help="Where kernel, initramfs and manifest are written.")
@click.option("--busybox", default="/bin/busybox", show_default=True, help="A statically linked busybox.")
def build(what: str, cache: Path, output: Path, busybox: str) -> None:
    """Build an image and the manifest that installs it."""
    found = find_kernel(cache / "kernel")
    if found is None:
        raise StartupError(f"cannot build {what}: there is no guest kernel in {cache}. Run: volant image kernel")
    built = build_hello(output, found, Path(busybox))
    click.echo(str(built.manifest))
