"""Text encoders, each in its own process."""
