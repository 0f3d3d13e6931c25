"""Building images: what a recipe, a directory, packages or an OCI image are made into, so that a plugin installs it.

    image.toml, directory, program, .deb, OCI ──▶ tree of files ──▶ root disk or initramfs ──▶ manifest beside it

What it promises: no right is needed and nothing is installed; no program of an image runs on the host, but for Debian's
Python where a recipe has it compile; the same inputs give the same bytes; a build that fails leaves the last one as it
was.

Deliberately absent: a cache of layers, a daemon, uploading. Packages come by the host's own apt and from nowhere else.
"""

from __future__ import annotations

from volant.images.build.assemble import EPOCH, Built, Host, build
from volant.images.build.progress import Progress, silent
from volant.images.build.recipe import RECIPE, Recipe, parse_recipe, read_recipe

__all__ = ["EPOCH", "RECIPE", "Built", "Host", "Progress", "Recipe", "build", "parse_recipe", "read_recipe", "silent"]
