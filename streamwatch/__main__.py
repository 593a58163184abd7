"""`python -m streamwatch` is the same program as `streamwatch`."""

from streamwatch.cli.app import main

main()
