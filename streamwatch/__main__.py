"""`python -m streamwatch` is the same program as `streamwatch`."""

from streamwatch.cli import main

main()
