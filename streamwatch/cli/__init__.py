"""The program `streamwatch`."""
