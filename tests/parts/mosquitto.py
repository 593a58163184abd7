"""A real mosquitto."""
