"""The networks that a checkpoint may hold, each a `Network`."""
