"""`python -m volant` and the `volant` command."""

from __future__ import annotations

from volant.cli import volant


def main() -> None:
    """Run the command line."""
    volant(prog_name="volant")


if __name__ == "__main__":
    main()
