"""How the daemon is doing, for everyone who asks."""
