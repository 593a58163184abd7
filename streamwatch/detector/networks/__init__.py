"""The kinds of network that a checkpoint may hold, each a `Network`."""
