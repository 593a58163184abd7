"""Text encoders, each run in a process of its own."""
