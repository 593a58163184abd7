"""A second look at what a watch found, before or beside its alert."""
