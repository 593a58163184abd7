"""The files of models: which a configuration takes, where they are, fetched and verified."""
