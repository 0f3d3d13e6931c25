"""`python -m volant` and the `volant` command."""

from __future__ import annotations

INTERRUPTED = 130


def main() -> None:
    """Run the command line. Ctrl-C ends it without a word, also while it is still being loaded."""
    try:
        from volant.cli import volant

        volant(prog_name="volant")
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
