"""Processes of our own code beside this one: how they are started, asked and ended."""
