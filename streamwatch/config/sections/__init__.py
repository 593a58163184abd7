"""One module for each section of the file: its keys, their defaults and their meaning."""
