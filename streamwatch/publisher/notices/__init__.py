"""Notices through Apprise, each waiting on the disk until its service has taken it."""
