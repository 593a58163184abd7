"""The daemon: a pipeline, a publisher and what people ask of them while they run."""
