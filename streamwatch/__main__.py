"""The program `streamwatch`, also as `python -m streamwatch`."""

import sys

from streamwatch.cli.signals import INTERRUPTED, end_on_signals


def main() -> None:
    if sys.argv[1:2] == ["run"]:  # importing the rest takes seconds
        end_on_signals()
    try:
        from streamwatch.cli.app import main as command
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    command()


if __name__ == "__main__":
    main()
