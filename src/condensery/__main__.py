"""The command `condense`, also as `python -m condensery`."""

import sys


def main() -> int:
    """Its exit code. What it needs takes a moment to import, in which Ctrl-C is answered here."""
    try:
        from condensery.cli.main import main as command

        return command()
    except KeyboardInterrupt:
        print("condense: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
